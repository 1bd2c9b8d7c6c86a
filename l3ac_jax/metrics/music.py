"""How close decoded music is to its reference: by band, pitch classes, onsets, beats, loudness.

Both signals are (time,), of one rate and length. NaN stands for scores that do not exist. The
packages beyond librosa are optional (the extra `music`) and are imported when they are used. Worker
processes import this module, so it does without JAX.
"""

from __future__ import annotations

import importlib
import math
import types
import warnings
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float

from l3ac_jax.audio.mel import DAC_FLOOR, dac_bands, mel_filters
from l3ac_jax.audio.resampling import resample
from l3ac_jax.audio.spectra import magnitudes
from l3ac_jax.metrics.signals import check_pair
from l3ac_jax.system.first_use import alone_at_first
from l3ac_jax.system.packages import needs_extra

__all__ = [
    "MUSIC_SCORES",
    "band_correlations",
    "band_distances",
    "chroma_similarity",
    "correlations",
    "loudness_difference",
    "music_scores",
    "onset_f_measure",
    "require",
    "rhythm",
    "visqol_audio",
]

Audio = Float[np.ndarray, " time"]

PACKAGES = ("visqol", "mir_eval", "pyloudnorm")
BANDS = {"low": (0.0, 1000.0), "mid": (1000.0, 4000.0), "high": (4000.0, math.inf)}  # Hz
"""Where the fundamentals of music are, where most partials are, and what makes it bright."""

MUSIC_SCORES = (
    "visqol",
    *(f"{kind}_{band}" for kind in ("mel", "stft", "correlation") for band in BANDS),
    "chroma",
    "onset_f",
    "onset_strength",
    "tempo",
    "beat_f",
    "loudness",
)
VISQOL_RATE = 48000  # Hz, of its audio mode
ONSET_SECONDS = 0.05  # within which an onset is the same, as MIREX has it
SAME_TEMPO = 0.04  # of the reference's, as MIREX has it
CHROMA_WINDOW_SECONDS = 0.128
# Of the loudest frame's energy: what is quieter has no pitch to compare.
AUDIBLE = 1e-4
LOUDNESS_BLOCK_SECONDS = 0.4  # of ITU-R BS.1770


def music_scores(reference: Audio, decoded: Audio, sample_rate: int) -> dict[str, float]:
    """All of MUSIC_SCORES. Raises MissingPackageError."""
    return {
        "visqol": visqol_audio(reference, decoded, sample_rate),
        **band_distances(reference, decoded, sample_rate),
        **band_correlations(reference, decoded, sample_rate),
        "chroma": chroma_similarity(reference, decoded, sample_rate),
        "onset_f": onset_f_measure(reference, decoded, sample_rate),
        **rhythm(reference, decoded, sample_rate),
        "loudness": loudness_difference(reference, decoded, sample_rate),
    }


def require() -> None:
    """Raise MissingPackageError if a package that these scores need is missing."""
    for name in PACKAGES:
        _package(name)


def visqol_audio(reference: Audio, decoded: Audio, sample_rate: int) -> float:
    """ViSQOL v3 in audio mode, a mean opinion score of 1 to about 4.7 (arXiv 2004.09584).

    By the package visqol-python, at 48 kHz. NaN for silence and for clips that are too short.
    """
    check_pair(reference, decoded)
    if not (reference.any() and decoded.any()):
        return np.nan
    pair = (_at(VISQOL_RATE, x, sample_rate).astype(np.float64) for x in (reference, decoded))
    try:
        with alone_at_first("visqol"):
            return float(_visqol().measure_from_arrays(*pair, VISQOL_RATE).moslqo)
    except (ValueError, IndexError):  # no patch of half a second that is not silent
        return np.nan


def band_distances(reference: Audio, decoded: Audio, sample_rate: int) -> dict[str, float]:
    """Mean absolute differences of log10 magnitudes by band: `mel_low`, ..., `stft_high`.

    Over the windows of DAC's mel loss (2 to 128 ms), of its mel bands and of the spectra's own
    bins, magnitudes below 1e-5 counted as 1e-5. Bands are up to 1 kHz, up to 4 kHz, and above; a
    window too short to tell them apart does not count, and without any the distance is NaN.
    """
    check_pair(reference, decoded)
    found: dict[str, list[float]] = {f"{k}_{band}": [] for k in ("mel", "stft") for band in BANDS}
    for window, bands in dac_bands(sample_rate).items():
        spectra = [magnitudes(x.astype(np.float64), window) for x in (reference, decoded)]
        filters = mel_filters(sample_rate, window, bands)
        bins = np.arange(spectra[0].shape[1]) * (sample_rate / window)
        # Below 16 kHz, narrow bands may be empty: they have no centre, and no distance.
        weights = filters.sum(axis=0)
        centres = np.where(weights > 0, bins @ filters / np.maximum(weights, 1e-30), np.nan)
        for kind, pair, places in (
            ("mel", [s @ filters for s in spectra], centres),
            ("stft", spectra, bins),
        ):
            logs = [np.log10(np.maximum(x, DAC_FLOOR)) for x in pair]
            difference = np.abs(logs[0] - logs[1])
            for band, (low, high) in BANDS.items():
                inside = (places >= low) & (places < high)
                if inside.any():
                    found[f"{kind}_{band}"].append(float(difference[:, inside].mean()))
    return {name: float(np.mean(values)) if values else np.nan for name, values in found.items()}


def band_correlations(reference: Audio, decoded: Audio, sample_rate: int) -> dict[str, float]:
    """Correlation of the waveforms by band: `correlation_low`, `_mid` and `_high`, -1 to 1.

    It asks for the phases, which the distances do not: noise with the right envelope has 0. NaN
    where either has nothing in the band, which includes bands past half the rate.
    """
    return {
        f"correlation_{band}": correlation
        for band, correlation in zip(
            BANDS, correlations(reference, decoded, sample_rate, BANDS.values()), strict=True
        )
    }


def correlations(
    reference: Audio, decoded: Audio, sample_rate: int, bands: Iterable[tuple[float, float]]
) -> list[float]:
    """As `band_correlations`, of any bands: from, and up to but without, so many Hz."""
    check_pair(reference, decoded)
    first, second = (np.fft.rfft(x.astype(np.float64)) for x in (reference, decoded))
    places = np.fft.rfftfreq(len(reference), 1 / sample_rate)
    found = []
    for low, high in bands:
        # Without the constant, which is no sound.
        inside = (places >= low) & (places < high) & (places > 0)
        a, b = first[inside], second[inside]
        norm = np.linalg.norm(a) * np.linalg.norm(b)
        found.append(float(np.vdot(a, b).real / norm) if norm > 0 else np.nan)
    return found


def chroma_similarity(reference: Audio, decoded: Audio, sample_rate: int) -> float:
    """Cosine of the energies of the twelve pitch classes, 0 to 1, mean over frames that are heard.

    librosa's chroma of spectra of 128 ms. NaN for silence.
    """
    import librosa

    check_pair(reference, decoded)
    window = 2 * round(CHROMA_WINDOW_SECONDS * sample_rate / 2)
    with alone_at_first("librosa.feature"):
        first, second = (
            librosa.feature.chroma_stft(
                S=magnitudes(x.astype(np.float64), window).T ** 2,
                sr=sample_rate,
                n_fft=window,
                norm=None,
                tuning=0.0,
            )
            for x in (reference, decoded)
        )
    heard = first.sum(axis=0) > AUDIBLE * first.sum(axis=0).max()
    first, second = first[:, heard], second[:, heard]
    norms = np.linalg.norm(first, axis=0) * np.linalg.norm(second, axis=0)
    if not norms.size:
        return np.nan
    return float(np.mean((first * second).sum(axis=0) / np.maximum(norms, np.finfo(float).tiny)))


def onset_f_measure(reference: Audio, decoded: Audio, sample_rate: int) -> float:
    """F-measure of librosa's onsets within 50 ms, 0 to 1 (mir_eval). NaN where neither has any."""
    import librosa

    check_pair(reference, decoded)
    with alone_at_first("librosa.onset"):
        onsets = [
            librosa.onset.onset_detect(y=_float32(x), sr=sample_rate, units="time")
            for x in (reference, decoded)
        ]
    return _f_measure(_package("mir_eval").onset.f_measure, onsets, window=ONSET_SECONDS)


def rhythm(reference: Audio, decoded: Audio, sample_rate: int) -> dict[str, float]:
    """`onset_strength`, `tempo` and `beat_f`, of what librosa makes of both.

    The correlation of how strongly something begins from frame to frame (librosa's onset strength,
    all that its beats are found by), -1 to 1; whether the tempo is within 4 % of the reference's, 1
    or 0; and the F-measure of beats within 70 ms (mir_eval), 0 to 1. A beat tracker may put all its
    beats elsewhere for next to nothing: `onset_strength` says whether anything changed. NaN where
    one has no onset (the first two), or neither has a beat.
    """
    import librosa

    check_pair(reference, decoded)
    with alone_at_first("librosa.beat"):
        strengths = [
            # The median over bands, as `beat_track` takes it itself.
            librosa.onset.onset_strength(y=_float32(x), sr=sample_rate, aggregate=np.median)
            for x in (reference, decoded)
        ]
        tempos, beats = zip(
            *(
                librosa.beat.beat_track(onset_envelope=x, sr=sample_rate, units="time")
                for x in strengths
            ),
            strict=True,
        )
    found = {"onset_strength": np.nan, "tempo": np.nan}
    if all(float(x.std()) for x in strengths):
        first, second = (float(np.ravel(tempo)[0]) for tempo in tempos)
        found = {
            "onset_strength": float(np.corrcoef(strengths[0], strengths[1])[0, 1]),
            "tempo": float(abs(second - first) <= SAME_TEMPO * first),
        }
    return found | {"beat_f": _f_measure(_package("mir_eval").beat.f_measure, list(beats))}


def loudness_difference(reference: Audio, decoded: Audio, sample_rate: int) -> float:
    """By how many LU the decoded audio is louder (ITU-R BS.1770, pyloudnorm).

    NaN for clips below 0.4 s, and where all of one is below -70 LUFS.
    """
    check_pair(reference, decoded)
    if len(reference) < LOUDNESS_BLOCK_SECONDS * sample_rate:
        return np.nan
    meter = _package("pyloudnorm").Meter(sample_rate)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of the mean of no block
        first, second = (
            meter.integrated_loudness(x.astype(np.float64)) for x in (reference, decoded)
        )
    difference = float(second - first)
    return difference if math.isfinite(difference) else np.nan


def _f_measure(function: Any, times: list[np.ndarray], **options: float) -> float:
    """mir_eval's, which has 0 where one list is empty, and the precision beside it for onsets."""
    if not any(map(len, times)):
        return np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of an empty list
        result = function(*times, **options)
    return float(result[0] if isinstance(result, tuple) else result)


def _float32(audio: Audio) -> Audio:
    return np.ascontiguousarray(audio, np.float32)


def _at(rate: int, audio: Audio, sample_rate: int) -> Audio:
    return resample(audio[None], sample_rate, rate)[0]


@lru_cache(1)
def _visqol() -> Any:
    api = _package("visqol").VisqolApi()
    api.create(mode="audio")
    return api


def _package(name: str) -> types.ModuleType:
    with needs_extra("music", "scoring music"):
        module = importlib.import_module(name)
        if name == "mir_eval":  # whose parts are modules of their own
            for part in ("beat", "onset"):
                importlib.import_module(f"mir_eval.{part}")
        return module
