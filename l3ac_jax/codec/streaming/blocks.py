"""Frames that are pushed in any numbers, in blocks of one size: each is a step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Shaped

__all__ = ["BlockStream"]

Part = Shaped[np.ndarray, "batch frames *channels"]
Outputs = Any
"""An array, or several of as many frames: `(batch, frames, *channels)`."""


class BlockStream:
    """One or more clips on their way through the same steps.

    `step` takes a block of `size` frames, and which of them are the clips', to outputs that are
    `lag` late. The clips begin `unreal` frames after the first block does.
    """

    def __init__(
        self,
        step: Callable[[Part, Bool[np.ndarray, "batch frames"]], Outputs],
        size: int,
        lag: int,
        unreal: int = 0,
    ):
        self._step, self._size = step, size
        self._late, self._unreal = lag, unreal
        self._waiting: list[Part] = []
        self._next = -unreal  # of the clips' frames, that with which the next block begins
        self._end = math.inf
        self.given = 0
        """outputs so far"""

    def push(self, frames: Part) -> list[Outputs]:
        """The outputs that these frames make known."""
        if not self._waiting:
            self._waiting.append(_zeros(frames, self._unreal))
        self._waiting.append(frames)
        return self._steps()

    def finish(self, outputs: int) -> list[Outputs]:
        """The rest of so many outputs in all, after frames that are nobody's."""
        parts: list[Outputs] = []
        self._end = self._next + self._count()
        while self.given < outputs:
            self._waiting.append(_zeros(self._waiting[0], self._size - self._count()))
            parts += self._steps()
        if self.given > outputs:
            parts[-1] = jax.tree.map(lambda part: part[:, : outputs - self.given], parts[-1])
        return parts

    def _count(self) -> int:
        return sum(part.shape[1] for part in self._waiting)

    def _steps(self) -> list[Outputs]:
        size, parts = self._size, []
        if self._count() < size:
            return parts
        frames, start = np.concatenate(self._waiting, axis=1), 0
        while start + size <= frames.shape[1]:
            places = self._next + np.arange(size)
            real = np.broadcast_to((places >= 0) & (places < self._end), (len(frames), size))
            outputs = self._step(frames[:, start : start + size], real)
            start, self._next = start + size, self._next + size
            count = jax.tree.leaves(outputs)[0].shape[1]
            late = min(self._late, count)
            self._late -= late
            self.given += count - late
            parts.append(jax.tree.map(lambda part, late=late: part[:, late:], outputs))
        self._waiting = [frames[:, start:]]
        return parts


def _zeros(like: Part, frames: int) -> Part:
    return np.zeros((like.shape[0], frames, *like.shape[2:]), like.dtype)
