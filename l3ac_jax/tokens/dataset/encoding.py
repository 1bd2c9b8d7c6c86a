"""A folder of audio to a dataset of tokens. The order of rows is that of paths, not of the work.

One plan, whoever does the work: the files in order, and the parts that they are encoded in. One
machine encodes part after part and writes shards as it goes (`write`). Several make parts, each its
own (`make_share`, or `write` with others' help), which are then put together in order (`merge`): to
the same bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from l3ac_jax.errors import TokenDatasetError
from l3ac_jax.system.locks import FolderInUseError
from l3ac_jax.system.shares import Share
from l3ac_jax.system.sources import Listing, SourceTree, check_apart, open_tree
from l3ac_jax.system.targets import TargetFolder, open_target
from l3ac_jax.system.trees import Found
from l3ac_jax.tokens.dataset.index import (
    Description,
    Form,
    Index,
    describe,
    read_index,
    require_arrow,
)
from l3ac_jax.tokens.dataset.parts import Encode, Part, PartWork
from l3ac_jax.tokens.dataset.writer import (
    LOCK,
    PARTS,
    TokenWriter,
    begun,
    check_target,
    clear,
    is_complete,
    remove_parts,
)
from l3ac_jax.tokens.format import TokenFormat

__all__ = ["SHARD_TOKENS", "DatasetPlan", "ShareMade", "plan_dataset"]

# 16 MB of tokens, 7 to 25 hours of audio: what a killed run does again at most.
SHARD_TOKENS = 4_000_000
# Files whose tokens are in memory together: a part. Within it the order of the work is free, so
# that like lengths come together. Tokens take less memory than their audio does in any usual
# format.
GROUP_FILES = 512
GROUP_BYTES = 2**28
SHOWN = 8  # parts that a message names

Report = Callable[[int], None]  # is told how many files are done
MakeParts = Callable[[PartWork, Sequence[Part]], None]  # others do it


def plan_dataset(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    endings: Collection[str],
    form: Form = "tokens",
    shard_tokens: int = SHARD_TOKENS,
    overwrite: bool = False,
) -> DatasetPlan:
    """Find the audio files, and out before the work whether their tokens can be written.

    Source and target are folders or URLs. Raises TokenDatasetError, TreeError, OutputError,
    SourceError.
    """
    require_arrow()
    if shard_tokens < 1:
        raise TokenDatasetError(f"a shard must hold at least 1 token, not {shard_tokens}")
    tree, folder = open_tree(source), open_target(target)
    if problem := tree.problem():
        raise TokenDatasetError(f"{tree}: {problem}")
    check_apart(tree, folder)
    check_target(folder, overwrite)
    listing = tree.find(endings)
    files = sorted(listing.found.files, key=Path.as_posix)
    plan = DatasetPlan(tree, folder, listing, files, form, shard_tokens, overwrite)
    _ = plan.complete  # or a dataset of something else, which is refused
    return plan


@dataclass(frozen=True)
class ShareMade:
    """What one of several calls has done: parts of its share, and files in them with failures."""

    made: int
    already: int
    parts: int  # of all shares
    failures: int


@dataclass(frozen=True)
class DatasetPlan:
    """A dataset that can be written."""

    source: SourceTree
    target: TargetFolder
    listing: Listing
    files: list[Path]  # relative to `source`, in the order of the rows
    form: Form
    shard_tokens: int
    overwrite: bool

    @property
    def found(self) -> Found:
        """The files, and what was left out."""
        return self.listing.found

    @cached_property
    def complete(self) -> bool:
        """Whether it is there already, if the model is the same. Raises TokenDatasetError."""
        if self.overwrite:
            return False
        return is_complete(self.target, self.form, self.shard_tokens, self._inputs)

    @cached_property
    def parts(self) -> list[Part]:
        """The input cut into parts, the same wherever the work begins, so that batches are, too."""
        return list(self._cut())

    def write(
        self,
        name: str,
        format: TokenFormat,
        encode: Encode | None,
        report: Report,
        others: MakeParts | None = None,
    ) -> Index:
        """Write it, or go on where an earlier run ended; the tokens are of the codec `name`.

        What is complete stays as it is, if it is whole. Parts that were made already are used.
        `others` makes parts elsewhere, before they are put together here; what they leave out is
        encoded here, if `encode` says how.

        Raises TokenDatasetError, OutputError, SourceError.
        """
        description = describe(name, format, self.form)
        with self._locked():
            if self.overwrite:
                clear(self.target)
            return self._write(description, encode, report, others)

    def make_share(
        self, share: Share, name: str, format: TokenFormat, encode: Encode, report: Report
    ) -> ShareMade:
        """Make the parts of a share that are not there yet, beside others who make theirs.

        Raises as `write` does, and TokenDatasetError with `overwrite`, which others' parts would
        not survive.
        """
        if self.overwrite:
            raise TokenDatasetError(
                f"{self.target}: is not begun anew by one call of several: remove it before them"
            )
        description = describe(name, format, self.form)
        with self._locked(together=True):
            _, state = begun(self.target, description, self.shard_tokens, self._inputs)
            safe = state.files if state else len(self.files)
            own = share.of(self.parts)
            work = self._work(description)
            missing = work.missing(part for part in own if part.end > safe)
            done = sum(len(part.files) for part in own) - sum(len(p.files) for p in missing)
            if missing:
                work.folder.make()
            failures = 0
            for part in missing:
                report(done)
                failures += work.make(part, encode, lambda count, done=done: report(done + count))
                done += len(part.files)
            return ShareMade(len(missing), len(own) - len(missing), len(self.parts), failures)

    def merge(self, report: Report) -> Index:
        """Put together the parts that were made, without a codec; complains if some are missing.

        Raises TokenDatasetError, OutputError.
        """
        try:
            description = read_index(self.target).description
        except TokenDatasetError as error:
            raise TokenDatasetError(f"{error}: no call with --shard has begun it") from None
        with self._locked():
            return self._write(description, None, report)

    def files_of(self, share: Share) -> int:
        """Number of files in the parts of a share."""
        return sum(len(part.files) for part in share.of(self.parts))

    def _write(
        self,
        description: Description,
        encode: Encode | None,
        report: Report,
        others: MakeParts | None = None,
    ) -> Index:
        writer = TokenWriter(self.target, description, self.shard_tokens, self._inputs)
        work = self._work(description)
        if not writer.complete:
            parts = [part for part in self.parts if part.end > writer.files]
            missing = work.missing(parts)
            if others is not None and missing:
                work.folder.make()
                others(work, missing)
                missing = work.missing(parts)
            if missing and encode is None:
                raise self._incomplete(missing)
            self._put_together(
                writer, work, parts, {part.number for part in missing}, encode, report
            )
            writer.finish([self._unreadable(error) for error in self.found.unreadable])
        remove_parts(work.folder)
        return writer.index

    def _put_together(
        self,
        writer: TokenWriter,
        work: PartWork,
        parts: Sequence[Part],
        missing: Collection[int],
        encode: Encode | None,
        report: Report,
    ) -> None:
        used: list[Part] = []
        for part in parts:
            if part.number in missing and encode is not None:
                outcomes = work.encoded(
                    part, encode, lambda count, begin=part.begin: report(begin + count)
                )
            else:
                outcomes = work.read(part)
                used.append(part)
                report(part.end)
            behind = max(0, writer.files - part.begin)  # where it goes on within a part
            for file, outcome in list(zip(part.files, outcomes, strict=True))[behind:]:
                writer.add(file.as_posix(), outcome.result, outcome.damage)
            while used and used[0].end <= writer.safe_files:  # no need of twice the space
                work.folder.remove(work.name(used.pop(0)))

    def _work(self, description: Description) -> PartWork:
        return PartWork(self.source, self.target.below(PARTS), description, self._inputs)

    def _incomplete(self, missing: Sequence[Part]) -> TokenDatasetError:
        numbers = ", ".join(str(part.number + 1) for part in missing[:SHOWN])
        dots = ", ..." if len(missing) > SHOWN else ""
        return TokenDatasetError(
            f"{self.target}: {len(missing)} of {len(self.parts)} parts are missing: {numbers}"
            f"{dots} (--shard I/N makes every N-th from the I-th on; calls that failed can be "
            "made again, also with another N)"
        )

    @contextlib.contextmanager
    def _locked(self, together: bool = False) -> Iterator[None]:
        self.target.make()
        try:
            with self.target.locked(LOCK, together):
                yield
                if not together:
                    self.target.remove(LOCK)
        except FolderInUseError:
            raise TokenDatasetError(f"{self.target}: another process is writing to it") from None

    def _cut(self) -> Iterator[Part]:
        group: list[Path] = []
        size = number = begin = 0
        for file in self.files:
            group.append(file)
            size += self.listing.stamp(file)[0]
            if len(group) == GROUP_FILES or size >= GROUP_BYTES:
                yield Part(number, begin, tuple(group))
                number, begin = number + 1, begin + len(group)
                group, size = [], 0
        if group:
            yield Part(number, begin, tuple(group))

    @cached_property
    def _inputs(self) -> str:
        """A fingerprint of the input: names, sizes and times of change of the files."""
        digest = hashlib.sha256()
        for file in self.files:
            size, changed = self.listing.stamp(file)
            digest.update(
                f"{file.as_posix()}\0{size}\0{changed}\n".encode(errors="surrogateescape")
            )
        for error in self.found.unreadable:
            digest.update(f"{error}\n".encode(errors="surrogateescape"))
        return digest.hexdigest()

    def _unreadable(self, error: Exception) -> tuple[str, str]:
        path, _, reason = str(error).removeprefix(f"{self.source}/").partition(": ")
        return path, reason
