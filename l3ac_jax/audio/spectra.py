"""Magnitude spectra of short frames, in NumPy."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def magnitudes(audio: Float[np.ndarray, " time"], window: int) -> Float[np.ndarray, "frames bins"]:
    """Magnitudes of Hann-windowed frames, a quarter of `window` samples apart.

    The first is centred on the first sample; what lies outside of the signal counts as zeros.
    """
    padded = np.pad(audio, window // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[:: window // 4]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    return np.abs(np.fft.rfft(frames * hann))
