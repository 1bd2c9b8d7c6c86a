"""A part of the network applied to a long signal piece by piece, with the result of one pass.

The pieces overlap by what the part's `reach` says, and begin on its grid (the hop of the encoder,
the window of a transformer). All have the same size, so that one program is compiled; past the end
of the signal they are filled with zeros, and `length` says so, as in a padded batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, Self, TypeVar

import numpy as np
from jaxtyping import Shaped

from l3ac_jax.model.reach import Span

__all__ = ["Geometry", "Own", "Pieces"]

Result = TypeVar("Result")
Signal = Shaped[np.ndarray, "time *channels"]
FAR = 2**20  # frames of the grid: where no clip's edge is near


@dataclass(frozen=True)
class Geometry:
    """Sizes in input frames: what a piece owns, and what it sees beyond that on either side."""

    step: int
    past: int
    future: int

    @property
    def window(self) -> int:
        """Frames that a piece sees."""
        return self.past + self.step + self.future

    @classmethod
    def of(cls, reach: Callable[[Span], Span], grid: int, outputs: int, least: int) -> Self:
        """For a part that makes `outputs` frames of `grid` frames, in steps of at least `least`.

        `reach` gives the span of input frames on which a span of output frames depends.
        """
        first, last = reach(Span(FAR * outputs, (FAR + 1) * outputs - 1))
        past = grid * math.ceil((FAR * grid - first) / grid)
        future = grid * math.ceil((last + 1 - (FAR + 1) * grid) / grid)
        return cls(grid * max(1, math.ceil(least / grid)), past, future)


@dataclass(frozen=True)
class Own:
    """Of a piece: `length` real frames, of which it owns `first` to `stop` (not included)."""

    length: int
    first: int
    stop: int


class Pieces(Generic[Result]):
    """Cuts a signal that comes bit by bit; `apply(window, own)` is called in order, for each piece.

    What the pieces own follows one upon the other, from the first frame to the last.
    """

    def __init__(self, geometry: Geometry, apply: Callable[[Signal, Own], Result]):
        self._geometry, self._apply = geometry, apply
        self._buffer: list[Signal] = []
        self._buffered = 0
        self._start = 0  # of the buffer, in frames of the signal
        self._done = 0  # frames that are owned by pieces so far

    def push(self, frames: Signal) -> Iterator[Result]:
        """The results that these frames, next in the signal, make possible."""
        self._buffer.append(frames)
        self._buffered += len(frames)
        while self._buffered >= self._geometry.window:
            yield self._next(last=False)

    def finish(self) -> Iterator[Result]:
        """The results that are left, after the last frame."""
        while self._start + self._buffered > self._done:
            yield self._next(last=True)

    def _next(self, last: bool) -> Result:
        geometry = self._geometry
        if len(self._buffer) > 1:
            self._buffer = [np.concatenate(self._buffer)]
        window = self._buffer[0][: geometry.window]
        ends = last and self._buffered <= geometry.window
        stop = len(window) if ends else geometry.window - geometry.future
        own = Own(len(window), self._done - self._start, stop)
        missing = geometry.window - len(window)
        padded = np.pad(window, [(0, missing)] + [(0, 0)] * (window.ndim - 1))
        result = self._apply(padded, own)
        self._done = self._start + stop
        start = max(0, self._done - geometry.past)
        self._buffer = [self._buffer[0][start - self._start :]]
        self._buffered -= start - self._start
        self._start = start
        return result
