"""Clips at any sample rate, for a codec that has one."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from jaxtyping import Float, Int

from l3ac_jax.audio.resampling import resample
from l3ac_jax.errors import ArgumentError

__all__ = ["at_rate"]


def at_rate(
    clips: Float[np.ndarray, "B T"],
    lengths: Int[np.ndarray, " B"],
    sample_rate: int,
    codec_rate: int,
) -> tuple[Float[np.ndarray, "B T2"], Int[np.ndarray, " B"]]:
    """Clips and their lengths at the codec's rate, each resampled for itself, with zeros behind.

    Rates in Hz. Raises ArgumentError for a rate that is no positive integer.
    """
    if not isinstance(sample_rate, Integral) or isinstance(sample_rate, bool) or sample_rate < 1:
        raise ArgumentError(f"sample_rate must be a positive integer, in Hz, got {sample_rate!r}")
    if sample_rate == codec_rate:
        return clips, lengths
    rows = [
        resample(clip[None, :count], int(sample_rate), codec_rate)[0]
        for clip, count in zip(clips, lengths, strict=True)
    ]
    counts = np.array([len(row) for row in rows])
    return np.stack([np.pad(row, (0, counts.max() - len(row))) for row in rows]), counts
