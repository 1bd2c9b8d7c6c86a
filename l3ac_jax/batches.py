"""Many files through a codec: like lengths together, reading in the background.

A file gives what it gives alone: neither the other clips of a batch nor padding matter.
"""

from __future__ import annotations

import os
from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from jaxtyping import Float, Shaped

from l3ac_jax.audio_stream import joined, open_reader
from l3ac_jax.buckets import bucket_tokens
from l3ac_jax.codec import L3AC
from l3ac_jax.encoded import EncodedAudio

__all__ = ["LONGEST", "RowBatches", "ahead", "encode_files"]

# Seconds. What is longer goes through the codec piece by piece, by itself.
LONGEST = 40.0
# Seconds of audio, padding included, in a batch.
BATCH_SECONDS = 40.0
THREADS = 2
AHEAD = 32  # files that are read before they are needed

Item = TypeVar("Item")
Result = TypeVar("Result")
Key = TypeVar("Key", bound=Hashable)
Row = Shaped[np.ndarray, " time"]


def encode_files(
    codec: L3AC, paths: Iterable[str | os.PathLike[str]]
) -> Iterator[tuple[Path, EncodedAudio | Exception]]:
    """Each audio file with its tokens, or with why it has none (an AudioError, as a rule).

    Short files are encoded together and long ones piece by piece, so that memory is bounded.
    They come in the order in which they are done, which is the same for the same files.
    """
    batches: RowBatches[tuple[Path, _Clip]] = RowBatches(codec.hop_length, codec, _encode(codec))

    def finished(done):
        for (path, clip), tokens in done:
            yield path, tokens if isinstance(tokens, Exception) else clip.encoded(codec, tokens)

    for path, clip in ahead(lambda path: _read(path, codec.sample_rate), map(Path, paths)):
        if isinstance(clip, Exception):
            yield path, clip
        elif clip.rows is None:
            yield path, _encode_long(codec, path)
        else:
            yield from finished(batches.push((path, clip), clip.rows))
    yield from finished(batches.finish())


@dataclass(frozen=True, eq=False)
class _Clip:
    """A file at the codec's rate; no rows where it is too long to be in memory at once."""

    rows: Float[np.ndarray, "C T"] | None
    samples: int
    sample_rate: int

    def encoded(self, codec: L3AC, tokens: np.ndarray) -> EncodedAudio:
        return EncodedAudio(tokens, self.samples, self.sample_rate, codec.name, codec.token_format)


def _read(path: Path, rate: int) -> _Clip:
    with open_reader(path) as reader:
        if reader.expected_samples > LONGEST * reader.sample_rate:
            return _Clip(None, reader.expected_samples, reader.sample_rate)
        return _Clip(joined(reader.blocks(rate)), reader.samples, reader.sample_rate)


def _encode_long(codec: L3AC, path: Path) -> EncodedAudio | Exception:
    from l3ac_jax.coding import encode_file

    try:
        return encode_file(codec, path)
    except ValueError as error:
        return error


def _encode(codec: L3AC) -> Callable[[np.ndarray, np.ndarray], list[np.ndarray]]:
    def compute(audio: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
        tokens = np.asarray(codec.encode(audio, lengths))
        counts = -(-lengths // codec.hop_length)
        return [row[:count] for row, count in zip(tokens, counts, strict=True)]

    return compute


class RowBatches(Generic[Key]):
    """Collects clips, and computes those of like length together when there are enough.

    `compute` takes rows padded with zeros to one length, and their lengths, and gives a result for
    each; `unit` says how many values of a row make a token. The rows of a clip are its channels.
    """

    def __init__(
        self,
        unit: int,
        codec: L3AC,
        compute: Callable[[np.ndarray, np.ndarray], list[np.ndarray]],
    ):
        self._unit, self._frame_rate, self._compute = unit, codec.frame_rate, compute
        self._waiting: dict[int, list[tuple[Key, Row]]] = defaultdict(list)
        self._results: dict[Key, list[np.ndarray | Exception]] = defaultdict(list)
        self._channels: dict[Key, int] = {}

    def push(
        self, key: Key, rows: Shaped[np.ndarray, "C T"]
    ) -> Iterator[tuple[Key, np.ndarray | Exception]]:
        """Clips that are complete now: the results of their channels, stacked, or an error."""
        self._channels[key] = len(rows)
        bucket = bucket_tokens(-(-rows.shape[1] // self._unit), self._frame_rate)
        for row in rows:
            self._waiting[bucket].append((key, row))
            if len(self._waiting[bucket]) == self._size(bucket):
                yield from self._run(self._waiting.pop(bucket), self._size(bucket))

    def finish(self) -> Iterator[tuple[Key, np.ndarray | Exception]]:
        """The clips that are left."""
        for bucket in sorted(self._waiting):
            yield from self._run(self._waiting.pop(bucket), self._size(bucket))

    def _size(self, bucket: int) -> int:
        return max(1, int(BATCH_SECONDS * self._frame_rate / bucket))

    def _run(
        self, waiting: list[tuple[Key, Row]], size: int
    ) -> Iterator[tuple[Key, np.ndarray | Exception]]:
        for (key, _), result in zip(waiting, self._computed(waiting, size), strict=True):
            self._results[key].append(result)
            if len(self._results[key]) == self._channels[key]:
                yield key, _stacked(self._results.pop(key))
                del self._channels[key]

    def _computed(
        self, waiting: list[tuple[Key, Row]], size: int
    ) -> list[np.ndarray] | list[np.ndarray | Exception]:
        rows = [row for _, row in waiting]
        lengths = np.ones(size, np.int64)
        lengths[: len(rows)] = [len(row) for row in rows]
        # Rows that are missing are there, as zeros: another size would have to be compiled.
        batch = np.zeros((size, lengths.max()), rows[0].dtype)
        for values, row in zip(batch, rows, strict=False):
            values[: len(row)] = row
        return self._compute(batch, lengths)[: len(rows)]


def _stacked(results: list[np.ndarray | Exception]) -> np.ndarray | Exception:
    for result in results:
        if isinstance(result, Exception):
            return result
    return np.stack(results)  # pyright: ignore[reportCallIssue, reportArgumentType]


def ahead(
    function: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[tuple[Item, Result | Exception]]:
    """The function's result for each item, or what it raised, in order, computed in threads."""
    pending: deque[tuple[Item, Future[Result]]] = deque()
    pool = ThreadPoolExecutor(THREADS)
    try:
        for item in items:
            pending.append((item, pool.submit(function, item)))
            if len(pending) > AHEAD:
                yield _outcome(*pending.popleft())
        while pending:
            yield _outcome(*pending.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


def _outcome(item: Item, future: Future[Result]) -> tuple[Item, Result | Exception]:
    error = future.exception()
    if error is None:
        return item, future.result()
    if not isinstance(error, Exception):
        raise error
    return item, error
