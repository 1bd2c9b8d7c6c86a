"""Output files that are either complete or not there."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from l3ac_jax.errors import OutputError


def check_output(path: str | os.PathLike[str], overwrite: bool) -> Path:
    """The path, links followed, if a file may be written there. Raises OutputError."""
    # A link is followed, so that the file it points to is replaced and not the link.
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise OutputError(f"{path}: the folder {target.parent} does not exist")
    if target.exists() and not target.is_file():
        kind = "a folder" if target.is_dir() else "not a regular file"
        raise OutputError(f"{path}: is {kind}")
    if target.exists() and not overwrite:
        raise OutputError(f"{path}: already exists (--overwrite replaces it)")
    if not os.access(target.parent, os.W_OK):
        raise OutputError(f"{path}: the folder {target.parent} may not be written to")
    return target


@contextlib.contextmanager
def complete_file(path: str | os.PathLike[str], overwrite: bool) -> Iterator[Path]:
    """A temporary path in the same folder, which becomes `path` when the block ends well.

    Whatever ends the block early (an error, Ctrl-C) leaves `path` as it was; a killed process can
    leave the temporary file behind. Raises OutputError.
    """
    target = check_output(path, overwrite)
    # Not the tempfile module: its files are readable by their owner alone, and would stay so.
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        yield temporary
        check_output(path, overwrite)
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, target)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)
