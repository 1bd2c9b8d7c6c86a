"""Windows of spectra that are as long in time at every sample rate."""

from __future__ import annotations

PUBLISHED_RATE = 16000  # Hz, at which losses and discriminators give their windows in samples


def window_at(samples: int, sample_rate: int) -> int:
    """Samples at `sample_rate` (Hz) of a window of `samples` at 16 kHz; even at other rates."""
    if sample_rate == PUBLISHED_RATE:
        return samples
    return 2 * max(1, round(samples * sample_rate / (2 * PUBLISHED_RATE)))
