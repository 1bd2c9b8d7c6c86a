"""What decoders of long recordings have in common: audio that comes piece by piece."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

__all__ = ["PiecewiseDecoder", "Values"]

Values = Int[np.ndarray, " n"] | Float[np.ndarray, "n f"]
"""Tokens, or quantized features."""


class PiecewiseDecoder(ABC):
    """A decoder whose tokens last `hop_length` samples."""

    hop_length: int

    @abstractmethod
    def decode(self, values: Values) -> Iterator[Float[np.ndarray, " t"]]:
        """Audio of one channel, piece by piece."""

    def decode_batch(
        self,
        values: Int[np.ndarray, "b n"] | Float[np.ndarray, "b n f"],
        lengths: Int[np.ndarray, " b"],
    ) -> Float[np.ndarray, "b t"]:
        """Audio of clips whose tokens or features are at hand, with zeros past their ends."""
        audio = np.zeros((len(values), values.shape[1] * self.hop_length), np.float32)
        for clip, count in enumerate(lengths):
            start = 0
            for piece in self.decode(values[clip, :count]):
                audio[clip, start : start + len(piece)] = piece
                start += len(piece)
        return audio
