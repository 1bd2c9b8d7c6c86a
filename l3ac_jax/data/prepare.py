"""A whole corpus -> shards, going on where an earlier run was ended.

One plan, whoever does the work: which shards there are and what goes into each, which follows from
the recordings' names and sizes. Each shard is made by `make_shard`, here on all cores (`make`), by
one of several calls (`make_share`) or by others (`make` with `others`); then `dataset.json` says
that all are there.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass

from l3ac_jax.config.data import CorpusName, Split
from l3ac_jax.data.corpora import find_recordings
from l3ac_jax.data.dataset import DATASET_FILE, SKIPPED_FILE, DatasetInfo, ShardInfo, SplitInfo
from l3ac_jax.data.pool import PreparationProgress, Report, make_shards
from l3ac_jax.data.recordings import Cut
from l3ac_jax.data.shard import NOTES, ShardNote, ShardPlan, Skipped, plan_shards, read_note
from l3ac_jax.errors import OutputError, PrepareError, SourceError, WorkError
from l3ac_jax.system.locks import FolderInUseError
from l3ac_jax.system.shares import Share
from l3ac_jax.system.targets import TargetFolder, open_target

__all__ = ["Preparation", "PreparationProgress", "ShareMade", "plan_preparation", "prepare"]

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
PLAN_FILE = "plan.json"
LOCK_FILE = "lock"
PART = re.compile(r"\..*\.part")  # a file that a killed process had begun to write
SHOWN = 8  # shards that a message names

Made = tuple[DatasetInfo, list[Skipped]]
MakeShards = Callable[[TargetFolder, Sequence[ShardPlan], Sequence[ShardPlan]], None]


def prepare(
    corpus: CorpusName,
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    cut: Cut,
    held_out: float = 0.0,
    workers: int | None = None,
    report: Report = lambda _: None,
    overwrite: bool = False,
) -> Made:
    """Make the shards of a corpus that are not there yet, then dataset.json and skipped.tsv.

    Whatever the interruptions, the result is the same to the byte. `workers` are processes, one for
    each core unless given; `report` is called several times a second. With `overwrite`, what an
    earlier run made in the target of other input is removed first. Raises LayoutError for a source
    that is not what its publisher ships, PrepareError for a target that holds something else or
    cannot be written to, and for recordings that can no longer be read.
    """
    plan = plan_preparation(corpus, source, target, cut, held_out)
    return plan.make(workers, report, overwrite)


def plan_preparation(
    corpus: CorpusName,
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    cut: Cut,
    held_out: float = 0.0,
) -> Preparation:
    """Find the recordings of a corpus, and cut them into shards. The target may be a URL.

    Raises LayoutError, SourceError.
    """
    recordings = find_recordings(corpus, source, held_out)
    plans: dict[Split, list[ShardPlan]] = {
        split: plan_shards([r for r in recordings if r.split == split], split) for split in SPLITS
    }
    return Preparation(corpus, open_target(target), cut, plans)


@dataclass(frozen=True)
class ShareMade:
    """What one of several calls has done: shards of its share, and clips that are not used."""

    made: int
    already: int
    shards: int  # of all shares
    skipped: int


@dataclass(frozen=True)
class Preparation:
    """A corpus whose shards can be made. All that is raised is PrepareError, or said there."""

    corpus: CorpusName
    target: TargetFolder
    cut: Cut
    plans: dict[Split, list[ShardPlan]]

    @property
    def shards(self) -> list[ShardPlan]:
        """Those of all splits, in order."""
        return [plan for split in SPLITS for plan in self.plans[split]]

    def missing(self, shards: Sequence[ShardPlan]) -> list[ShardPlan]:
        """Those that have not been made of this input."""
        return [plan for plan in shards if read_note(self.target, plan, self.cut) is None]

    def make(
        self,
        workers: int | None = None,
        report: Report = lambda _: None,
        overwrite: bool = False,
        others: MakeShards | None = None,
    ) -> Made:
        """Make what is missing, or have `others` make it, and finish."""
        with self._begun(overwrite):
            missing = self.missing(self.shards)
            if others is None:
                make_shards(self.shards, missing, self.target, self.cut, workers, report)
            elif missing:
                others(self.target, self.shards, missing)
            return self._finish("vanished while the others were made")

    def make_share(
        self, share: Share, workers: int | None = None, report: Report = lambda _: None
    ) -> ShareMade:
        """Make what is missing of a share, beside others who make theirs."""
        with self._begun(together=True):
            own = share.of(self.shards)
            missing = self.missing(own)
            make_shards(own, missing, self.target, self.cut, workers, report)
            notes = [read_note(self.target, plan, self.cut) for plan in own]
            skipped = sum(len(note.skipped) for note in notes if note)
            return ShareMade(len(missing), len(own) - len(missing), len(self.shards), skipped)

    def merge(self) -> Made:
        """Finish, where all shards have been made; says which are missing otherwise."""
        if self.target.below(NOTES).size(PLAN_FILE) is None:
            raise PrepareError(f"{self.target}: no call with --shard has begun it")
        with self._begun():
            return self._finish(
                "missing (--shard I/N makes every N-th shard from the I-th on; calls that failed "
                "can be made again, also with another N)"
            )

    @contextlib.contextmanager
    def _begun(self, overwrite: bool = False, together: bool = False) -> Iterator[None]:
        _check_target(self.target)
        with _locked(self.target, together):
            try:
                if overwrite:
                    _remove_dataset(self.target)
                _check_plan(self.target, self.corpus, self.cut, self.shards)
                if not together:
                    _remove_leftovers(self.target)
                yield
            except (OutputError, SourceError, BrokenProcessPool, WorkError) as error:
                finished = len(self.shards) - len(self.missing(self.shards))
                raise PrepareError(
                    f"{error} ({finished} of {len(self.shards)} shards are done; once the cause is "
                    "removed, the same command goes on)"
                ) from error

    def _finish(self, lost_words: str) -> Made:
        notes: dict[Split, list[ShardNote]] = {}
        lost: list[str] = []
        for split, shards in self.plans.items():
            found = {plan.name: read_note(self.target, plan, self.cut) for plan in shards}
            lost += [name for name, note in found.items() if note is None]
            notes[split] = [note for note in found.values() if note is not None]
        if lost:
            dots = ", ..." if len(lost) > SHOWN else ""
            raise PrepareError(f"{self.target}: {', '.join(lost[:SHOWN])}{dots}: {lost_words}")
        splits: dict[Split, SplitInfo] = {
            split: _split_info([note.shard for note in made if note.shard], self.cut.sample_rate)
            for split, made in notes.items()
            if any(note.shard for note in made)
        }
        skipped = [skip for made in notes.values() for note in made for skip in note.skipped]
        digest = hashlib.sha256(
            "".join(shard.sha256 for info in splits.values() for shard in info.shards).encode()
        )
        info = DatasetInfo(
            corpus=self.corpus,
            sample_rate=self.cut.sample_rate,
            splits=splits,
            skipped=len(skipped),
            sha256=digest.hexdigest(),
        )
        with (
            self.target.writing(SKIPPED_FILE) as temporary,
            temporary.open("w", encoding="utf-8", newline="") as lines,
        ):
            table = csv.writer(lines, delimiter="\t", lineterminator="\n")
            table.writerow(["source", "reason"])
            table.writerows((skip.source, skip.reason) for skip in skipped)
        if not splits:
            raise PrepareError(
                f"{self.target}: none of the files can be used: {SKIPPED_FILE} says why of each"
            )
        # Last: it says that everything is there.
        with self.target.writing(DATASET_FILE) as temporary:
            temporary.write_text(info.model_dump_json(indent=1) + "\n", encoding="utf-8")
        return info, skipped


@contextlib.contextmanager
def _locked(target: TargetFolder, together: bool) -> Iterator[None]:
    """One run at a time, or several together."""
    notes = target.below(NOTES)
    with contextlib.ExitStack() as lock:
        try:
            notes.make()
            lock.enter_context(notes.locked(LOCK_FILE, together))
        except FolderInUseError:
            raise PrepareError(f"{target}: another run is writing here") from None
        except (OSError, OutputError) as error:
            cause = error.__cause__ if isinstance(error, OutputError) else error
            reason = getattr(cause, "strerror", None) or error
            raise PrepareError(f"{target}: cannot be written to: {reason}") from None
        yield


def _check_target(target: TargetFolder) -> None:
    """Refuse a folder with other things in it, before anything is put there."""
    if not target.exists() or target.below(NOTES).size(PLAN_FILE) is not None:
        return
    if not target.is_folder():
        raise PrepareError(f"{target}: is not a folder")
    strangers = sorted(name for name in target.names() if name != NOTES)
    if strangers:
        raise PrepareError(
            f"{target}: holds other things already, such as {strangers[0]}: give a new folder"
        )


def _check_plan(
    target: TargetFolder, corpus: CorpusName, cut: Cut, shards: Sequence[ShardPlan]
) -> None:
    """Refuse a target that was begun from other recordings or with other settings."""
    recordings = hashlib.sha256("".join(plan.checksum() for plan in shards).encode())
    plan = {
        "corpus": corpus,
        "settings": asdict(cut),
        "files": {s.name: len(s.recordings) for s in shards},
        "recordings": recordings.hexdigest(),
    }
    notes = target.below(NOTES)
    try:
        begun = json.loads(notes.read(PLAN_FILE))
    except FileNotFoundError:
        with notes.writing(PLAN_FILE) as temporary:
            temporary.write_text(json.dumps(plan), encoding="ascii")
        return
    except ValueError as error:
        raise PrepareError(
            f"{notes}/{PLAN_FILE}: is damaged ({error}); --overwrite begins anew"
        ) from None
    if begun != plan:
        differing = [key for key in plan if begun.get(key) != plan[key]]
        raise PrepareError(
            f"{target}: was begun with other input ({', '.join(differing)} differ): give another "
            "folder, or --overwrite to begin anew"
        )


def _remove_dataset(target: TargetFolder) -> None:
    """Remove what `prepare` made, and nothing else; its plan last, which says that it is ours."""
    notes = target.below(NOTES)
    if notes.size(PLAN_FILE) is None:
        return
    target.remove(DATASET_FILE)
    target.remove(SKIPPED_FILE)
    ours = f"({'|'.join(SPLITS)})-[0-9]{{5}}"
    for folder, suffix in ((target, "array_record"), (notes, "json")):
        for name in folder.names():
            if re.fullmatch(rf"{ours}\.{suffix}", name):
                folder.remove(name)
    notes.remove(PLAN_FILE)


def _remove_leftovers(target: TargetFolder) -> None:
    """Of a run that was killed: half-written files."""
    for folder in (target, target.below(NOTES)):
        for name in folder.names():
            if PART.fullmatch(name):
                folder.remove(name)


def _split_info(shards: Sequence[ShardInfo], sample_rate: int) -> SplitInfo:
    return SplitInfo(
        clips=sum(shard.clips for shard in shards),
        seconds=round(sum(shard.samples for shard in shards) / sample_rate, 3),
        shards=tuple(shards),
    )
