"""Folders of files in, folders of the same shape out."""

from __future__ import annotations

import contextlib
import os
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from l3ac_jax.errors import OutputError, TreeError
from l3ac_jax.system.files import check_output

__all__ = [
    "Found",
    "Job",
    "check_trees",
    "find_files",
    "jobs",
    "make_folder",
    "remove_leftovers",
    "walk",
]

TEMPORARY = re.compile(r"\.(?P<name>.+)\.(?P<process>\d+)\.part")  # as files.complete_file has it


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

    def leave_out(error: OSError) -> None:
        unreadable.append(TreeError(f"{error.filename}: cannot be read: {error.strerror}"))

    for folder, names in walk(root, leave_out, loops.append):
        files += [
            folder.relative_to(root) / name
            for name in names
            if Path(name).suffix.lower() in endings
        ]
    if not files and not unreadable:
        raise TreeError(f"{root}: holds no files that end with {', '.join(sorted(endings))}")
    return Found(sorted(files), unreadable, loops)


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


def jobs(
    source: Path, target: Path, files: Iterable[Path], ending: Callable[[Path], str]
) -> list[Job]:
    """The same tree under `target`, where each file has the ending that `ending` gives it.

    Files that would then have the same name get the new ending behind their own: a.wav and a.flac
    become a.wav.l3ac and a.flac.l3ac. A name therefore never stands for another file than it did
    in an earlier run with fewer files. Raises TreeError where that is not enough.
    """
    same: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        # some file systems do not tell capitals from small letters
        same[str(file.with_suffix(ending(file))).casefold()].append(file)
    names = {
        file: file.with_suffix(ending(file))
        if len(alike) == 1
        else file.with_name(file.name + ending(file))
        for alike in same.values()
        for file in alike
    }
    taken: dict[str, Path] = {}
    for file, name in names.items():
        other = taken.setdefault(str(name).casefold(), file)
        if other != file:
            raise TreeError(f"{source}: {other} and {file} would both become {target / name}")
    return [Job(source / file, target / names[file]) for file in sorted(names)]


def remove_leftovers(planned: Iterable[Job]) -> int:
    """Remove the temporary files that killed processes have left of these targets; their number."""
    names: dict[Path, set[str]] = defaultdict(set)
    for job in planned:
        names[job.target.parent].add(job.target.name)
    removed = 0
    for folder in names:
        for path in _temporary_files(folder, names[folder]):
            with contextlib.suppress(OSError):
                path.unlink()
                removed += 1
    return removed


def _temporary_files(folder: Path, targets: Collection[str]) -> Iterator[Path]:
    if not folder.is_dir():
        return
    for path in list(folder.glob(".*.part")):
        match = TEMPORARY.fullmatch(path.name)
        if match and match["name"] in targets and not _is_running(int(match["process"])):
            yield path


def _is_running(process: int) -> bool:
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
