"""Which file is made of which: the same tree under another folder, and names that cannot be."""

from __future__ import annotations

import os
import tempfile
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from l3ac_jax.errors import OutputError, TreeError
from l3ac_jax.system.files import check_length
from l3ac_jax.system.trees import Job

__all__ = ["Plan", "plan_jobs"]


@dataclass(frozen=True)
class Plan:
    """What there is to do, in order, and why some of the files cannot be done."""

    jobs: list[Job]
    refused: list[TreeError]


def plan_jobs(
    source: Path, target: Path, files: Iterable[Path], ending: Callable[[Path], str]
) -> Plan:
    """The same tree under `target`, where each file has the ending that `ending` gives it.

    Files that would then have the same name get the new ending behind their own: a.wav and a.flac
    become a.wav.l3ac and a.flac.l3ac. A name therefore never stands for another file than it did
    in an earlier run with fewer files. Files whose names are still the same to the target's file
    system are refused, as are names that are too long there; the others are not.
    """
    names = _names(files, ending)
    refused: dict[Path, TreeError] = {}
    for file, name in names.items():
        try:
            check_length(target / name)
        except OutputError as error:
            refused[file] = TreeError(f"{source / file}: {error}")
    for alike in _by(_key, {file: name for file, name in names.items() if file not in refused}):
        if not _kept_apart(target, [names[file] for file in alike]):
            refused |= {file: _clash(source, target, file, names, alike) for file in alike}
    jobs = [Job(source / file, target / names[file]) for file in sorted(names.keys() - refused)]
    return Plan(jobs, [refused[file] for file in sorted(refused)])


def _names(files: Iterable[Path], ending: Callable[[Path], str]) -> dict[Path, Path]:
    replaced = {file: file.with_suffix(ending(file)) for file in files}
    names = dict(replaced)
    # Names that differ in case count as the same, whatever the target takes: what a file is called
    # does not depend on the machine.
    for alike in _by(lambda name: str(name).casefold(), replaced):
        names |= {file: file.with_name(file.name + ending(file)) for file in alike}
    return names


def _by(key: Callable[[Path], str], names: dict[Path, Path]) -> list[list[Path]]:
    """The files of which several have names with the same key."""
    groups: dict[str, list[Path]] = defaultdict(list)
    for file, name in names.items():
        groups[key(name)].append(file)
    return [files for files in groups.values() if len(files) > 1]


def _key(name: Path) -> str:
    """Equal for names that some file system takes for one: it may not tell case or accents."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", str(name)).casefold())


def _kept_apart(target: Path, names: Sequence[Path]) -> bool:
    """Whether the file system of `target` has different files for all of these names."""
    if len(set(names)) < len(names):
        return False
    folder = target
    while not folder.is_dir():
        folder = folder.parent
    try:
        with tempfile.TemporaryDirectory(prefix=".l3ac-jax.", dir=folder) as probe:
            for name in names:
                path = Path(probe, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except OSError:
        return False
    return True


def _clash(
    source: Path, target: Path, file: Path, names: dict[Path, Path], alike: list[Path]
) -> TreeError:
    other = next(other for other in alike if other != file)
    why = "" if names[file] == names[other] else ", which are one to its file system"
    return TreeError(
        f"{source / file}: cannot be done together with {other}: they would become "
        f"{target / names[file]} and {names[other].name}{why}"
    )
