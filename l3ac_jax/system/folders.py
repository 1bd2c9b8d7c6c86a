"""Folders that appear complete or not at all, and folders that one process at a time may use."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from l3ac_jax.errors import OutputError


@contextmanager
def complete_folder(
    target: str | os.PathLike[str], overwrite: bool = False, replaceable: Collection[str] = ()
) -> Iterator[Path]:
    """A new folder to write into; it becomes `target` when the block ends without an exception.

    Until then it is a hidden sibling, removed if the block fails; a killed process can leave it
    behind, but nothing at `target`. With `overwrite`, an existing folder is replaced, if it holds
    nothing but the names in `replaceable`: a mistyped target costs no other files. An empty folder
    is always replaced. Raises OutputError otherwise, before the block runs, and where the system
    does not let it be written.
    """
    target = Path(target).resolve()
    check_target(target, overwrite, replaceable)
    # Not tempfile: its folders are closed to other users.
    token = secrets.token_hex(4)
    new = target.with_name(f".{target.name}.new-{token}")
    try:
        new.mkdir(parents=True)
        yield new
        # Again: the block may have taken minutes.
        check_target(target, overwrite, replaceable)
        _put_in_place(new, target, target.with_name(f".{target.name}.old-{token}"))
    except OSError as error:
        raise OutputError(f"{target}: cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(new, ignore_errors=True)


def check_target(
    target: str | os.PathLike[str], overwrite: bool, replaceable: Collection[str]
) -> None:
    """Raise OutputError if `complete_folder` would not write to a folder."""
    target = Path(target)
    if not target.exists():
        return
    if not target.is_dir():
        raise OutputError(f"{target}: exists and is not a folder")
    names = sorted(path.name for path in target.iterdir())
    if names and not overwrite:
        raise OutputError(f"{target}: exists already (overwrite replaces it)")
    others = [name for name in names if name not in replaceable]
    if others:
        raise OutputError(
            f"{target}: is not overwritten, since it also holds {', '.join(others[:3])}"
            + (", ..." if len(others) > 3 else "")
        )


def _put_in_place(new: Path, target: Path, old: Path) -> None:
    if not target.exists():
        new.rename(target)
        return
    target.rename(old)
    try:
        new.rename(target)
    except BaseException:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


class FolderInUseError(RuntimeError):
    """A lock that another process holds."""


@contextmanager
def exclusive(lock: Path) -> Iterator[None]:
    """Holds a lock file; the system lets go of that of a killed process.

    Raises FolderInUseError if another process holds it, OSError if it cannot be written.
    """
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderInUseError(str(lock)) from None
        yield
