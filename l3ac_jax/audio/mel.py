"""Mel filterbanks as constants, and the scales of DAC's mel distance."""

from functools import cache

import numpy as np
from jaxtyping import Float

# Of the mel loss of DAC (Kumar et al. 2023): mel bands for each window, and the magnitude as which
# anything below it counts. At 16 kHz none of the bands is empty.
DAC_BANDS = {32: 5, 64: 10, 128: 20, 256: 40, 512: 80, 1024: 160, 2048: 320}
DAC_FLOOR = 1e-5


@cache
def mel_filters(sample_rate: int, n_fft: int, bands: int) -> Float[np.ndarray, "bins bands"]:
    """Slaney's mel filterbank from 0 Hz to half of `sample_rate`, as librosa and DAC have it.

    A band that is narrower than the spacing of the bins may be empty: librosa warns, the band is 0.
    """
    # Imported where it is needed: librosa takes more than a second.
    from librosa.filters import mel

    return mel(sr=sample_rate, n_fft=n_fft, n_mels=bands).T
