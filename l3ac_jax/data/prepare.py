"""A whole corpus -> shards, on all cores, going on where an earlier run was ended."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from pathlib import Path

from l3ac_jax.config.data import CorpusName, Split
from l3ac_jax.data.corpora import find_recordings
from l3ac_jax.data.dataset import DATASET_FILE, SKIPPED_FILE, DatasetInfo, ShardInfo, SplitInfo
from l3ac_jax.data.recordings import Cut
from l3ac_jax.data.shard import (
    NOTES,
    ShardNote,
    ShardPlan,
    Skipped,
    StoppedError,
    make_shard,
    plan_shards,
    read_note,
)
from l3ac_jax.errors import OutputError, PrepareError, SourceError
from l3ac_jax.system.files import complete_file
from l3ac_jax.system.locks import FolderInUseError, exclusive
from l3ac_jax.system.processes import SPAWN, make_pool

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
PLAN_FILE = "plan.json"
LOCK_FILE = "lock"
POLL_SECONDS = 0.2


@dataclass(frozen=True)
class PreparationProgress:
    """How far the work is: bytes of the source, of which `already` were done by earlier runs."""

    done: int
    total: int
    shards_done: int
    shards: int
    already: int


def prepare(
    corpus: CorpusName,
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    cut: Cut,
    held_out: float = 0.0,
    workers: int | None = None,
    report: Callable[[PreparationProgress], None] = lambda _: None,
    overwrite: bool = False,
) -> tuple[DatasetInfo, list[Skipped]]:
    """Make the shards of a corpus that are not there yet, then dataset.json and skipped.tsv.

    Whatever the interruptions, the result is the same to the byte. `workers` are processes, one for
    each core unless given; `report` is called several times a second. With `overwrite`, what an
    earlier run made in the target of other input is removed first. Raises LayoutError for a source
    that is not what its publisher ships, PrepareError for a target that holds something else or
    cannot be written to, and for recordings that can no longer be read.
    """
    recordings = find_recordings(corpus, source, held_out)
    plans: dict[Split, list[ShardPlan]] = {
        split: plan_shards([r for r in recordings if r.split == split], split) for split in SPLITS
    }
    shards = [plan for split in SPLITS for plan in plans[split]]
    target = Path(target)
    _check_target(target)
    with _locked(target):
        try:
            if overwrite:
                _remove_dataset(target)
            _check_plan(target, corpus, cut, shards)
            _remove_leftovers(target)
            _make_missing(shards, target, cut, workers or _cores(), report)
            return _finish(target, corpus, cut, plans)
        except (OutputError, SourceError, BrokenProcessPool) as error:
            finished = sum(read_note(target, plan, cut) is not None for plan in shards)
            raise PrepareError(
                f"{error} ({finished} of {len(shards)} shards are done; once the cause is removed, "
                "the same command goes on)"
            ) from error


@contextlib.contextmanager
def _locked(target: Path) -> Iterator[None]:
    """One run at a time."""
    with contextlib.ExitStack() as lock:
        try:
            (target / NOTES).mkdir(parents=True, exist_ok=True)
            lock.enter_context(exclusive(target / NOTES / LOCK_FILE))
        except FolderInUseError:
            raise PrepareError(f"{target}: another run is writing here") from None
        except OSError as error:
            reason = error.strerror or error
            raise PrepareError(f"{target}: cannot be written to: {reason}") from None
        yield


def _check_target(target: Path) -> None:
    """Refuse a folder with other things in it, before anything is put there."""
    if not target.exists() or (target / NOTES / PLAN_FILE).exists():
        return
    if not target.is_dir():
        raise PrepareError(f"{target}: is not a folder")
    strangers = sorted(path.name for path in target.iterdir() if path.name != NOTES)
    if strangers:
        raise PrepareError(
            f"{target}: holds other things already, such as {strangers[0]}: give a new folder"
        )


def _check_plan(target: Path, corpus: CorpusName, cut: Cut, shards: Sequence[ShardPlan]) -> None:
    """Refuse a target that was begun from other recordings or with other settings."""
    recordings = hashlib.sha256("".join(plan.checksum() for plan in shards).encode())
    plan = {
        "corpus": corpus,
        "settings": asdict(cut),
        "files": {s.name: len(s.recordings) for s in shards},
        "recordings": recordings.hexdigest(),
    }
    path = target / NOTES / PLAN_FILE
    try:
        begun = json.loads(path.read_bytes())
    except FileNotFoundError:
        with complete_file(path, overwrite=True) as temporary:
            temporary.write_text(json.dumps(plan), encoding="ascii")
        return
    except ValueError as error:
        raise PrepareError(f"{path}: is damaged ({error}); --overwrite begins anew") from None
    if begun != plan:
        differing = [key for key in plan if begun.get(key) != plan[key]]
        raise PrepareError(
            f"{target}: was begun with other input ({', '.join(differing)} differ): give another "
            "folder, or --overwrite to begin anew"
        )


def _remove_dataset(target: Path) -> None:
    """Remove what `prepare` made, and nothing else; its plan last, which says that it is ours."""
    if not (target / NOTES / PLAN_FILE).exists():
        return
    (target / DATASET_FILE).unlink(missing_ok=True)
    (target / SKIPPED_FILE).unlink(missing_ok=True)
    ours = f"({'|'.join(SPLITS)})-[0-9]{{5}}"
    for folder, suffix in ((target, "array_record"), (target / NOTES, "json")):
        for path in folder.iterdir():
            if re.fullmatch(rf"{ours}\.{suffix}", path.name):
                path.unlink()
    (target / NOTES / PLAN_FILE).unlink()


def _remove_leftovers(target: Path) -> None:
    """Of a run that was killed: half-written files."""
    for pattern in (".*.part", f"{NOTES}/.*.part"):
        for path in target.glob(pattern):
            path.unlink()


def _make_missing(
    plans: Sequence[ShardPlan],
    target: Path,
    cut: Cut,
    workers: int,
    report: Callable[[PreparationProgress], None],
) -> None:
    missing = [plan for plan in plans if read_note(target, plan, cut) is None]
    if not missing:
        return
    total = sum(plan.bytes for plan in plans)
    already = total - sum(plan.bytes for plan in missing)
    done: Synchronized[int] = SPAWN.Value("q", already)
    stop = SPAWN.Event()

    def tell(finished: int) -> None:
        shards_done = len(plans) - len(missing) + finished
        report(PreparationProgress(done.value, total, shards_done, len(plans), already))

    pool = make_pool(min(workers, len(missing)), _start_worker, done, stop)
    try:
        _await([pool.submit(_work, target, plan, cut) for plan in missing], tell)
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)


def _await(futures: Sequence[Future[None]], tell: Callable[[int], None]) -> None:
    """Wait for all, reporting; raises what the first that fails raises."""
    pending = set(futures)
    while pending:
        finished, pending = wait(pending, POLL_SECONDS, FIRST_COMPLETED)
        for future in finished:
            future.result()
        tell(len(futures) - len(pending))


_done: Synchronized[int]
_stop: Event


def _start_worker(done: Synchronized[int], stop: Event) -> None:
    global _done, _stop
    _done, _stop = done, stop


def _work(target: Path, plan: ShardPlan, cut: Cut) -> None:
    with contextlib.suppress(StoppedError):
        make_shard(target, plan, cut, _advance, _stop.is_set)


def _advance(count: int) -> None:
    with _done.get_lock():
        _done.value += count


def _cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _finish(
    target: Path, corpus: CorpusName, cut: Cut, plans: dict[Split, list[ShardPlan]]
) -> tuple[DatasetInfo, list[Skipped]]:
    notes: dict[Split, list[ShardNote]] = {}
    for split, shards in plans.items():
        found = {plan.name: read_note(target, plan, cut) for plan in shards}
        lost = [name for name, note in found.items() if note is None]
        if lost:
            raise PrepareError(f"{target}: {', '.join(lost)}: vanished while the others were made")
        notes[split] = [note for note in found.values() if note is not None]
    splits: dict[Split, SplitInfo] = {
        split: _split_info([note.shard for note in made if note.shard], cut.sample_rate)
        for split, made in notes.items()
        if any(note.shard for note in made)
    }
    skipped = [skip for made in notes.values() for note in made for skip in note.skipped]
    digest = hashlib.sha256(
        "".join(shard.sha256 for info in splits.values() for shard in info.shards).encode()
    )
    info = DatasetInfo(
        corpus=corpus,
        sample_rate=cut.sample_rate,
        splits=splits,
        skipped=len(skipped),
        sha256=digest.hexdigest(),
    )
    with (
        complete_file(target / SKIPPED_FILE, overwrite=True) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as lines,
    ):
        table = csv.writer(lines, delimiter="\t", lineterminator="\n")
        table.writerow(["source", "reason"])
        table.writerows((skip.source, skip.reason) for skip in skipped)
    if not splits:
        raise PrepareError(
            f"{target}: none of the files can be used: {SKIPPED_FILE} says why of each"
        )
    # Last: it says that everything is there.
    with complete_file(target / DATASET_FILE, overwrite=True) as temporary:
        temporary.write_text(info.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return info, skipped


def _split_info(shards: Sequence[ShardInfo], sample_rate: int) -> SplitInfo:
    return SplitInfo(
        clips=sum(shard.clips for shard in shards),
        seconds=round(sum(shard.samples for shard in shards) / sample_rate, 3),
        shards=tuple(shards),
    )
