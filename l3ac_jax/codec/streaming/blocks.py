"""Frames that are pushed in any numbers, in blocks of one size: each is a step."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Shaped

__all__ = ["BlockStream"]

Part = Shaped[np.ndarray, "batch frames *channels"]


class BlockStream:
    """One or more clips on their way through the same steps.

    `step` takes a block of `size` frames, and which of them are the clips', to outputs that are
    `lag` late. The clips begin `unreal` frames after the first block does.
    """

    def __init__(
        self,
        step: Callable[[Part, Bool[np.ndarray, "batch frames"]], Part],
        size: int,
        lag: int,
        unreal: int = 0,
    ):
        self._step, self._size = step, size
        self._late, self._unreal = lag, unreal
        self._frames: list[Part] = []
        self._real: list[bool] = []
        self.given = 0
        """outputs so far"""

    def push(self, frames: Part) -> list[Part]:
        """The outputs that these frames make known."""
        if not self._frames:
            self._add(_unreal(frames, self._unreal), real=False)
        self._add(frames, real=True)
        return self._steps()

    def finish(self, outputs: int) -> list[Part]:
        """The rest of so many outputs in all, after frames that are nobody's."""
        parts: list[Part] = []
        while self.given < outputs:
            self._add(_unreal(self._frames[0], self._size - len(self._real)), real=False)
            parts += self._steps()
        if self.given > outputs:
            parts[-1] = parts[-1][:, : outputs - self.given]
        return parts

    def _add(self, frames: Part, real: bool) -> None:
        self._frames.append(frames)
        self._real += [real] * frames.shape[1]

    def _steps(self) -> list[Part]:
        size, parts = self._size, []
        if len(self._real) < size:
            return parts
        frames = np.concatenate(self._frames, axis=1)
        while len(self._real) >= size:
            flags = np.broadcast_to(np.array(self._real[:size]), (len(frames), size))
            outputs = self._step(frames[:, :size], flags)
            frames, self._real = frames[:, size:], self._real[size:]
            late = min(self._late, outputs.shape[1])
            self._late -= late
            self.given += outputs.shape[1] - late
            parts.append(outputs[:, late:])
        self._frames = [frames]
        return parts


def _unreal(like: Part, frames: int) -> Part:
    return np.zeros((like.shape[0], frames, *like.shape[2:]), like.dtype)
