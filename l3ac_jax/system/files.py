"""Output files that are either complete or not there."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from l3ac_jax.errors import OutputError

__all__ = ["Temporary", "check_length", "check_output", "complete_file"]

_TEMPORARY = re.compile(r"\.([0-9a-f]{12})\.(\d+)\.part")


class Temporary(NamedTuple):
    """What a hidden file's name says that will become another one, or was left by a killed process.

    It is short whatever the other one's name is, which may be as long as the file system allows.
    """

    digest: str  # of the other one's name
    process: int

    @classmethod
    def of(cls, name: str) -> Temporary:
        """For a file of this name that this process writes."""
        return cls(hashlib.sha256(os.fsencode(name)).hexdigest()[:12], os.getpid())

    @classmethod
    def parse(cls, name: str) -> Temporary | None:
        """None for a name that is no temporary file's."""
        match = _TEMPORARY.fullmatch(name)
        return cls(match[1], int(match[2])) if match else None

    def __str__(self) -> str:
        return f".{self.digest}.{self.process}.part"


def check_output(path: str | os.PathLike[str], overwrite: bool) -> Path:
    """The path, links followed, if a file may be written there. Raises OutputError."""
    # A link is followed, so that the file it points to is replaced and not the link.
    target = Path(os.path.realpath(path))
    try:
        if not target.parent.is_dir():
            raise OutputError(f"{path}: the folder {target.parent} does not exist")
        if target.exists() and not target.is_file():
            kind = "a folder" if target.is_dir() else "not a regular file"
            raise OutputError(f"{path}: is {kind}")
        if target.exists() and not overwrite:
            raise OutputError(f"{path}: already exists (--overwrite replaces it)")
        if not os.access(target.parent, os.W_OK):
            raise OutputError(f"{path}: the folder {target.parent} may not be written to")
        _lookup(target.with_name(str(Temporary.of(target.name))))
    except OSError as error:  # a name that is too long, for one
        raise _cannot_write(path, error) from error
    return target


def check_length(path: Path) -> None:
    """Raise OutputError for a name that is too long where it is to be, on any level.

    The folders that it is in need not be there yet.
    """
    try:
        existing, missing = path.parent, []
        while not os.path.lexists(existing) and existing != existing.parent:
            missing.append(existing.name)
            existing = existing.parent
        for name in [*missing, path.name]:
            _lookup(existing / name)
        for whole in (path, path.with_name(str(Temporary.of(path.name)))):
            _lookup(whole)
    except OSError as error:
        raise _cannot_write(path, error) from error


def _lookup(path: Path) -> None:
    """Ask the file system for a path. Raises OSError, but not for what is not there."""
    with contextlib.suppress(FileNotFoundError):
        os.lstat(path)


def _cannot_write(path: str | os.PathLike[str], error: OSError) -> OutputError:
    return OutputError(f"{path}: cannot be written: {error.strerror or error}")


@contextlib.contextmanager
def complete_file(
    path: str | os.PathLike[str], overwrite: bool, elsewhere_too: bool = False
) -> Iterator[Path]:
    """A temporary path in the same folder, which becomes `path` when the block ends well.

    Whatever ends the block early (an error, Ctrl-C) leaves `path` as it was; a killed process can
    leave the temporary file behind. `elsewhere_too`: other machines may write the same file now,
    and their processes may have the same number. Raises OutputError.
    """
    target = check_output(path, overwrite)
    # Not the tempfile module: its files are readable by their owner alone, and would stay so.
    name = Temporary.of(target.name)
    if elsewhere_too:
        name = name._replace(process=secrets.randbits(62))
    temporary = target.with_name(str(name))
    try:
        yield temporary
        check_output(path, overwrite)
        with temporary.open("r+b") as written:  # Windows flushes only what may be written
            os.fsync(written.fileno())
        os.replace(temporary, target)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)
