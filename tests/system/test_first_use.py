"""Who uses a library for the first time is alone with it; later nobody waits."""

import subprocess
import sys
import textwrap
import time

import pytest

from l3ac_jax.system import first_use
from l3ac_jax.system.first_use import alone_at_first

# Says when it is about to use a library, when it does, and waits for a line each time.
OTHER = textwrap.dedent(
    """
    from pathlib import Path
    from l3ac_jax.system.first_use import alone_at_first, lock_file
    print("begun", flush=True)
    with alone_at_first("a library"):
        print(Path(lock_file().parent, "left").exists(), flush=True)
        input()
    """
)


@pytest.fixture
def other(monkeypatch, tmp_path):
    """Starts another process that uses the library."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(first_use.tempfile, "tempdir", None)
    monkeypatch.setattr(first_use, "_used", set())
    started = []

    def start() -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-c", OTHER], stdin=-1, stdout=-1, text=True, bufsize=1
        )
        started.append(process)
        assert process.stdout.readline() == "begun\n"
        return process

    yield start
    for process in started:
        process.communicate("\n")
        assert process.returncode == 0


def test_the_first_use_waits_for_that_of_another_process(other, tmp_path):
    with alone_at_first("a library"):
        process = other()
        time.sleep(0.5)  # in which it would be in, if it did not wait
        (tmp_path / "left").touch()
    assert process.stdout.readline() == "True\n"


def test_a_first_use_that_failed_was_none(other, tmp_path):
    with pytest.raises(ValueError, match="broken"), alone_at_first("a library"):
        raise ValueError("broken")
    with alone_at_first("a library"):
        process = other()
        time.sleep(0.5)
        (tmp_path / "left").touch()
    assert process.stdout.readline() == "True\n"


def test_later_uses_wait_for_nobody(other):
    with alone_at_first("a library"):
        pass
    process = other()
    assert process.stdout.readline() == "False\n"
    with alone_at_first("a library"):  # which the other one is still using
        pass


def test_what_is_used_inside_does_not_wait_for_itself(other):
    with alone_at_first("a library"), alone_at_first("one that it uses"):
        pass
