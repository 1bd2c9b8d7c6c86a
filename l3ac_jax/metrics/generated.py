"""What is wrong with generated tokens and audio that no reference can be held against.

A model that has collapsed repeats itself, uses few levels or falls silent; one that has not gives
audio whose statistics are those of recordings. Without JAX.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float, Int

from l3ac_jax.audio.mel import DAC_FLOOR, mel_filters
from l3ac_jax.audio.spectra import magnitudes
from l3ac_jax.model.levels import tokens_to_levels

__all__ = [
    "copied",
    "frechet_distance",
    "level_entropy",
    "mel_windows",
    "periodicity",
    "quiet",
    "repeated",
]

Audio = Float[np.ndarray, " time"]
Tokens = Int[np.ndarray, " n"]

PHRASE = 3  # tokens: with a codebook of many thousands, chance repeats fewer than one in a thousand
MEL_WINDOW_SECONDS, MEL_BANDS = 0.064, 32
STATISTICS_SECONDS = 1.0
QUIET_SECONDS, QUIET_DB = 0.02, -60.0  # below full scale


def repeated(tokens: Tokens, phrase: int = PHRASE) -> float:
    """Share of phrases (runs of so many tokens) that occurred before in the same row, 0 to 1.

    NaN for rows of one phrase or less.
    """
    phrases = _phrases(tokens, phrase)
    if len(phrases) < 2:
        return np.nan
    return 1 - len(np.unique(phrases, axis=0)) / len(phrases)


def copied(tokens: Tokens, known: Iterable[Tokens], phrase: int = PHRASE) -> float:
    """Share of phrases that are in one of the known rows too, 0 to 1. NaN without tokens."""
    seen = {tuple(found) for row in known for found in _phrases(row, phrase)}
    own = [tuple(found) for found in _phrases(tokens, phrase)]
    return float(np.mean([found in seen for found in own])) if own else np.nan


def _phrases(tokens: Tokens, length: int) -> Int[np.ndarray, "phrases length"]:
    length = min(length, len(tokens))
    if not length:
        return np.zeros((0, 0), tokens.dtype)
    return np.lib.stride_tricks.sliding_window_view(tokens, length)


def periodicity(tokens: Tokens) -> float:
    """Share of tokens that equal the one a period before, at the period where most do, 0 to 1.

    Periods are up to half of the row; 1 is a loop, or one token that is held. NaN below 2 tokens.
    """
    periods = range(1, len(tokens) // 2 + 1)
    return max((float(np.mean(tokens[n:] == tokens[:-n])) for n in periods), default=np.nan)


def level_entropy(tokens: Tokens, levels: Sequence[int]) -> float:
    """Bits of a token if each dimension's levels came independently, as often as in this row."""
    total = 0.0
    for column, count in zip(tokens_to_levels(tokens, levels).T, levels, strict=True):
        shares = np.bincount(column, minlength=count) / len(column)
        shares = shares[shares > 0]
        total -= float((shares * np.log2(shares)).sum())
    return total


def quiet(audio: Audio, sample_rate: int) -> float:
    """Share of frames of 20 ms below -60 dB of full scale (rms), 0 to 1. NaN without a frame."""
    length = round(QUIET_SECONDS * sample_rate)
    frames = audio[: len(audio) // length * length].reshape(-1, length).astype(np.float64)
    if not len(frames):
        return np.nan
    power = np.square(frames).mean(axis=1)
    return float(np.mean(power < 10 ** (QUIET_DB / 10)))


def mel_windows(audio: Audio, sample_rate: int) -> Float[np.ndarray, "windows features"]:
    """For each second: log10 mel magnitudes, their mean and their mean change in 16 ms, by band.

    No model's embedding, but one that knows of music as much as of speech. A rest of less than a
    second is left out.
    """
    window = 2 * round(MEL_WINDOW_SECONDS * sample_rate / 2)
    filters = mel_filters(sample_rate, window, MEL_BANDS)
    logs = np.log10(np.maximum(magnitudes(audio.astype(np.float64), window) @ filters, DAC_FLOOR))
    frames = round(STATISTICS_SECONDS * sample_rate / (window // 4))
    pieces = logs[: len(logs) // frames * frames].reshape(-1, frames, MEL_BANDS)
    changes = np.abs(np.diff(pieces, axis=1)).mean(axis=1)
    return np.concatenate([pieces.mean(axis=1), changes], axis=1)


def frechet_distance(
    first: Float[np.ndarray, "n features"], second: Float[np.ndarray, "m features"]
) -> float:
    """Squared Fréchet (2-Wasserstein) distance of two normal distributions fitted to rows.

    As of FID and FAD. It is biased upwards where rows are few: compare distances of as many rows.
    NaN below two rows.
    """
    if min(len(first), len(second)) < 2:
        return np.nan
    means = [x.mean(axis=0) for x in (first, second)]
    covariances = [np.atleast_2d(np.cov(x, rowvar=False)) for x in (first, second)]
    # The trace of the root of the covariances' product, by way of a symmetric matrix.
    values, vectors = np.linalg.eigh(covariances[0])
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    inner = np.linalg.eigvalsh(root @ covariances[1] @ root)
    overlap = np.sqrt(np.maximum(inner, 0)).sum()
    apart = np.square(means[0] - means[1]).sum()
    return float(apart + sum(np.trace(c) for c in covariances) - 2 * overlap)
