"""What a codec is: configuration, parameters and names, and what its tokens mean."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, Self

import numpy as np
from jaxtyping import Int
from numpy.typing import ArrayLike

from l3ac_jax.codec.checks import checked_integers, checked_levels, require_range
from l3ac_jax.codec.functions import CodecFunctions
from l3ac_jax.codec.pickled import State, restored, state_of
from l3ac_jax.config import CodecConfig
from l3ac_jax.model.levels import levels_to_tokens, tokens_to_levels
from l3ac_jax.model.precision import Precision
from l3ac_jax.tokens.format import TokenFormat, config_fingerprint, weights_fingerprint

__all__ = ["CodecModel"]


class CodecModel:
    """A codec without what it computes. It is pickled as what it is made of.

    Two are equal whose tokens mean the same, and whose name and precision are the same.
    """

    def __init__(
        self, config: CodecConfig, params: dict[str, Any], name: str, precision: Precision
    ):
        self.config = config
        self.params = params
        self.name = name
        self.precision: Precision = precision

    def __reduce__(self) -> tuple[Callable[..., Self], tuple[type[Self], State]]:
        state = state_of(self.config, self.params, self.name, self.precision)
        return restored, (type(self), state)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CodecModel) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @property
    def _identity(self) -> tuple[TokenFormat, str, Precision]:
        return self.token_format, self.name, self.precision

    @property
    def sample_rate(self) -> int:
        """Samples per second of the audio that goes in and comes out, in Hz."""
        return self.config.sample_rate

    @property
    def hop_length(self) -> int:
        """Samples of audio per token."""
        return self.config.hop_length

    @property
    def frame_rate(self) -> float:
        """Tokens per second."""
        return self.config.frame_rate

    @property
    def codebook_size(self) -> int:
        """Number of different tokens."""
        return self.config.codebook_size

    @property
    def bitrate(self) -> float:
        """Bits per second: tokens per second times log2 of the codebook size."""
        return self.config.bitrate

    @cached_property
    def token_format(self) -> TokenFormat:
        """What this codec's tokens mean, as encoded files say it."""
        return TokenFormat(
            config_fingerprint(self.config),
            weights_fingerprint(self.params),
            self.sample_rate,
            self.hop_length,
            self.config.quantizer.levels,
        )

    @property
    def functions(self) -> CodecFunctions:
        """What `encode` and `decode` compute, to be traced and differentiated: pure functions.

        They take `params` and JAX arrays, and are what to use inside jax.jit, vmap and grad.
        """
        return CodecFunctions(self.config, self.precision)

    def levels(self, tokens: Int[ArrayLike, "*N"]) -> Int[np.ndarray, "*N D"]:
        """The level of each of the quantizer's D dimensions for each token, on the host (int32).

        The first dimension varies fastest as tokens are counted, as in the official code. Raises
        ValueError for anything but integers in 0 to `codebook_size` - 1.
        """
        array = checked_integers(tokens, "tokens")
        require_range(array, self.codebook_size, "tokens")
        return tokens_to_levels(array.astype(np.int32), self.config.quantizer.levels)

    def tokens(self, levels: Int[ArrayLike, "*N D"]) -> Int[np.ndarray, "*N"]:
        """Inverse of `levels` (int32, on the host).

        Raises ValueError for anything but integers in 0 to that dimension's levels - 1, in as many
        columns as the quantizer has dimensions.
        """
        counts = self.config.quantizer.levels
        return levels_to_tokens(checked_levels(levels, counts).astype(np.int32), counts)
