"""The campaign of damaged files and killed commands, in small."""

import subprocess
import sys
from pathlib import Path

import pytest

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
sys.path.insert(0, str(EXPERIMENTS))

from file_torture.files import FILES  # noqa: E402
from file_torture.kills import contents, kill_often  # noqa: E402
from file_torture.mutations import KINDS, mutated  # noqa: E402
from file_torture.reading import dumped, read_variants, watch  # noqa: E402

sys.path.remove(str(EXPERIMENTS))


@pytest.fixture
def no_limit(monkeypatch):
    """Of addresses: this process has other work to do."""
    monkeypatch.setattr("file_torture.reading._limit_addresses", lambda: None)


@pytest.mark.parametrize("kind", FILES)
def test_damaged_files_are_refused_told_of_or_whole(kind, no_limit, tmp_path):
    if kind == "pt":
        pytest.importorskip("torch")
    data, judge = FILES[kind]()
    assert judge(data) == ("whole", "")
    result = read_variants(data, judge, 1, 0, 40 * len(KINDS), tmp_path / "progress")
    assert not result.errors
    assert result.outcomes.keys() <= {"refused", "told", "whole"}
    assert result.outcomes["refused"] > 200


def test_variants_are_others_than_the_file_and_the_same_each_time():
    data = bytes(range(256)) * 3
    for number in range(200):
        kind, variant = mutated(data, 5, number)
        assert variant != data and kind == list(KINDS)[number % len(KINDS)]
        assert mutated(data, 5, number) == (kind, variant)


def test_what_is_not_the_users_error_is_one_of_ours(no_limit, tmp_path):
    def judge(variant: bytes) -> tuple[str, str]:
        if len(variant) < 2:
            raise MemoryError
        if len(variant) < 768:
            raise KeyError("gone")
        return ("lost", "") if len(variant) > 768 else ("whole", "")

    result = read_variants(bytes(768), judge, 0, 0, 60, tmp_path / "progress")
    assert result.outcomes["bug"] and result.outcomes["lost"] and result.outcomes["whole"]
    assert any("KeyError" in error for error in result.errors)


CRASHING = f"""
import os, sys
sys.path.insert(0, {str(EXPERIMENTS)!r})
from pathlib import Path
from file_torture import reading
from file_torture.mutations import mutated

first, last, progress = sys.argv[1:]
crash = mutated(b"file" * 9, 0, 7)[1]

def judge(variant):
    if variant == crash:
        os.abort()
    return "whole", ""

result = reading.read_variants(b"file" * 9, judge, 0, int(first), int(last), Path(progress))
print(reading.dumped(result))
"""


def test_a_variant_that_ends_the_process_is_found_and_costs_no_other(tmp_path):
    result = watch([sys.executable, "-c", CRASHING], 0, 20, tmp_path)
    assert result.outcomes == {"whole": 19, "crashed": 1}
    assert result.errors == ["crashed: variant 7"]
    assert '"crashed": 1' in dumped(result)


# Makes ten files, one after another, and goes on where it was; the second one breaks what is left.
WRITES = """
import os, sys, time
folder = sys.argv[1]
os.makedirs(folder, exist_ok=True)
careful = len(sys.argv) == 2
for number in range(10):
    path = f"{folder}/{number}"
    if not os.path.exists(path):
        with open(path + ".part" if careful else path, "w") as file:
            file.write("first")
            file.flush()
            time.sleep(0.01)
            file.write("second")
        if careful:
            os.replace(path + ".part", path)
"""


@pytest.mark.parametrize("careful", [True, False])
def test_killed_commands_have_to_come_to_the_same_bytes(careful, tmp_path):
    words = [
        sys.executable,
        "-c",
        WRITES,
        str(tmp_path / "out"),
        *([] if careful else ["careless"]),
    ]
    result = kill_often(words, tmp_path / "out", 8, 0, 0.05)
    assert result.kills == 8 and result.ends >= 1
    assert bool(result.errors) != careful
    assert not contents(tmp_path / "out")


def test_the_script_shows_a_table(tmp_path):
    done = subprocess.run(
        [sys.executable, EXPERIMENTS / "torture_files.py", "files", "--variants", "20",
         "--kinds", "l3ac, plain"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "l3ac, plain" in done.stdout and "refused" in done.stdout
