"""Mel filterbanks as constants."""

from functools import cache

import numpy as np
from jaxtyping import Float


@cache
def mel_filters(sample_rate: int, n_fft: int, bands: int) -> Float[np.ndarray, "bins bands"]:
    """Slaney's mel filterbank from 0 Hz to half of `sample_rate`, as librosa and DAC have it.

    A band that is narrower than the spacing of the bins may be empty: librosa warns, the band is 0.
    """
    # Imported where it is needed: librosa takes more than a second.
    from librosa.filters import mel

    return mel(sr=sample_rate, n_fft=n_fft, n_mels=bands).T
