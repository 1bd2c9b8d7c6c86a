"""Folders that appear complete or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from l3ac_jax.errors import OutputError
from l3ac_jax.system.files import check_length


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
    check_length(target)
    check_target(target, overwrite, replaceable)
    # Not tempfile: its folders are closed to other users. Short names: the target's may be as long
    # as the file system allows.
    token = secrets.token_hex(8)
    new = target.with_name(f".l3ac-jax.{token}.new")
    try:
        new.mkdir(parents=True)
        yield new
        # Again: the block may have taken minutes.
        check_target(target, overwrite, replaceable)
        _put_in_place(new, target, target.with_name(f".l3ac-jax.{token}.old"))
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
