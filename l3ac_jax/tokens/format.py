"""Encoded audio: the tokens of a recording, and what is needed to make the same audio of them."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int32

from l3ac_jax.config import CodecConfig
from l3ac_jax.errors import WrongModelError

__all__ = [
    "EncodedAudio",
    "TokenFormat",
    "check_exchangeable",
    "check_format",
    "config_fingerprint",
    "frames_of",
    "weights_fingerprint",
]

DIGITS = 16  # of a fingerprint: 64 bits


@dataclass(frozen=True)
class TokenFormat:
    """What tokens mean: those of two codecs are exchangeable where this is equal.

    `levels` are those of the quantizer, so that tokens are 0 to their product - 1.
    """

    config: str  # fingerprint of the configuration
    weights: str  # fingerprint of the parameters
    sample_rate: int  # of the codec, in Hz
    hop_length: int  # samples at that rate for each token
    levels: tuple[int, ...]

    @property
    def codebook_size(self) -> int:
        """Number of different tokens."""
        return math.prod(self.levels)

    @property
    def frame_rate(self) -> float:
        """Tokens per second of audio."""
        return self.sample_rate / self.hop_length


@dataclass(frozen=True)
class EncodedAudio:
    """Each channel's tokens, and the length and rate of the audio that they stand for."""

    tokens: Int32[np.ndarray, "channels frames"]
    samples: int  # per channel, at `sample_rate`
    sample_rate: int  # of the audio that was encoded, in Hz
    model: str  # the name or folder that it was encoded with
    format: TokenFormat

    @property
    def codec_samples(self) -> int:
        """Samples per channel at the codec's rate: those that were encoded."""
        return _codec_samples(self.samples, self.sample_rate, self.format)

    @property
    def seconds(self) -> float:
        """Length of the audio."""
        return self.samples / self.sample_rate


def frames_of(samples: int, sample_rate: int, format: TokenFormat) -> int:
    """Tokens per channel of so many samples at `sample_rate` (Hz)."""
    return -(-_codec_samples(samples, sample_rate, format) // format.hop_length)


def check_format(encoded: EncodedAudio, ours: TokenFormat, name: str) -> None:
    """Make sure that the codec `name`, whose tokens mean this, can decode it.

    Raises WrongModelError.
    """
    check_exchangeable(encoded.format, encoded.model, ours, name)
    frames = frames_of(encoded.samples, encoded.sample_rate, encoded.format)
    if encoded.tokens.shape[1] != frames:
        raise WrongModelError(
            f"{encoded.samples} samples at {encoded.sample_rate} Hz have {frames} tokens a "
            f"channel, but there are {encoded.tokens.shape[1]}"
        )


def check_exchangeable(theirs: TokenFormat, model: str, ours: TokenFormat, name: str) -> None:
    """Make sure that tokens made with `model` mean the same to the codec `name`.

    Raises WrongModelError.
    """
    made_with = f"its tokens were made with {model}"
    if theirs.config != ours.config:
        raise WrongModelError(
            f"{made_with}, whose configuration (fingerprint {theirs.config}) differs from that of "
            f"{name} ({ours.config})"
        )
    if theirs.weights != ours.weights:
        raise WrongModelError(
            f"{made_with}, whose weights (fingerprint {theirs.weights}) differ from those of "
            f"{name} ({ours.weights}), with the same configuration"
        )
    if theirs != ours:  # the same fingerprints: nothing that an encoder writes
        raise WrongModelError(
            f"{made_with}, but its sample rate, hop length or levels are not that model's"
        )


def config_fingerprint(config: CodecConfig) -> str:
    """A short text that differs between configurations.

    Fields at their defaults do not count, so that a later field with a default changes nothing.
    """
    fields = config.model_dump(mode="json", exclude_defaults=True)
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:DIGITS]


def weights_fingerprint(params: Mapping[str, Any]) -> str:
    """A short text that differs between parameters."""
    digest = hashlib.sha256()
    _add(digest, "", params)
    return digest.hexdigest()[:DIGITS]


def _codec_samples(samples: int, sample_rate: int, format: TokenFormat) -> int:
    return -(-samples * format.sample_rate // sample_rate)


def _add(digest: Any, path: str, value: Any) -> None:
    if isinstance(value, Mapping):
        for name in sorted(value):
            _add(digest, f"{path}/{name}", value[name])
    else:
        array = np.ascontiguousarray(value)
        digest.update(f"{path} {array.dtype.name} {array.shape}".encode())
        digest.update(array.tobytes())
