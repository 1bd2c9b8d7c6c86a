"""By how much what comes out of a codec lags behind what went in."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

__all__ = ["LEAST_CORRELATION", "Lag", "aligned", "find_lag"]

LEAST_CORRELATION = 0.3
"""Below it, two signals share no waveform, and the best lag is chance: of codecs whose waveforms
follow what went in, speech has 0.6 and more."""


class Lag(NamedTuple):
    """Samples by which a signal is late (negative: early), and the correlation at that lag."""

    samples: int
    correlation: float


def find_lag(
    original: Float[np.ndarray, " time"], late: Float[np.ndarray, " other"], at_most: int
) -> Lag:
    """The lag between -at_most and at_most samples at which two signals correlate best.

    The correlation is that of both signals whole, each without its mean; 0 where one is constant.
    """
    size = 1 << int(np.ceil(np.log2(len(original) + len(late))))
    first, second = (np.fft.rfft(s - s.mean(), size) for s in (original, late))
    products = np.fft.irfft(second * first.conj(), size)
    around = np.concatenate([products[-at_most:], products[: at_most + 1]])
    best = int(np.argmax(around))
    scale = np.sqrt(np.sum((original - original.mean()) ** 2) * np.sum((late - late.mean()) ** 2))
    return Lag(best - at_most, float(around[best] / scale) if scale > 0 else 0.0)


def aligned(
    late: Float[np.ndarray, " other"], lag: int, length: int
) -> Float[np.ndarray, " length"]:
    """A signal moved forward by `lag` samples, as `length` samples; zeros where it has none."""
    moved = late[lag:] if lag >= 0 else np.pad(late, (-lag, 0))
    return np.pad(moved[:length], (0, max(0, length - len(moved))))
