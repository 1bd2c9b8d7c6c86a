"""Token streams for what is measured on tokens: of codecs of this project, and of others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from l3ac_jax.model.levels import tokens_to_levels

if TYPE_CHECKING:
    from l3ac_jax.codec.l3ac import L3AC
    from l3ac_jax.evaluation.published_networks import PublishedCodec

__all__ = ["FirstCodebook", "Levels", "Tokenizer"]

Audio = Float[np.ndarray, " time"]
Tokens = Int[np.ndarray, "n dimensions"]


class Tokenizer(Protocol):
    """A codec by its tokens, each a row of numbers; `ordered` where these are levels, so that how
    far apart two of them are means something.
    """

    sample_rate: int
    hop_length: int
    ordered: bool

    def tokens(self, audio: Audio) -> Tokens:
        """Of mono audio at `sample_rate`."""
        ...

    def coded(self, audio: Audio) -> tuple[Tokens, Audio]:
        """The tokens, and the audio decoded from them, which is as long."""
        ...


class Levels:
    """A codec of this project by the levels of its quantizer."""

    ordered = True

    def __init__(self, codec: L3AC):
        self._codec = codec
        self.sample_rate: int = codec.sample_rate
        self.hop_length: int = codec.hop_length

    def tokens(self, audio: Audio) -> Tokens:
        """See Tokenizer."""
        return self._levels(self._codec.encode(audio[None]))

    def coded(self, audio: Audio) -> tuple[Tokens, Audio]:
        """See Tokenizer."""
        tokens = self._codec.encode(audio[None])
        decoded = np.asarray(self._codec.decode(tokens))[0, : len(audio)]
        return self._levels(tokens), decoded

    def _levels(self, tokens: ArrayLike) -> Tokens:
        return tokens_to_levels(np.asarray(tokens)[0], self._codec.config.quantizer.levels)


class FirstCodebook:
    """A codec of others by the entries of its first codebook, the coarsest of several."""

    ordered = False

    def __init__(self, codec: PublishedCodec):
        self._codec = codec
        self.sample_rate: int = codec.info.sample_rate
        self.hop_length: int = codec.hop_length

    def tokens(self, audio: Audio) -> Tokens:
        """See Tokenizer."""
        return self._codec.first_codes(audio)[:, None]

    def coded(self, audio: Audio) -> tuple[Tokens, Audio]:
        """See Tokenizer."""
        return self.tokens(audio), self._codec.code(audio).decoded
