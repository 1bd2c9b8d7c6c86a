"""Training batches made ahead by worker processes, with a state that is one number."""

from __future__ import annotations

import contextlib
import pickle
import shutil
import weakref
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Self, TypedDict

import numpy as np
from jaxtyping import Float32, Int32

from l3ac_jax.config.data import DataConfig
from l3ac_jax.data.training import HostBatch, TrainingData
from l3ac_jax.errors import DatasetError, LoaderError
from l3ac_jax.system.processes import make_pool

SHARED = Path("/dev/shm")


class LoaderState(TypedDict):
    """Where a loader stands: the step of its next batch, and a checksum of what it reads."""

    step: int
    data: str


class BatchLoader(Iterator[HostBatch]):
    """Endless batches from step 0 on, the same for any number of workers.

    With several hosts, `process_index` and `process_count` are JAX's: each reads its own shards.
    `workers` processes (0: this one, when asked) make up to two batches each ahead. Close it, or
    use it as a context manager. Raises what `TrainingData` raises, at once or when the batch that
    shows it comes up, and LoaderError when the workers cannot do their work.
    """

    def __init__(
        self,
        config: DataConfig,
        sample_rate: int,
        process_index: int = 0,
        process_count: int = 1,
        workers: int | None = None,
    ):
        self.data = TrainingData(config, sample_rate, process_index, process_count)
        self.step = 0
        workers = config.workers if workers is None else workers
        self._ahead = _Ahead(self.data, workers) if workers else None

    def __next__(self) -> HostBatch:
        batch = self._ahead.take(self.step) if self._ahead else self.data.batch(self.step)
        self.step += 1
        return batch

    def state(self) -> LoaderState:
        """What `restore` takes to go on with the batch that comes next now."""
        return LoaderState(step=self.step, data=self.data.identity)

    def restore(self, state: LoaderState) -> None:
        """Go on where another loader stood. Raises DatasetError if it read other data."""
        if type(state["step"]) is not int or state["step"] < 0:
            raise ValueError(f"a step is a number from 0 on, got {state['step']!r}")
        if state["data"] != self.data.identity:
            raise DatasetError(
                "the data differ from those that this training began with (the [data] table, the "
                "prepared corpora, or the number of processes): the same batches cannot go on"
            )
        self.step = state["step"]

    def close(self) -> None:
        """End the workers. Without workers there is nothing to end."""
        if self._ahead:
            self._ahead.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Ahead:
    """Batches in the making: two slots of shared memory for each worker, filled in turn.

    Through a pipe, two processes' batches of 24 crops of 7.2 s would cost as much as making them.
    """

    def __init__(self, data: TrainingData, workers: int):
        self._slots = 2 * workers
        self._shape = (self._slots, data.batch_size, data.crop)
        self.memory = _shared_memory(4 * int(np.prod(self._shape)), workers)
        self._audio: np.ndarray | None = np.ndarray(self._shape, np.float32, self.memory.buf)
        self.pool = make_pool(
            workers, _start_worker, pickle.dumps(data), self.memory.name, self._shape
        )
        self._pending: deque[tuple[int, Future[Int32[np.ndarray, " batch"]]]] = deque()
        self._end = weakref.finalize(self, _shut_down, self.pool, self.memory)

    def take(self, step: int) -> HostBatch:
        """The batch of a step; those that follow it are begun."""
        if self._audio is None:
            raise LoaderError("this loader is closed")
        if self._pending and self._pending[0][0] != step:
            self._forget()
        try:
            self._begin(step)
            _, future = self._pending.popleft()
            lengths = future.result()
            audio: Float32[np.ndarray, "batch time"] = self._audio[step % self._slots].copy()
            self._begin(step + 1)
        except BrokenProcessPool as error:
            raise LoaderError(
                "a worker process of the data loader was ended from outside (out of memory?)"
            ) from error
        return HostBatch(audio=audio, lengths=lengths)

    def close(self) -> None:
        self._audio = None  # a view of the memory, which cannot be closed while there is one
        self._end()

    def _begin(self, step: int) -> None:
        for ahead in range(step + len(self._pending), step + self._slots):
            slot = ahead % self._slots
            self._pending.append((ahead, self.pool.submit(_make_batch, ahead, slot)))

    def _forget(self) -> None:
        """No slot may be written to after it has been given to another step."""
        for _, future in self._pending:
            future.cancel()
        wait([future for _, future in self._pending])
        self._pending.clear()


def _shared_memory(size: int, workers: int) -> SharedMemory:
    """Raises LoaderError where there is not enough: the first write beyond it would be fatal."""
    if SHARED.is_dir() and (free := shutil.disk_usage(SHARED).free) < size:
        raise LoaderError(
            f"{workers} workers need {size / 1e6:.0f} MB of shared memory, and {SHARED} has "
            f"{free / 1e6:.0f} MB: take fewer workers, or enlarge it (docker run --shm-size)"
        )
    return SharedMemory(create=True, size=size)


def _shut_down(pool: ProcessPoolExecutor, memory: SharedMemory) -> None:
    pool.shutdown(wait=True, cancel_futures=True)
    memory.unlink()
    with contextlib.suppress(BufferError):  # at the end of a program that did not close its loader
        memory.close()


_data: TrainingData
_memory: SharedMemory
_audio: Float32[np.ndarray, "slot batch time"]


def _start_worker(data: bytes, name: str, shape: tuple[int, ...]) -> None:
    global _data, _memory, _audio
    _data = pickle.loads(data)
    _memory = SharedMemory(name)  # kept: the array is a view of it
    _audio = np.ndarray(shape, np.float32, _memory.buf)


def _make_batch(step: int, slot: int) -> Int32[np.ndarray, " batch"]:
    batch = _data.batch(step)
    _audio[slot] = batch["audio"]
    return batch["lengths"]
