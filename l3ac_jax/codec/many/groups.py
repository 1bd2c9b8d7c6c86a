"""Clips through a codec in groups of like length, each giving what it gives alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
from jaxtyping import Shaped

from l3ac_jax.codec.buckets import bucket_tokens
from l3ac_jax.codec.l3ac import L3AC
from l3ac_jax.errors import UserError
from l3ac_jax.model.ops.backend import lowerings
from l3ac_jax.system.background import ahead

__all__ = ["Computation", "PendingClip", "computed"]

Key = TypeVar("Key")
Channel = Shaped[np.ndarray, " time"]

# Seconds of audio, padding included, that are computed together on an accelerator.
GROUP_SECONDS = 40.0
DEPTH = 4  # groups that are computed or wait for their turn to be given


class Computation:
    """What a codec does to padded rows of which the lengths are known: encoding or decoding.

    `unit` says how many values of a row make a token.
    """

    def __init__(
        self,
        codec: L3AC,
        unit: int,
        function: Callable[[np.ndarray, np.ndarray], list[np.ndarray]],
    ):
        self._codec, self._unit, self._function = codec, unit, function

    def bucket(self, length: int) -> int:
        """The length in tokens to which the codec pads a row."""
        return bucket_tokens(-(-length // self._unit), self._codec.frame_rate)

    def size(self, bucket: int) -> int:
        """Rows to compute together.

        On a CPU one: its cores are busy with that, more rows do not fit its cache, and each number
        of rows would be compiled. (3kbps, clips of 2.4 s on two cores: a second of audio takes 11,
        13 and 13 ms to encode and 47, 54 and 58 ms to decode with 1, 4 and 8 rows.)
        """
        if lowerings().rows == "one by one":
            return 1
        return max(1, int(GROUP_SECONDS * self._codec.frame_rate / bucket))

    def __call__(self, rows: list[Channel]) -> list[np.ndarray | Exception]:
        """The result of each row, or the UserError that it alone gives."""
        bucket = max(self.bucket(len(row)) for row in rows)
        size = self.size(bucket)
        try:
            return [*self._function(*_padded(rows, size))[: len(rows)]]
        except UserError as error:
            if len(rows) == 1:
                return [error]
        return [self([row])[0] for row in rows]


@dataclass(eq=False)
class PendingClip(Generic[Key]):
    """The rows of a recording, one a channel, and in the end the result of each.

    Without rows, `result` is given as it is.
    """

    key: Key
    rows: Shaped[np.ndarray, "C T"] | None = None
    computation: Computation | None = None
    result: Any = None
    _results: list[np.ndarray | Exception] = field(default_factory=list)

    def add(self, result: np.ndarray | Exception) -> bool:
        """Take the next channel's result; whether that was the last one."""
        assert self.rows is not None
        self._results.append(result)
        if len(self._results) < len(self.rows):
            return False
        errors = [result for result in self._results if isinstance(result, Exception)]
        self.result = errors[0] if errors else np.stack(self._results)  # pyright: ignore
        return True


Group = list[tuple[PendingClip[Key], Channel | None]]


def computed(clips: Iterable[PendingClip[Key]]) -> Iterator[tuple[Key, Any]]:
    """Key and result (an array with the rows' results, or a UserError) of each clip.

    They come in an order that depends on nothing but the clips.
    """
    for group, results in ahead(_compute, _groups(clips), DEPTH):
        if isinstance(results, Exception):  # not what is wrong with a clip
            raise results
        for (clip, row), result in zip(group, results, strict=True):
            if row is None or clip.add(result):
                yield clip.key, clip.result


def _compute(group: Group) -> list[Any]:
    clip, row = group[0]
    if row is None or clip.computation is None:
        return [None]
    return clip.computation([row for _, row in group if row is not None])


def _groups(clips: Iterable[PendingClip[Key]]) -> Iterator[Group[Key]]:
    waiting: dict[tuple[Computation, int], Group[Key]] = defaultdict(list)
    for clip in clips:
        if clip.rows is None or clip.computation is None:
            yield [(clip, None)]
            continue
        bucket = clip.computation.bucket(clip.rows.shape[1])
        group = (clip.computation, bucket)
        for row in clip.rows:
            waiting[group].append((clip, row))
            if len(waiting[group]) == clip.computation.size(bucket):
                yield waiting.pop(group)
    yield from waiting.values()


def _padded(rows: list[Channel], size: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows as a batch of that size with their lengths; those that are missing are short, and 0.

    A smaller batch would have to be compiled.
    """
    lengths = np.ones(size, np.int64)
    lengths[: len(rows)] = [len(row) for row in rows]
    batch = np.zeros((size, lengths.max()), rows[0].dtype)
    for values, row in zip(batch, rows, strict=False):
        values[: len(row)] = row
    return batch, lengths
