"""How commands end: what was wrong in one line, a traceback for a bug, the usual exit codes."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable
from typing import IO, Any, NoReturn

from l3ac_jax.errors import UserError, WorkError

__all__ = [
    "CLOSED_PIPE",
    "FAILED",
    "INTERRUPTED",
    "USER_ERROR",
    "Interrupted",
    "drop_output",
    "run_command",
]

FAILED = 1  # some of the work could not be done
USER_ERROR = 2
INTERRUPTED = 130
CLOSED_PIPE = 141  # what a shell says of a filter that SIGPIPE has ended


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM, with words that say how things stand."""


def run_command(
    program: str, work: Callable[[], int | None], interrupted: str = "nothing was written"
) -> int:
    """Do the work of a command, parsing of its command line included; returns the exit code.

    It is what `work` returns (0 for None); 1 for a WorkError; 2 for a UserError, for a command line
    that makes no sense and for whatever the system refuses (an OSError: a full disk, a closed
    stream, a name that is too long), also when standard output is flushed at the end; 130 when
    interrupted by Ctrl-C or SIGTERM. Each of these is a line on standard error; that of an
    interruption has the words of Interrupted, or else `interrupted`. Everything else is a bug, and
    is raised: a ValueError or ImportError that is no UserError, too.
    """
    _replace_closed_streams()
    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        code = _exit_code(work)
        _flush(sys.stdout)
        return code
    except KeyboardInterrupt as interruption:
        return _end(INTERRUPTED, f"{program}: interrupted, {str(interruption) or interrupted}")
    except WorkError as error:
        return _end(FAILED, f"{program}: error: {error}")
    except UserError as error:
        return _end(USER_ERROR, f"{program}: error: {error}")
    except OSError as error:
        return _end(USER_ERROR, f"{program}: error: {_in_words(error)}")
    finally:
        signal.signal(signal.SIGTERM, previous)


def _exit_code(work: Callable[[], int | None]) -> int:
    try:
        return work() or 0
    except SystemExit as end:  # help, or a command line that makes no sense
        broken_pipe = end.__context__
        if isinstance(broken_pipe, BrokenPipeError):  # for which rich ends the process
            raise _named(broken_pipe) from None
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        return USER_ERROR


def _end(code: int, line: str) -> int:
    with contextlib.suppress(OSError):  # a line that nobody can be told
        _flush(sys.stdout)
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr)
    with contextlib.suppress(OSError):
        _flush(sys.stderr)
    return code


def _in_words(error: OSError) -> str:
    reason = error.strerror or str(error)
    if error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {reason}"
    try:
        _flush(sys.stdout)
    except OSError as again:  # what the stream could not write is still in its buffer
        return _in_words(again)
    return reason


def _flush(stream: IO[Any]) -> None:
    """Flush; where that fails, what is left is dropped: at its end, Python would complain of it."""
    try:
        stream.flush()
    except OSError as error:
        drop_output(stream)
        raise _named(error) from None


def drop_output(stream: IO[Any]) -> None:
    """From now on, what is written to the stream, or still in its buffer, goes nowhere."""
    with contextlib.suppress(OSError), open(os.devnull, "wb") as null:
        os.dup2(null.fileno(), stream.fileno())


def _named(error: OSError) -> OSError:
    return OSError(error.errno, error.strerror, "standard output")


def _replace_closed_streams() -> None:
    """Python has None for a standard stream that was closed before it started.

    Reading and writing then raise an OSError, as in other programs. The descriptors are taken, so
    that no other file gets them and what a library prints. Messages are dropped: without standard
    error, print() would write them to standard output.
    """
    if sys.stdin is None:
        sys.stdin = os.fdopen(os.open(os.devnull, os.O_WRONLY), "r")
    if sys.stdout is None:
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_RDONLY), "w")
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")


def _interrupt(*_: Any) -> NoReturn:
    raise KeyboardInterrupt
