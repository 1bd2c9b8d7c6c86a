"""Conversion between sample rates, at once and block by block. Arrays are float32."""

from __future__ import annotations

from typing import Literal

import numpy as np
import soxr
from jaxtyping import Float

from l3ac_jax.errors import AudioError

__all__ = ["Resampler", "resample", "resampling_seconds"]


def resample(
    samples: Float[np.ndarray, "channels time"],
    from_rate: int,
    to_rate: int,
    length: int | None = None,
) -> Float[np.ndarray, "channels new_time"]:
    """Convert between sample rates in Hz (soxr, very high quality).

    The result has `length` samples, cut or filled with zeros, or ceil(time * to_rate / from_rate).
    """
    if length is None:
        length = -(-samples.shape[-1] * to_rate // from_rate)
    if from_rate != to_rate:
        samples = soxr.resample(samples.T, from_rate, to_rate, quality="VHQ").T
    samples = samples[:, :length]
    missing = length - samples.shape[-1]
    return np.ascontiguousarray(np.pad(samples, ((0, 0), (0, missing))), dtype=np.float32)


# As FLAC's header can say. The filters for 4 GHz, which any WAV header can claim, take minutes.
MOST_HZ = 2**20 - 1


class Resampler:
    """Converts audio that comes in blocks between sample rates in Hz (soxr).

    All that comes out has `length` samples, cut or filled with zeros, or
    ceil(time * to_rate / from_rate) of the time that went in. Very high quality (VHQ) waits for 60
    to 85 ms, high quality (HQ) for 40 to 60 (`resampling_seconds`). Raises AudioError for rates
    that cannot be converted.
    """

    def __init__(
        self,
        channels: int,
        from_rate: int,
        to_rate: int,
        length: int | None = None,
        quality: Literal["HQ", "VHQ"] = "VHQ",
    ):
        self._rates = from_rate, to_rate
        self._length = length
        self._pushed = self._given = 0
        self._channels = channels
        self._stream = None
        if from_rate == to_rate:
            return
        for rate in self._rates:
            if rate > MOST_HZ:
                raise AudioError(f"cannot be resampled at {rate} Hz: the most is {MOST_HZ} Hz")
        try:
            self._stream = soxr.ResampleStream(from_rate, to_rate, channels, quality=quality)
        except (ValueError, RuntimeError) as error:
            raise AudioError(f"cannot be resampled from {from_rate} Hz: {error}") from None

    def push(self, block: Float[np.ndarray, "C T"]) -> Float[np.ndarray, "C T2"]:
        """What is known now and was not before."""
        self._pushed += block.shape[1]
        return self._cut(self._converted(block, last=False))

    def finish(self) -> Float[np.ndarray, "C T2"]:
        """What is left, after the last block."""
        rest = self._cut(self._converted(np.zeros((self._channels, 0), np.float32), last=True))
        from_rate, to_rate = self._rates
        length = self._length
        if length is None:
            length = -(-self._pushed * to_rate // from_rate)
        return np.pad(rest, ((0, 0), (0, length - self._given)))

    def _converted(self, block: np.ndarray, last: bool) -> np.ndarray:
        if self._stream is None:
            return block
        interleaved = np.ascontiguousarray(block.T, dtype=np.float32)
        return np.ascontiguousarray(self._stream.resample_chunk(interleaved, last=last).T)

    def _cut(self, block: np.ndarray) -> np.ndarray:
        if self._length is not None:
            block = block[:, : self._length - self._given]
        self._given += block.shape[1]
        return block


def resampling_seconds(from_rate: int, to_rate: int, quality: Literal["HQ", "VHQ"]) -> float:
    """How long a sample waits in a Resampler at most, found by trying a second in small blocks.

    soxr works in blocks of its own, whose sizes depend on both rates.
    """
    resampler = Resampler(1, from_rate, to_rate, quality=quality)
    step, waited, given = max(1, from_rate // 1000), 0.0, 0
    for pushed in range(step, from_rate + 1, step):
        # Before this block comes, what is missing has waited for longest.
        waited = max(waited, pushed / from_rate - given / to_rate)
        given += resampler.push(np.zeros((1, step), np.float32)).shape[1]
    return 0.0 if from_rate == to_rate else waited
