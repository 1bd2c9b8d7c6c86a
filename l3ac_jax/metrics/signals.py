"""How far a decoded signal is from its reference: levels, spectra and pitch.

Both signals are (time,), of one rate and length. NaN stands for scores that do not exist. Worker
processes import this module, so it does without JAX.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from l3ac_jax.audio.mel import DAC_FLOOR, dac_bands, mel_filters
from l3ac_jax.audio.spectra import magnitudes
from l3ac_jax.system.first_use import alone_at_first

Audio = Float[np.ndarray, " time"]

__all__ = [
    "Pitch",
    "check_pair",
    "log_spectral_distance",
    "mel_distance",
    "pitch_of",
    "pitch_scores",
    "si_sdr",
]

# Quieter than this, relative to the reference's largest magnitude, spectra are taken as equal.
FLOOR_DB = 80.0
LSD_WINDOW_SECONDS = 0.032
PITCH_RANGE = (60.0, 500.0)  # Hz
PITCH_HOP_SECONDS = 0.016


def si_sdr(reference: Audio, decoded: Audio) -> float:
    """Scale-invariant signal-to-distortion ratio in dB (Le Roux et al. 2019), means removed.

    NaN if either is silent (constant); infinite for signals that differ by a factor only.
    """
    reference, decoded = _checked(reference, decoded)
    reference = reference - reference.mean()
    decoded = decoded - decoded.mean()
    energy = reference @ reference
    if energy == 0 or decoded @ decoded == 0:
        return np.nan
    target = (decoded @ reference) / energy * reference
    noise = decoded - target
    with np.errstate(divide="ignore"):
        return float(10 * np.log10((target @ target) / (noise @ noise)))


def log_spectral_distance(reference: Audio, decoded: Audio, sample_rate: int) -> float:
    """Root mean square over frequency of the difference of log spectra, in dB, mean over frames.

    Hann windows of 32 ms, a quarter of that apart; what is more than 80 dB below the reference's
    largest magnitude counts as if it were at -80 dB. NaN if the reference is silent.
    """
    reference, decoded = _checked(reference, decoded)
    spectra = [magnitudes(x, round(LSD_WINDOW_SECONDS * sample_rate)) for x in (reference, decoded)]
    peak = spectra[0].max()
    if peak == 0:
        return np.nan
    floor = peak * 10 ** (-FLOOR_DB / 20)
    first, second = (20 * np.log10(np.maximum(s, floor)) for s in spectra)
    return float(np.sqrt(np.mean((first - second) ** 2, axis=1)).mean())


def mel_distance(reference: Audio, decoded: Audio, sample_rate: int) -> float:
    """Mean absolute difference of log10 mel magnitudes, mean over seven resolutions.

    The scales of DAC's mel loss at 16 kHz: windows of 2 to 128 ms, 5 to 320 mel bands, magnitudes
    below 1e-5 counted as 1e-5.
    """
    reference, decoded = _checked(reference, decoded)
    distances = []
    for window, bands in dac_bands(sample_rate).items():
        filters = mel_filters(sample_rate, window, bands)
        first, second = (
            np.log10(np.maximum(magnitudes(x, window) @ filters, DAC_FLOOR))
            for x in (reference, decoded)
        )
        distances.append(np.abs(first - second).mean())
    return float(np.mean(distances))


class Pitch(NamedTuple):
    """Fundamental frequency in Hz of each frame of 16 ms, NaN where it is not voiced."""

    frequency: Float[np.ndarray, " frames"]
    voiced: Bool[np.ndarray, " frames"]


def pitch_of(audio: Audio, sample_rate: int) -> Pitch:
    """Fundamental frequency by librosa's probabilistic YIN, 60 to 500 Hz."""
    import librosa

    hop = round(PITCH_HOP_SECONDS * sample_rate)
    low, high = PITCH_RANGE
    with alone_at_first("librosa.pyin"):
        frequency, voiced, _ = librosa.pyin(
            audio, fmin=low, fmax=high, sr=sample_rate, frame_length=4 * hop, hop_length=hop
        )
    return Pitch(frequency, voiced)


def pitch_scores(reference: Pitch, decoded: Pitch) -> dict[str, float]:
    """`f0_correlation` over frames voiced in both, and `voicing_error`, the % of frames voiced in
    one only.

    The correlation (Pearson's, of frequencies) is NaN if fewer than ten frames are voiced in both
    or one pitch does not change.
    """
    both = reference.voiced & decoded.voiced
    first, second = reference.frequency[both], decoded.frequency[both]
    correlation = np.nan
    if both.sum() >= 10 and np.ptp(first) > 0 and np.ptp(second) > 0:
        correlation = float(np.corrcoef(first, second)[0, 1])
    error = 100 * float(np.mean(reference.voiced != decoded.voiced))
    return {"f0_correlation": correlation, "voicing_error": error}


def check_pair(reference: Audio, decoded: Audio) -> None:
    """Raise ValueError for anything but two signals of one length."""
    if reference.ndim != 1 or reference.shape != decoded.shape:
        raise ValueError(
            f"reference and decoded must both be (time,), got {reference.shape} and {decoded.shape}"
        )


def _checked(reference: Audio, decoded: Audio) -> tuple[Audio, Audio]:
    check_pair(reference, decoded)
    return reference.astype(np.float64), decoded.astype(np.float64)
