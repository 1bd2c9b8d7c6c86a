"""Completion in bash: the script that the command prints, asked as the shell asks it."""

import shutil
import subprocess

import pytest

from l3ac_jax.cli.main import main

BASH = shutil.which("bash")
pytestmark = pytest.mark.skipif(BASH is None, reason="needs bash")


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    path = tmp_path_factory.mktemp("completion") / "l3ac-jax"
    assert main(["--tyro-write-completion", "bash", str(path)]) == 0
    return path


def bash(script, program):
    done = subprocess.run(
        [BASH, "--norc", "-c", f"source {script}; {program}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("", {"encode", "decode", "models", "stream", "demo"}),
        ("enc", {"encode"}),
        ("encode --o", set()),
        ("encode --mo", {"--model"}),
        ("encode --entropy ", {"plain", "adaptive"}),
        ("decode --format ", {"wav", "flac", "mp3"}),
        ("stream ", {"encode", "decode"}),
        ("stream encode --bl", {"--block"}),
    ],
)
def test_bash_completes_commands_options_and_choices(script, typed, completed):
    words = ["l3ac-jax", *typed.split(" ")]
    program = (
        f"COMP_WORDS=({' '.join(repr(word) for word in words)}); COMP_CWORD={len(words) - 1}; "
        f"COMP_LINE='l3ac-jax {typed}'; COMP_POINT=${{#COMP_LINE}}; "
        'name=$(complete -p l3ac-jax | sed "s/.*-F \\([^ ]*\\).*/\\1/"); '
        f'$name l3ac-jax "{words[-1]}" "{words[-2]}" 2>&1; printf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    found = set(bash(script, program).split())
    assert completed <= found
    if words[-1]:
        assert all(word.startswith(words[-1]) for word in found)
