"""How the scripts end: what was wrong in one line, and the usual exit codes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

import tyro

FAILED = 1
USER_ERROR = 2
INTERRUPTED = 130

T = TypeVar("T")


def run_command(
    program: str,
    options: type[T],
    description: str | None,
    command: Callable[[T], int | None],
    argv: Sequence[str] | None = None,
) -> int:
    """Parse a command line into `options` and run the command; its result is the exit code.

    Returns 0 for None, 2 for mistakes in what was given, 130 when interrupted. Mistakes are
    ValueErrors (all of this package's), missing packages, and files that the system refuses.
    """
    try:
        parsed = tyro.cli(options, prog=program, description=description, args=argv)
        return command(parsed) or 0
    except SystemExit as end:  # help, or a command line that makes no sense
        return end.code if isinstance(end.code, int) else USER_ERROR
    except KeyboardInterrupt:
        print(f"{program}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except (ValueError, ImportError, OSError) as error:
        print(f"{program}: error: {error}", file=sys.stderr)
        return USER_ERROR
