"""Processes for data: without JAX, quiet on Ctrl-C, and gone when their parent is.

Grain's own worker processes import JAX (for its pytrees), and Python's run the main script again,
which may import it too: seconds and memory for each worker, and on a GPU a second client.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import multiprocessing.connection
import os
import pickle
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.context import SpawnContext
from multiprocessing.synchronize import Barrier

SPAWN: SpawnContext = multiprocessing.get_context("spawn")
START_SECONDS = 300


def make_pool(workers: int, start: Callable[..., None], *arguments: object) -> ProcessPoolExecutor:
    """A pool of running processes, each of which has called `start(*arguments)` first.

    `arguments` must be things whose classes do not import JAX: give others as pickled bytes.
    """
    # Also `start` is only unpickled once JAX is out of reach: its module may import Grain.
    initial = (SPAWN.Barrier(workers), pickle.dumps(start), arguments)
    pool = ProcessPoolExecutor(workers, mp_context=SPAWN, initializer=_start, initargs=initial)
    with _quiet_start():
        # A task starts a process where none is idle, and none is before all have met.
        for _ in range(workers):
            pool.submit(os.getpid)
    return pool


@contextlib.contextmanager
def _quiet_start() -> Iterator[None]:
    """Processes started in this block do not run the main script again, and never hear Ctrl-C.

    Ctrl-C and SIGTERM that reach this thread wait for the end of the block, since half-started
    processes would complain. In a program with more threads another one may take them; then they
    interrupt the block, which still puts everything back.
    """
    with _starting:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = types.ModuleType("__main__")
        # What is blocked in this thread stays blocked in the processes that it starts.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        try:
            yield
        finally:
            sys.modules["__main__"] = main
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)  # last: this may raise


_starting = threading.Lock()


def _start(all_started: Barrier, start: bytes, arguments: tuple[object, ...]) -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    threading.Thread(target=_end_with_parent, daemon=True).start()
    all_started.wait(START_SECONDS)
    sys.modules["jax"] = None  # type: ignore[assignment]  # an import raises ImportError
    logging.getLogger("absl").setLevel(logging.ERROR)  # on which Grain remarks
    pickle.loads(start)(*arguments)


def _end_with_parent() -> None:
    """A killed parent closes no queue: without this its workers would wait, or work, for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)
