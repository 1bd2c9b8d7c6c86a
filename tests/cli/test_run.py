"""How a command ends: exit code, and what it says on standard error."""

import errno
import os
import signal
import sys

import pytest

from l3ac_jax.cli.run import FAILED, INTERRUPTED, USER_ERROR, Interrupted, run_command
from l3ac_jax.errors import (
    MissingPackageError,
    OutputError,
    TrainingDivergedError,
    UserError,
)
from l3ac_jax.system.packages import needs_extra


def raising(error: BaseException):
    def work() -> int:
        raise error

    return work


@pytest.mark.parametrize("code", [None, 0, 1, 143])
def test_the_result_of_the_work_is_the_exit_code(code, capsys):
    assert run_command("program", lambda: code) == (code or 0)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UserError("in.wav: is empty"), USER_ERROR, "error: in.wav: is empty"),
        (OutputError("out.wav: is a folder"), USER_ERROR, "error: out.wav: is a folder"),
        (TrainingDivergedError("step 7: NaN"), FAILED, "error: step 7: NaN"),
        (
            OSError(errno.ENOSPC, "No space left on device", "/full/out.wav"),
            USER_ERROR,
            "error: /full/out.wav: No space left on device",
        ),
        (OSError("no usable temporary folder"), USER_ERROR, "error: no usable temporary folder"),
        (KeyboardInterrupt(), INTERRUPTED, "interrupted, nothing was written"),
        (Interrupted("2 of 3 files done"), INTERRUPTED, "interrupted, 2 of 3 files done"),
    ],
)
def test_what_is_no_bug_is_one_line(error, code, line, capsys):
    assert run_command("program", raising(error)) == code
    assert capsys.readouterr().err == f"program: {line}\n"


@pytest.mark.parametrize("kind", [ValueError, ImportError, TypeError, RuntimeError, KeyError])
def test_a_bug_is_raised(kind, capsys):
    with pytest.raises(kind, match="a bug"):
        run_command("program", raising(kind("a bug")))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("code", "expected"), [(None, 0), (0, 0), (2, 2), ("words", USER_ERROR)])
def test_a_command_line_that_ends_the_work_is_no_bug(code, expected):
    assert run_command("program", raising(SystemExit(code))) == expected


def test_sigterm_interrupts_the_work_and_nothing_after_it(capsys):
    before = signal.getsignal(signal.SIGTERM)

    def work() -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    assert run_command("program", work, interrupted="the same command goes on") == INTERRUPTED
    assert capsys.readouterr().err == "program: interrupted, the same command goes on\n"
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_missing_package_names_its_extra(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    def work() -> None:
        with needs_extra("train", "a figure"):
            import matplotlib  # noqa: F401

    with pytest.raises(MissingPackageError) as caught:
        work()
    assert isinstance(caught.value, ImportError) and isinstance(caught.value, UserError)
    assert run_command("program", work) == USER_ERROR
    (line,) = capsys.readouterr().err.splitlines()
    assert "a figure needs a package" in line and "matplotlib" in line
    assert line.endswith("pip install 'l3ac-jax[train]'")
