"""The official code and this one with the same weights: whether tokens and audio agree."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from l3ac_jax.codec.l3ac import L3AC
from l3ac_jax.codec.pretrained import get_model
from l3ac_jax.config import ExperimentConfig
from l3ac_jax.official.weights import from_torch
from l3ac_jax.oracle.codec import OfficialCodec
from l3ac_jax.weights.folder import save_model

__all__ = ["CodingResult", "Parity", "compare", "converted"]

# Far above what float32 rounding makes of it, far below what any mistake does.
LARGEST_SHARE_OF_OTHER_TOKENS = 0.01
LARGEST_RELATIVE_ERROR = 1e-3


@dataclass(frozen=True)
class CodingResult:
    """What one implementation made of a clip, and the seconds that it took."""

    tokens: Int[np.ndarray, "batch tokens"]
    audio: Float[np.ndarray, "batch time"]
    encode_seconds: float
    decode_seconds: float


@dataclass(frozen=True)
class Parity:
    """Both implementations on one clip. `audio` of both is from the official tokens."""

    official: CodingResult
    ours: CodingResult

    @property
    def same_tokens(self) -> int:
        """How many tokens agree."""
        return int(np.sum(self.ours.tokens == self.official.tokens))

    @property
    def error(self) -> float:
        """Root mean square of the difference of the audio."""
        return rms(self.ours.audio - self.official.audio)

    @property
    def agrees(self) -> bool:
        """Whether the differences are those of rounding."""
        enough = (1 - LARGEST_SHARE_OF_OTHER_TOKENS) * self.official.tokens.size
        limit = LARGEST_RELATIVE_ERROR * rms(self.official.audio)
        return self.same_tokens >= enough and self.error <= limit


def converted(official: OfficialCodec, experiment: ExperimentConfig) -> L3AC:
    """The official network's weights as users get them: saved as .pt files, converted, loaded."""
    with tempfile.TemporaryDirectory() as scratch:
        official.save_checkpoint(Path(scratch) / "official")
        params = from_torch(Path(scratch) / "official", experiment.model)
        save_model(Path(scratch) / "model", experiment, params)
        return get_model(Path(scratch) / "model")


def compare(audio: Float[np.ndarray, "batch time"], official: OfficialCodec, codec: L3AC) -> Parity:
    """Encode and decode audio at the codec's rate with both. Seconds are those of second calls."""
    (_, tokens), encoding = _timed(lambda: official.encode(audio))
    our_tokens, our_encoding = _timed(lambda: np.asarray(codec.encode(audio)))
    # From the same tokens: one that lies on a rounding boundary would change the audio around it.
    decoded, decoding = _timed(lambda: official.decode_tokens(tokens))
    our_decoded, our_decoding = _timed(lambda: np.asarray(codec.decode(tokens)))
    return Parity(
        CodingResult(tokens, decoded, encoding, decoding),
        CodingResult(our_tokens, our_decoded, our_encoding, our_decoding),
    )


def rms(values: np.ndarray) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


def _timed(function: Callable[[], Any]) -> tuple[Any, float]:
    """The result of a call and its seconds, after a first call that compiles or warms up."""
    function()
    start = time.perf_counter()
    result = function()
    return result, time.perf_counter() - start
