"""Folders that results are written to: here, or behind a URL.

One interface for both, and no more than what a dataset's making needs: files that are complete or
not there, what is there already, and a lock where the file system has one. A file on its way to a
URL is made here first, and then put there whole.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from l3ac_jax.errors import OutputError
from l3ac_jax.system.files import complete_file
from l3ac_jax.system.locks import exclusive, shared
from l3ac_jax.system.remote import RemoteFolder, as_local, is_url, said
from l3ac_jax.system.trees import make_folder

__all__ = ["LocalTarget", "RemoteTarget", "TargetFolder", "open_target"]


class TargetFolder(Protocol):
    """A flat folder. Names are those of files in it."""

    def exists(self) -> bool:
        """Whether it is there; behind a URL, whether something is in it."""
        ...

    def is_folder(self) -> bool:
        """Whether it is there and no file."""
        ...

    def names(self) -> list[str]:
        """Of the files and folders in it, hidden ones too; none if it is not there."""
        ...

    def size(self, name: str) -> int | None:
        """In bytes, None if there is no such file."""
        ...

    def read(self, name: str) -> bytes:
        """Its content. Raises FileNotFoundError, OSError, OutputError."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        ...

    def writing(self, name: str) -> AbstractContextManager[Path]:
        """A local path to write to; the file has this name when the block ends well.

        Other machines may write it at the same time: one of them is the last, and no file is made
        of two. Raises OutputError.
        """
        ...

    def here(self, name: str) -> AbstractContextManager[Path]:
        """A local path to read the file from."""
        ...

    def make(self) -> None:
        """Make it, if it has to be made. Raises OutputError."""
        ...

    def remove_folder(self) -> None:
        """Remove it, if it is empty."""
        ...

    def below(self, name: str) -> TargetFolder:
        """A folder in it."""
        ...

    def absolute(self) -> TargetFolder:
        """The same, wherever a process runs."""
        ...

    def locked(self, name: str, together: bool = False) -> AbstractContextManager[None]:
        """Keeps others out, or with `together` only those who want to be alone.

        Raises FolderInUseError. Behind a URL there is no lock.
        """
        ...


def open_target(place: str | os.PathLike[str] | TargetFolder) -> TargetFolder:
    """The folder at a path or URL, which need not be there."""
    if isinstance(place, str | os.PathLike):
        return RemoteTarget(str(place)) if is_url(place) else LocalTarget(as_local(place))
    return place


@dataclass(frozen=True)
class LocalTarget(TargetFolder):
    """A folder of this machine, or of a file system that several share."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def exists(self) -> bool:
        return self.path.exists()

    def is_folder(self) -> bool:
        return self.path.is_dir()

    def names(self) -> list[str]:
        return [path.name for path in self.path.iterdir()] if self.path.is_dir() else []

    def size(self, name: str) -> int | None:
        path = self.path / name
        return path.stat().st_size if path.is_file() else None

    def read(self, name: str) -> bytes:
        return (self.path / name).read_bytes()

    def remove(self, name: str) -> None:
        (self.path / name).unlink(missing_ok=True)

    def writing(self, name: str) -> AbstractContextManager[Path]:
        return complete_file(self.path / name, overwrite=True, elsewhere_too=True)

    @contextlib.contextmanager
    def here(self, name: str) -> Iterator[Path]:
        yield self.path / name

    def make(self) -> None:
        make_folder(self.path)

    def remove_folder(self) -> None:
        with contextlib.suppress(OSError):
            self.path.rmdir()

    def below(self, name: str) -> LocalTarget:
        return LocalTarget(self.path / name)

    def absolute(self) -> LocalTarget:
        return LocalTarget(self.path.absolute())

    def locked(self, name: str, together: bool = False) -> AbstractContextManager[None]:
        return shared(self.path / name) if together else exclusive(self.path / name)


class RemoteTarget(RemoteFolder, TargetFolder):
    """A folder behind a URL: there when something is in it."""

    def exists(self) -> bool:
        return bool(self.names())

    def is_folder(self) -> bool:
        return self.exists()

    def names(self) -> list[str]:
        with said(self.url, "listed", OutputError):
            try:
                found = self.fs.ls(self.root, detail=False)
            except FileNotFoundError:
                return []
        # What stands for a folder in a console is listed as a file in itself.
        inside = [path.rstrip("/") for path in found if path.strip("/") != self.root.strip("/")]
        return [path.rpartition("/")[2] for path in inside]

    def size(self, name: str) -> int | None:
        with said(f"{self.url}/{name}", "read", OutputError):
            try:
                return self.fs.info(self.path(name))["size"]
            except FileNotFoundError:
                return None

    def read(self, name: str) -> bytes:
        try:
            with said(f"{self.url}/{name}", "read", OutputError):
                return self.fs.cat_file(self.path(name))
        except OutputError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                raise error.__cause__ from None
            raise

    def remove(self, name: str) -> None:
        with (
            said(f"{self.url}/{name}", "removed", OutputError),
            contextlib.suppress(FileNotFoundError),
        ):
            self.fs.rm_file(self.path(name))

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="l3ac_jax_") as folder:
            temporary = Path(folder, name)
            try:
                yield temporary
                size = temporary.stat().st_size
            except OSError as error:  # as complete_file: a full disk, which here is that of TMPDIR
                reason = error.strerror or error
                raise OutputError(f"{temporary}: cannot be written: {reason}") from error
            with said(f"{self.url}/{name}", "written", OutputError):
                self.fs.put_file(str(temporary), self.path(name))
                if (written := self.fs.info(self.path(name))["size"]) != size:
                    raise OSError(f"{written} of {size} bytes have arrived")

    @contextlib.contextmanager
    def here(self, name: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="l3ac_jax_") as folder:
            self.get([name], [Path(folder, name)])
            yield Path(folder, name)

    def make(self) -> None:
        """Object stores have no folders, and buckets are not made by the way."""

    def remove_folder(self) -> None:
        with contextlib.suppress(Exception):
            self.fs.rmdir(self.root)

    def below(self, name: str) -> RemoteTarget:
        return RemoteTarget(f"{self.url}/{name}")

    def absolute(self) -> RemoteTarget:
        return self

    @contextlib.contextmanager
    def locked(self, name: str, together: bool = False) -> Iterator[None]:
        yield
