"""What a codec does to the image of stereo recordings: how wide they sound, and from where."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

__all__ = ["image_scores", "level_difference", "mid_side", "width"]

Stereo = Float[np.ndarray, "2 time"]

# Of the level differences: where most of the ear's and most of music's localization is. Frames of
# 46 ms at 44.1 kHz are those of most studies; 50 ms is a round number near it.
FRAME_SECONDS = 0.05
QUIET_DB = -50.0  # frames below the loudest by so much say nothing of an image


def mid_side(audio: Stereo) -> Stereo:
    """(L + R) / 2 and (L - R) / 2; of these, times 2, it gives left and right again."""
    left, right = audio
    return np.stack([left + right, left - right]) / 2


def width(audio: Stereo) -> float:
    """Energy of side over that of mid, in dB: 0 for unrelated channels, -inf for equal ones.

    NaN for silence.
    """
    mid, side = (float(np.sum(np.square(channel, dtype=np.float64))) for channel in mid_side(audio))
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(10 * np.log10(np.divide(side, mid)))


def level_difference(audio: Stereo, sample_rate: int) -> Float[np.ndarray, " frames"]:
    """By how many dB the left channel is louder, in frames of 50 ms; NaN in quiet ones."""
    size = round(FRAME_SECONDS * sample_rate)
    frames = audio[:, : audio.shape[1] // size * size].reshape(2, -1, size)
    power = np.mean(np.square(frames, dtype=np.float64), axis=2)
    loudest = power.max(initial=0.0)
    least = loudest * 10 ** (QUIET_DB / 10)
    with np.errstate(divide="ignore", invalid="ignore"):
        difference = 10 * np.log10((power[0] + least) / (power[1] + least))
    return np.where(power.sum(axis=0) > least, difference, np.nan)


def image_scores(reference: Stereo, decoded: Stereo, sample_rate: int) -> dict[str, float]:
    """`width`, by how many dB the decoded audio is wider; `level_difference`, by how many dB the
    channels' levels differ otherwise than in the reference, mean absolute over frames; and
    `image_sdr`, in dB, what is left of the side signal against its error. NaN where there is none.
    """
    if reference.shape != decoded.shape or reference.shape[0] != 2:
        raise ValueError(f"both must be (2, time), got {reference.shape} and {decoded.shape}")
    differences = [level_difference(audio, sample_rate) for audio in (reference, decoded)]
    heard = np.isfinite(differences[0]) & np.isfinite(differences[1])
    moved = np.abs(differences[0] - differences[1])[heard]
    sides = [mid_side(audio)[1].astype(np.float64) for audio in (reference, decoded)]
    error = np.sum(np.square(sides[0] - sides[1]))
    with np.errstate(divide="ignore", invalid="ignore"):
        side_sdr = 10 * np.log10(np.sum(np.square(sides[0])) / error)
        wider = width(decoded) - width(reference)
    return {
        "width": float(wider),
        "level_difference": float(moved.mean()) if len(moved) else float("nan"),
        "image_sdr": float(side_sdr),
    }
