"""Folders of files in, folders of the same shape out."""

from __future__ import annotations

import contextlib
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from l3ac_jax.errors import OutputError, TreeError
from l3ac_jax.system.files import Temporary, check_output

__all__ = [
    "Found",
    "Job",
    "check_trees",
    "find_files",
    "in_words",
    "make_folder",
    "no_such_files",
    "remove_leftovers",
    "walk",
]

SHOWN = 8  # endings that are told of


@dataclass(frozen=True)
class Job:
    """A file to make of another one."""

    source: Path
    target: Path


@dataclass(frozen=True)
class Found:
    """The files below a folder, relative to it and in order, and what was left out."""

    files: list[Path]
    unreadable: list[TreeError]
    loops: list[Path]  # links to folders that they are in
    others: Counter[str]  # files with other endings (small letters), by ending


def check_trees(source: Path, target: Path) -> None:
    """Raise TreeError unless `target` is, or can become, a folder apart from `source`."""
    if not os.access(source, os.R_OK | os.X_OK):
        raise TreeError(f"{source}: the folder may not be read")
    inner, outer = target.resolve(), source.resolve()
    if inner.is_relative_to(outer) or outer.is_relative_to(inner):
        raise TreeError(
            f"{target}: must be a folder apart from {source}: neither inside the other, so that "
            "what is written is not taken for what is read"
        )
    if target.exists() and not target.is_dir():
        raise TreeError(f"{target}: is not a folder, and {source} is one")
    if not target.exists():
        check_output(target, overwrite=False)
    elif not os.access(target, os.W_OK | os.X_OK):
        raise TreeError(f"{target}: the folder may not be written to")


def find_files(root: Path, endings: Collection[str]) -> Found:
    """Files by the ending of their name (small letters), in all folders that `walk` gives.

    Raises TreeError where there is no such file.
    """
    files: list[Path] = []
    unreadable: list[TreeError] = []
    loops: list[Path] = []
    others: Counter[str] = Counter()

    def leave_out(error: OSError) -> None:
        unreadable.append(TreeError(f"{error.filename}: cannot be read: {error.strerror}"))

    for folder, names in walk(root, leave_out, loops.append):
        for name in names:
            ending = Path(name).suffix.lower()
            if ending in endings:
                files.append(folder.relative_to(root) / name)
            else:
                others[ending] += 1
    if not files and not unreadable:
        raise no_such_files(root, endings, others)
    return Found(sorted(files), unreadable, loops, others)


def no_such_files(root: Path | str, endings: Collection[str], others: Counter[str]) -> TreeError:
    """What to raise of a tree in which no file has such an ending."""
    held = f", but {in_words(others)}" if others else ""
    return TreeError(f"{root}: holds no files that end with {', '.join(sorted(endings))}{held}")


def in_words(endings: Counter[str]) -> str:
    """Numbers of files by ending, most first: "3 .txt, 1 without ending"."""
    shown = [
        f"{count} {ending or 'without ending'}" for ending, count in endings.most_common(SHOWN)
    ]
    more = endings.total() - sum(count for _, count in endings.most_common(SHOWN))
    return ", ".join([*shown, f"{more} with other endings"] if more else shown)


def walk(
    root: Path,
    unreadable: Callable[[OSError], None],
    loop: Callable[[Path], None] = lambda folder: None,
) -> Iterator[tuple[Path, list[str]]]:
    """Each folder from `root` down with the names of its files, in a fixed order, links followed.

    Hidden files and folders (names that begin with a dot) do not count. `unreadable` gets the error
    of a folder that is left out, and may raise it; `loop` gets links to folders that they are in.
    """
    for folder, folders, names in os.walk(root, onerror=unreadable, followlinks=True):
        here = Path(folder)
        folders[:] = sorted(_visible(folders))
        for name in [name for name in folders if _is_loop(here / name)]:
            folders.remove(name)
            loop(here / name)
        yield here, sorted(_visible(names))


def _visible(names: Iterable[str]) -> list[str]:
    return [name for name in names if not name.startswith(".")]


def _is_loop(folder: Path) -> bool:
    if not folder.is_symlink():
        return False
    pointed_at = folder.resolve()
    # the way here can have led through other links
    return any(parent.resolve().is_relative_to(pointed_at) for parent in folder.absolute().parents)


def remove_leftovers(planned: Iterable[Job]) -> int:
    """Remove the temporary files that killed processes have left of these targets; their number."""
    digests: dict[Path, set[str]] = defaultdict(set)
    for job in planned:
        digests[job.target.parent].add(Temporary.of(job.target.name).digest)
    removed = 0
    for folder in digests:
        for path in _temporary_files(folder, digests[folder]):
            with contextlib.suppress(OSError):
                path.unlink()
                removed += 1
    return removed


def _temporary_files(folder: Path, digests: Collection[str]) -> Iterator[Path]:
    if not folder.is_dir():
        return
    for path in list(folder.glob(".*.part")):
        temporary = Temporary.parse(path.name)
        if temporary and temporary.digest in digests and not _is_running(temporary.process):
            yield path


def _is_running(process: int) -> bool:
    if os.name == "nt":  # where a file that is open cannot be removed, and 0 is no harmless signal
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return process != os.getpid()


def make_folder(path: Path) -> None:
    """A folder and those that it is in. Raises OutputError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: cannot be made: {error.strerror}") from error
