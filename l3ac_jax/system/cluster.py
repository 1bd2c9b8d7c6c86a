"""Work on a Ray cluster: the same function of many items, done somewhere, each at least once.

A worker is an actor with one device: a GPU, or some cores of a node. Where there are GPUs in the
cluster, only they are used, so that no result depends on which device it happened to be made on.
A worker that dies, with its node or alone, costs its item's time: the item goes to another one, and
the place is filled again while its node lives. Nodes that join are used.

What a worker makes it puts where others find it; only what fits a message comes back.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from l3ac_jax.errors import ArgumentError, UserError, WorkError
from l3ac_jax.system.packages import needs_extra

__all__ = ["LOCAL", "check_cluster", "on_cluster"]

LOCAL = "local"  # an address: a cluster of this machine alone, for this run
POLL_SECONDS = 1.0  # between looks at the nodes
PAUSE_SECONDS = 5.0  # before a place is tried again whose worker did not start
# A worker can die of its item (memory, a crash in a library). More than one death is usual where
# nodes are taken away; an item that has seen so many is the reason.
DEATHS = 5
CONNECT_SECONDS = 10.0
WAIT_SECONDS = 60.0  # without any worker, until it is said that none starts

Item = TypeVar("Item")
Result = TypeVar("Result")
Note = Callable[[str], None]


@dataclass(frozen=True)
class Place:
    """Room for one worker on a node."""

    node: str  # Ray's id
    host: str
    number: int
    gpu: bool
    cores: int

    def __str__(self) -> str:
        return f"{'GPU' if self.gpu else 'worker'} {self.number} of {self.host}"


@dataclass
class _Worker:
    place: Place
    actor: Any
    call: Any  # Ray's reference to what it does now
    item: int | None = None  # its number; None while it starts


def on_cluster(
    address: str,
    start: Callable[[], Callable[[Item], Result]],
    items: Sequence[Item],
    cores: int = 1,
    note: Note = lambda line: None,
    gpus: bool = True,
) -> Iterator[tuple[Item, Result]]:
    """Each item with its result, in the order in which they are done.

    Each worker calls `start` once, and what that gives for each item. Where the cluster has GPUs,
    and `gpus` says that they are of use, it has one; otherwise `cores` cores. `address` is that of
    the head (HOST:PORT), `auto` for the cluster of this machine, or `local` to start one. `note` is
    told which workers have died.

    Raises the UserError that an item gives, with its place, and WorkError for an item of which
    workers die; ArgumentError where there is no cluster, MissingPackageError.
    """
    if not items:
        return
    check_cluster(address)
    import ray
    import ray.util.scheduling_strategies

    with _connected(ray, address):
        crew = _Crew(ray, start, cores, note, gpus)
        try:
            yield from crew.work(items)
        finally:
            crew.dismiss()


def check_cluster(address: str) -> None:
    """Find out before the work whether there can be a cluster. Raises as `on_cluster`."""
    with needs_extra("cluster", "--ray"):
        import ray  # noqa: F401
    _check_port(address)


class _Crew(Generic[Item, Result]):
    """The workers of a run."""

    def __init__(
        self,
        ray: Any,
        start: Callable[[], Callable[[Item], Result]],
        cores: int,
        note: Note,
        gpus: bool,
    ):
        self._ray, self._cores, self._note, self._gpus = ray, cores, note, gpus
        self._start = ray.put(start)
        self._actor = ray.remote(_Actor)
        self._workers: dict[Place, _Worker] = {}
        self._not_before: dict[Place, float] = {}

    def work(self, items: Sequence[Item]) -> Iterator[tuple[Item, Result]]:
        waiting = deque(range(len(items)))
        deaths: Counter[int] = Counter()
        left = len(items)
        looked = -POLL_SECONDS
        told = time.monotonic() + WAIT_SECONDS
        while left:
            if time.monotonic() - looked >= POLL_SECONDS:
                self._fill(len(waiting))
                looked = time.monotonic()
            for worker, answer in self._answers():
                number = worker.item
                if isinstance(answer, Exception):
                    self._bury(worker, answer, "" if number is None else f"{items[number]}")
                    if number is not None:
                        deaths[number] += 1
                        waiting.appendleft(number)
                        if deaths[number] == DEATHS:
                            died = f"{DEATHS} workers died at it"
                            raise WorkError(f"{items[number]}: {died}: {_reason(answer)}")
                    continue
                if waiting:
                    worker.item = waiting.popleft()
                    worker.call = worker.actor.work.remote(items[worker.item])
                else:
                    self._release(worker)
                if number is not None:
                    left -= 1
                    yield items[number], answer
            if any(worker.item is not None for worker in self._workers.values()):
                told = time.monotonic() + WAIT_SECONDS
            elif time.monotonic() > told:
                self._note("no worker has started yet: are the nodes busy with other work?")
                told = time.monotonic() + WAIT_SECONDS

    def dismiss(self) -> None:
        """End all workers."""
        for worker in list(self._workers.values()):
            self._release(worker)

    def _fill(self, wanted: int) -> None:
        """Start workers in free places, no more than there are items for."""
        for place in self._places():
            starting = sum(worker.item is None for worker in self._workers.values())
            if starting >= wanted:
                return
            if place in self._workers or time.monotonic() < self._not_before.get(place, 0):
                continue
            strategy = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
                place.node, soft=False
            )
            actor = self._actor.options(
                num_cpus=place.cores, num_gpus=int(place.gpu), scheduling_strategy=strategy,
                max_restarts=0, max_task_retries=0,
            ).remote()  # fmt: skip
            pinned = None if place.gpu else (place.number * place.cores, place.cores)
            self._workers[place] = _Worker(place, actor, actor.start.remote(self._start, pinned))

    def _places(self) -> list[Place]:
        nodes = [node for node in self._ray.nodes() if node["Alive"]]
        gpus = self._gpus and any(node["Resources"].get("GPU", 0) >= 1 for node in nodes)
        places = []
        for node in nodes:
            cores = 1 if gpus else self._cores
            count = node["Resources"].get("GPU" if gpus else "CPU", 0) // cores
            host = node["NodeManagerHostname"]
            places += [Place(node["NodeID"], host, n, gpus, cores) for n in range(int(count))]
        # one on each node before a second: nodes share memory, network and disk
        return sorted(places, key=lambda place: place.number)

    def _answers(self) -> Iterator[tuple[_Worker, Any]]:
        """Workers that have started or done their item, with the result, or why they are lost."""
        calls = {worker.call: worker for worker in self._workers.values()}
        if not calls:
            time.sleep(POLL_SECONDS)
            return
        done, _ = self._ray.wait(list(calls), timeout=POLL_SECONDS)
        errors = self._ray.exceptions
        for call in done:
            worker = calls[call]
            try:
                answer = self._ray.get(call)
            except errors.RayTaskError as error:  # raised by what was to be done
                if isinstance(error.cause, UserError):
                    cause = error.cause
                    raise type(cause)(f"{cause} ({worker.place})") from error
                raise
            except errors.RayError as error:
                answer = error
            yield worker, answer

    def _bury(self, worker: _Worker, error: Exception, item: str) -> None:
        what = f"died at {item}, which is done again" if item else "did not start"
        self._note(f"{worker.place}: {what}: {_reason(error)}")
        self._not_before[worker.place] = time.monotonic() + PAUSE_SECONDS
        self._release(worker)

    def _release(self, worker: _Worker) -> None:
        del self._workers[worker.place]
        with contextlib.suppress(Exception):  # it may be dead, or the whole cluster
            self._ray.kill(worker.actor)


class _Actor:
    """What runs in a worker's process."""

    def start(
        self, start: Callable[[], Callable[[Any], Any]], pinned: tuple[int, int] | None
    ) -> None:
        """Get ready. `pinned`: the first of its cores, and their number."""
        if pinned is not None:
            _pin(*pinned)
        self._work = start()

    def work(self, item: Any) -> Any:
        """Do one item."""
        return self._work(item)


def _pin(first: int, count: int) -> None:
    """To cores of its own: libraries start a thread for each core that a process may use."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        if first + count <= len(cores):
            os.sched_setaffinity(0, cores[first : first + count])


@contextlib.contextmanager
def _connected(ray: Any, address: str) -> Iterator[None]:
    """In the cluster, for as long as the block; a program that is in one already stays in it."""
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to Ray's makers
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}
    try:
        with warnings.catch_warnings():
            # Of JAX, before an exec that leaves nothing of it.
            warnings.filterwarnings("ignore", r"os\.fork\(\) was called", RuntimeWarning)
            if address == LOCAL:
                ray.init(include_dashboard=False, **quiet)
            else:
                ray.init(address=address, **quiet)
    except Exception as error:  # of all kinds, also a bare one where a start takes too long
        what = "cannot be started" if address == LOCAL else "there is none that answers"
        raise ArgumentError(f"--ray {address}: {what}: {_reason(error)}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _check_port(address: str) -> None:
    """Ray itself tries for minutes before it says that nobody answers."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ArgumentError(f"--ray {address}: nothing answers there: {error}") from error


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
