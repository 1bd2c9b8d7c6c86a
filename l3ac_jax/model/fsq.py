"""Finite scalar quantization (arXiv 2309.15505) to one stream of tokens.

Each of a few projected dimensions is squashed to (0, 1) and rounded to its own number of levels,
which make the token (levels.py).
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from l3ac_jax.model.layers import PlainDense
from l3ac_jax.model.levels import levels_to_tokens, tokens_to_levels
from l3ac_jax.model.precision import stated_products

Latents = Float[Array, "b n l"]
Tokens = Int[Array, "b n"]


class Noise(NamedTuple):
    """The quantizer's noise in training: an element has it with probability `rate`."""

    key: Array
    rate: ArrayLike


def _steps(levels: tuple[int, ...]) -> np.ndarray:
    return np.asarray(levels, np.float32)[None, None] - 1


def squash(latents: Latents) -> Latents:
    """(tanh + 1) / 2: the values in (0, 1) that are rounded to levels."""
    return (jnp.tanh(latents) + 1) / 2


def round_to_levels(squashed: Latents, levels: tuple[int, ...]) -> Latents:
    """Nearest level in [0, 1]; its gradient is that of the identity (straight through)."""
    steps = _steps(levels)
    rounded = jnp.round(squashed * steps) / steps
    return squashed + jax.lax.stop_gradient(rounded - squashed)


def add_noise(
    squashed: Latents, rounded: Latents, levels: tuple[int, ...], noise: Noise
) -> Latents:
    """In place of rounding, the elements that are chosen get z + U(-1/2, 1/2)/levels."""
    choice_key, value_key = jax.random.split(noise.key)
    chosen = jax.random.bernoulli(choice_key, noise.rate, squashed.shape)
    values = jax.random.uniform(value_key, squashed.shape, squashed.dtype, -0.5, 0.5)
    return jnp.where(chosen, squashed + values / (_steps(levels) + 1), rounded)


class FSQ(nn.Module):
    """Projection to the quantized dimensions, rounding, projection back.

    Without projections where the features already have as many dimensions as there are levels.
    """

    features: int
    levels: tuple[int, ...]

    def setup(self):
        if self.features != len(self.levels):
            self.project_in = PlainDense(len(self.levels))
            self.project_out = PlainDense(self.features)

    def __call__(
        self, x: Float[Array, "b n f"], noise: Noise | None = None
    ) -> tuple[Float[Array, "b n f"], Tokens]:
        """Quantized features and tokens; with `noise`, features with training noise."""
        return self.quantize(self.project(x), noise)

    def project(self, x: Float[Array, "b n f"]) -> Latents:
        """The squashed values of features, in (0, 1)."""
        with stated_products("float32"):
            return squash(x if self.features == len(self.levels) else self.project_in(x))

    def quantize(
        self, squashed: Latents, noise: Noise | None = None
    ) -> tuple[Float[Array, "b n f"], Tokens]:
        """What a call returns, of squashed values."""
        rounded = round_to_levels(squashed, self.levels)
        indices = jnp.round(squashed * _steps(self.levels)).astype(jnp.int32)
        if noise is not None:
            rounded = add_noise(squashed, rounded, self.levels, noise)
        tokens = jnp.asarray(levels_to_tokens(indices, self.levels))
        return self._features(rounded), tokens

    def dequantize(self, tokens: Tokens) -> Float[Array, "b n f"]:
        """The quantized features that gave `tokens`."""
        levels = jnp.asarray(tokens_to_levels(tokens, self.levels))
        return self._features(levels / _steps(self.levels))

    def _features(self, unit: Latents) -> Float[Array, "b n f"]:
        codes = 2 * unit - 1
        if self.features == len(self.levels):
            return codes
        with stated_products("float32"):
            return self.project_out(codes)
