"""Shards of a corpus on all cores of this machine."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event

from l3ac_jax.data.recordings import Cut
from l3ac_jax.data.shard import ShardPlan, StoppedError, make_shard
from l3ac_jax.system.processes import SPAWN, make_pool
from l3ac_jax.system.targets import TargetFolder

__all__ = ["PreparationProgress", "Report", "make_shards"]

POLL_SECONDS = 0.2


@dataclass(frozen=True)
class PreparationProgress:
    """How far the work is: bytes of the source, of which `already` were done by earlier runs."""

    done: int
    total: int
    shards_done: int
    shards: int
    already: int


Report = Callable[[PreparationProgress], None]


def make_shards(
    plans: Sequence[ShardPlan],
    missing: Sequence[ShardPlan],
    target: TargetFolder,
    cut: Cut,
    workers: int | None,
    report: Report,
) -> None:
    """Make those of the `plans` that are missing, in processes; one for each core unless given."""
    if not missing:
        return
    total = sum(plan.bytes for plan in plans)
    already = total - sum(plan.bytes for plan in missing)
    done: Synchronized[int] = SPAWN.Value("q", already)
    stop = SPAWN.Event()

    def tell(finished: int) -> None:
        shards_done = len(plans) - len(missing) + finished
        report(PreparationProgress(done.value, total, shards_done, len(plans), already))

    pool = make_pool(min(workers or _cores(), len(missing)), _start_worker, done, stop)
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


def _work(target: TargetFolder, plan: ShardPlan, cut: Cut) -> None:
    with contextlib.suppress(StoppedError):
        make_shard(target, plan, cut, _advance, _stop.is_set)


def _advance(count: int) -> None:
    with _done.get_lock():
        _done.value += count


def _cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
