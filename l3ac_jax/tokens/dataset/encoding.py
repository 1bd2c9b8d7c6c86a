"""A folder of audio to a dataset of tokens. The order of rows is that of paths, not of the work."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from l3ac_jax.errors import TokenDatasetError, UserError
from l3ac_jax.system.locks import FolderInUseError, exclusive
from l3ac_jax.system.trees import Found, check_trees, find_files, make_folder
from l3ac_jax.tokens.dataset.index import Form, Index, describe, require_arrow
from l3ac_jax.tokens.dataset.writer import LOCK, TokenWriter, check_target, clear, is_complete
from l3ac_jax.tokens.format import EncodedAudio, TokenFormat

__all__ = ["SHARD_TOKENS", "DatasetPlan", "plan_dataset"]

# 16 MB of tokens, 7 to 25 hours of audio: what a killed run does again at most.
SHARD_TOKENS = 4_000_000
# Files whose tokens are in memory together. Within a group the order of the work is free, so that
# like lengths come together. Tokens take less memory than their audio does in any usual format.
GROUP_FILES = 512
GROUP_BYTES = 2**28

Result = EncodedAudio | Exception
OnDamage = Callable[[Path, str], None]  # is told what is missing of a file that is not whole
Encode = Callable[[list[Path], OnDamage], Iterable[tuple[Path, Result]]]  # in any order
Report = Callable[[int], None]  # is told how many files are done


def plan_dataset(
    source: Path,
    target: Path,
    endings: Collection[str],
    form: Form = "tokens",
    shard_tokens: int = SHARD_TOKENS,
    overwrite: bool = False,
) -> DatasetPlan:
    """Find the audio files, and out before the work whether their tokens can be written.

    Raises TokenDatasetError, TreeError, OutputError.
    """
    require_arrow()
    if shard_tokens < 1:
        raise TokenDatasetError(f"a shard must hold at least 1 token, not {shard_tokens}")
    if not source.is_dir():
        problem = "is not a folder" if source.exists() else "does not exist"
        raise TokenDatasetError(f"{source}: {problem}")
    check_trees(source, target)
    check_target(target, overwrite)
    found = find_files(source, endings)
    files = sorted(found.files, key=Path.as_posix)
    plan = DatasetPlan(source, target, found, files, form, shard_tokens, overwrite)
    _ = plan.complete  # or a dataset of something else, which is refused
    return plan


@dataclass(frozen=True)
class DatasetPlan:
    """A dataset that can be written."""

    source: Path
    target: Path
    found: Found
    files: list[Path]  # relative to `source`, in the order of the rows
    form: Form
    shard_tokens: int
    overwrite: bool

    @cached_property
    def complete(self) -> bool:
        """Whether it is there already, if the model is the same. Raises TokenDatasetError."""
        if self.overwrite:
            return False
        return is_complete(self.target, self.form, self.shard_tokens, self._inputs)

    def write(self, name: str, format: TokenFormat, encode: Encode, report: Report) -> Index:
        """Write it, or go on where an earlier run ended; the tokens are of the codec `name`.

        What is complete stays as it is, if it is whole.

        Raises TokenDatasetError, OutputError.
        """
        description = describe(name, format, self.form)
        with self._locked():
            if self.overwrite:
                clear(self.target)
            writer = TokenWriter(self.target, description, self.shard_tokens, self._inputs)
            if writer.complete:
                return writer.index
            for file, result, damage in self._in_order(encode, writer.files, report):
                writer.add(file.as_posix(), result, damage)
            return writer.finish([self._unreadable(error) for error in self.found.unreadable])

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        make_folder(self.target)
        lock = self.target / LOCK
        try:
            with exclusive(lock):
                yield
                lock.unlink(missing_ok=True)
        except FolderInUseError:
            raise TokenDatasetError(f"{self.target}: another process is writing to it") from None

    def _in_order(
        self, encode: Encode, done: int, report: Report
    ) -> Iterator[tuple[Path, Result, str | None]]:
        """The files but for the first `done`, with their results, and what is missing of them.

        The groups are the same wherever it begins, so that the batches are, too.
        """
        begin = 0
        for group in self._groups():
            if begin + len(group) > done:
                results, damage = self._results(encode, group, begin, report)
                for file in group[max(0, done - begin) :]:
                    yield file, results.pop(file), damage.get(file)
            begin += len(group)

    def _results(
        self, encode: Encode, group: list[Path], begin: int, report: Report
    ) -> tuple[dict[Path, Result], dict[Path, str]]:
        # Arrow's text is UTF-8; names of files need not be.
        results: dict[Path, Result] = {
            file: TokenDatasetError("its name is not UTF-8") for file in group if not _is_text(file)
        }
        paths = {self.source / file: file for file in group if file not in results}
        damage: dict[Path, str] = {}

        def note_damage(path: Path, message: str) -> None:
            damage[paths[path]] = message.removeprefix(f"{path}: ")

        for path, result in encode(list(paths), note_damage):
            results[paths[path]] = _without_name(path, result)
            report(begin + len(results))
        return results, damage

    def _groups(self) -> Iterator[list[Path]]:
        group: list[Path] = []
        size = 0
        for file in self.files:
            group.append(file)
            size += _size(self.source / file)
            if len(group) == GROUP_FILES or size >= GROUP_BYTES:
                yield group
                group, size = [], 0
        if group:
            yield group

    @cached_property
    def _inputs(self) -> str:
        """A fingerprint of the input: names, sizes and times of change of the files."""
        digest = hashlib.sha256()
        for file in self.files:
            size, changed = _size(self.source / file), 0
            with contextlib.suppress(OSError):
                changed = (self.source / file).stat().st_mtime_ns
            digest.update(
                f"{file.as_posix()}\0{size}\0{changed}\n".encode(errors="surrogateescape")
            )
        for error in self.found.unreadable:
            digest.update(f"{error}\n".encode(errors="surrogateescape"))
        return digest.hexdigest()

    def _unreadable(self, error: Exception) -> tuple[str, str]:
        path, _, reason = str(error).removeprefix(f"{self.source}/").partition(": ")
        return path, reason


def _without_name(path: Path, result: Result) -> Result:
    """Errors without the name that they begin with: it has a column of its own."""
    if isinstance(result, UserError):
        return UserError(str(result).removeprefix(f"{path}: "))
    return result


def _is_text(file: Path) -> bool:
    try:
        str(file).encode()
    except UnicodeEncodeError:
        return False
    return True


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # a link to nothing: a failure when it is read
        return 0
