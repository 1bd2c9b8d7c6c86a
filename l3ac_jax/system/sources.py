"""Trees of recordings that are read: folders of this machine, or behind a URL.

A tree says what is in it, and has some files at hand for a while: those of a folder where they lie,
those behind a URL as copies in a temporary folder.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from l3ac_jax.errors import SourceError, TreeError
from l3ac_jax.system.remote import RemoteFolder, as_local, is_url, said
from l3ac_jax.system.targets import LocalTarget, TargetFolder
from l3ac_jax.system.trees import Found, check_trees, find_files, no_such_files

__all__ = ["Listing", "LocalTree", "RemoteTree", "SourceTree", "check_apart", "open_tree"]

# What tells a changed file from the one that it was, the surest first: it goes into fingerprints.
CHANGES = ("ETag", "etag", "md5Hash", "LastModified", "last_modified", "mtime", "created")


@dataclass(frozen=True)
class Listing:
    """The files of a tree, and the size of each in bytes and what changes when it changes."""

    found: Found
    stamp: Callable[[Path], tuple[int, object]]


class SourceTree(Protocol):
    """Files by paths relative to where the tree begins."""

    def problem(self) -> str | None:
        """Why it cannot be read, as far as is known without listing it."""
        ...

    def find(self, endings: Collection[str]) -> Listing:
        """The files with such endings. Raises TreeError where there is none, SourceError."""
        ...

    def absolute(self) -> SourceTree:
        """The same, wherever a process runs."""
        ...

    def at_hand(self, files: Sequence[Path]) -> AbstractContextManager[dict[Path, Path]]:
        """Where each of the files can be read now. Raises SourceError."""
        ...


def open_tree(place: str | os.PathLike[str]) -> SourceTree:
    """The tree at a path or URL."""
    return RemoteTree(str(place)) if is_url(place) else LocalTree(as_local(place))


def check_apart(source: SourceTree, target: TargetFolder) -> None:
    """Raise TreeError unless `target` is, or can become, a folder apart from `source`."""
    if isinstance(source, LocalTree) and isinstance(target, LocalTarget):
        check_trees(source.path, target.path)
        return
    inner, outer = f"{target}/", f"{source}/"
    if inner.startswith(outer) or outer.startswith(inner):
        raise TreeError(f"{target}: must be a folder apart from {source}: neither inside the other")


@dataclass(frozen=True)
class LocalTree(SourceTree):
    """A folder of this machine, or of a file system that several share."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def problem(self) -> str | None:
        if self.path.is_dir():
            return None
        return "is not a folder" if self.path.exists() else "does not exist"

    def find(self, endings: Collection[str]) -> Listing:
        return Listing(find_files(self.path, endings), self._stamp)

    def absolute(self) -> LocalTree:
        return LocalTree(self.path.absolute())

    @contextlib.contextmanager
    def at_hand(self, files: Sequence[Path]) -> Iterator[dict[Path, Path]]:
        yield {file: self.path / file for file in files}

    def _stamp(self, file: Path) -> tuple[int, object]:
        try:
            status = (self.path / file).stat()
        except OSError:  # a link to nothing: a failure when it is read
            return 0, 0
        return status.st_size, status.st_mtime_ns


class RemoteTree(RemoteFolder, SourceTree):
    """A folder behind a URL."""

    def problem(self) -> str | None:
        return None

    def find(self, endings: Collection[str]) -> Listing:
        with said(self.url, "listed", SourceError):
            entries: dict[str, Any] = self.fs.find(self.root, detail=True)
        files: dict[Path, tuple[int, object]] = {}
        unreadable: list[TreeError] = []
        others: Counter[str] = Counter()
        for path, entry in entries.items():
            name = path.removeprefix(f"{self.root}/")
            file = PurePosixPath(name)
            if not name or name.endswith("/") or any(part.startswith(".") for part in file.parts):
                continue  # hidden, as in a folder of this machine; ".." is, too
            if (ending := file.suffix.lower()) not in endings:
                others[ending] += 1
            elif str(file) != name:  # a//b, which no folder can hold
                unreadable.append(TreeError(f"{name}: cannot be read: its name is no path"))
            else:
                files[Path(name)] = entry["size"], _change(entry)
        if not files and not unreadable:
            raise no_such_files(self.url, endings, others)
        return Listing(Found(sorted(files), unreadable, [], others), files.__getitem__)

    def absolute(self) -> RemoteTree:
        return self

    @contextlib.contextmanager
    def at_hand(self, files: Sequence[Path]) -> Iterator[dict[Path, Path]]:
        with tempfile.TemporaryDirectory(prefix="l3ac_jax_") as folder:
            # numbers: names may be longer than a file system here takes
            copies = {
                file: Path(folder, f"{number}{file.suffix}") for number, file in enumerate(files)
            }
            if copies:
                self.get([file.as_posix() for file in copies], list(copies.values()))
            yield copies


def _change(entry: dict[str, Any]) -> str:
    return next((str(entry[name]) for name in CHANGES if entry.get(name)), "")
