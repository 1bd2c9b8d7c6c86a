"""What parameters in half precision cost: tokens and audio of this package's recordings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib.resources import as_file, files
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from l3ac_jax.codec.l3ac import L3AC
from l3ac_jax.config import CodecConfig
from l3ac_jax.evaluation.clips import read_mono
from l3ac_jax.metrics.signals import mel_distance

__all__ = ["RoundingCost", "rounding_cost"]

RECORDINGS = ("cmu_arctic_a0007.wav", "festvox_ru_0003.flac", "guit_em9.flac", "ambi_piano.flac")


class RoundingCost(NamedTuple):
    """Of some seconds of speech and music, by the parameters as they are and rounded."""

    seconds: float
    same_tokens: float
    """share of the tokens, 0 to 1"""
    difference: float
    """of the audio of the same tokens, in dB of that audio's power; -inf where there is none"""
    mel: float
    """mel distance of original and decoded"""
    rounded_mel: float
    """the same, with rounded parameters"""

    def __str__(self) -> str:
        if self.difference == -math.inf and self.same_tokens == 1:
            return "which is exact: they are such numbers"
        return (
            f"of {self.seconds:.0f} s of speech and music, {self.same_tokens:.2%} of the tokens "
            f"are those of float32, their audio differs by {self.difference:.0f} dB of its power, "
            f"and the mel distance of original and decoded is {self.rounded_mel:.4f} in place of "
            f"{self.mel:.4f}"
        )


def rounding_cost(config: CodecConfig, params: Mapping[str, Any]) -> RoundingCost:
    """Of rounding these parameters to float16."""
    halved = jax.tree.map(lambda leaf: np.asarray(leaf, np.float16).astype(np.float32), params)
    exact, rounded = L3AC(config, dict(params)), L3AC(config, halved)
    same, mels, powers = [], [], np.zeros(2)
    seconds = 0.0
    for audio in _recordings(config.sample_rate):
        tokens, others = exact.encode(audio[None]), rounded.encode(audio[None])
        same.append(tokens == others)
        plain, moved, decoded = (
            np.asarray(codec.decode(given)[0, : len(audio)])
            for codec, given in ((exact, tokens), (rounded, tokens), (rounded, others))
        )
        powers += np.square(np.stack([plain, moved - plain]), dtype=np.float64).sum(axis=1)
        mels.append([mel_distance(audio, one, config.sample_rate) for one in (plain, decoded)])
        seconds += len(audio) / config.sample_rate
    mel, rounded_mel = np.mean(mels, axis=0)
    difference = 10 * np.log10(powers[1] / powers[0]) if powers[1] else -math.inf
    equal = float(np.mean(np.concatenate(same, axis=1)))
    return RoundingCost(seconds, equal, float(difference), float(mel), float(rounded_mel))


def _recordings(sample_rate: int) -> list[Float[np.ndarray, " time"]]:
    found = []
    for name in RECORDINGS:
        with as_file(files("l3ac_jax") / "assets" / name) as path:
            found.append(read_mono(path, sample_rate))
    return found
