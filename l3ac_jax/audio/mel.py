"""Mel filterbanks as constants, and the scales of DAC's mel distance."""

from functools import cache

import numpy as np
from jaxtyping import Float

from l3ac_jax.audio.windows import window_at
from l3ac_jax.system.first_use import alone_at_first

# Of the mel loss of DAC (Kumar et al. 2023): mel bands for each window at 16 kHz, and the magnitude
# as which anything below it counts.
DAC_BANDS = {32: 5, 64: 10, 128: 20, 256: 40, 512: 80, 1024: 160, 2048: 320}
DAC_FLOOR = 1e-5


def dac_bands(sample_rate: int) -> dict[int, int]:
    """Mel bands for each window in samples: windows of 2 to 128 ms at every rate.

    From 16 kHz on, none of the bands is empty.
    """
    return {window_at(window, sample_rate): bands for window, bands in DAC_BANDS.items()}


@cache
def mel_filters(sample_rate: int, n_fft: int, bands: int) -> Float[np.ndarray, "bins bands"]:
    """Slaney's mel filterbank from 0 Hz to half of `sample_rate`, as librosa and DAC have it.

    A band that is narrower than the spacing of the bins may be empty: librosa warns, the band is 0.
    """
    # Imported where it is needed: librosa takes more than a second.
    with alone_at_first("librosa.filters"):
        from librosa.filters import mel

    return mel(sr=sample_rate, n_fft=n_fft, n_mels=bands).T
