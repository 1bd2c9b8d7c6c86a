"""Finite scalar quantization (arXiv 2309.15505) to one stream of tokens.

Each of a few projected dimensions is squashed to (0, 1) and rounded to its own number of levels; a
token is the number whose mixed-radix digits, least significant first, are the levels.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from l3ac_jax.model.layers import PlainDense
from l3ac_jax.model.precision import stated_products

Latents = Float[Array, "b n l"]
Tokens = Int[Array, "b n"]
AnyLevels = Int[Array | np.ndarray, "*batch l"]
AnyTokens = Int[Array | np.ndarray, "*batch"]


def radix_basis(levels: tuple[int, ...]) -> np.ndarray:
    """What one step of each level adds to the token."""
    return np.cumprod([1, *levels[:-1]]).astype(np.int32)


def levels_to_tokens(indices: AnyLevels, levels: tuple[int, ...]) -> AnyTokens:
    """Tokens in [0, prod(levels)) of level indices, dimension i in [0, levels[i]).

    NumPy arrays give NumPy arrays, on the host.
    """
    basis = _last_axis(radix_basis(levels), indices.ndim)
    tokens = (indices * basis).sum(axis=-1, dtype=np.int32, keepdims=True)
    return tokens.reshape(indices.shape[:-1])  # and not [..., 0]: of a single token, an array, too


def tokens_to_levels(tokens: AnyTokens, levels: tuple[int, ...]) -> AnyLevels:
    """Inverse of `levels_to_tokens`."""
    axes = tokens.ndim + 1
    digits = tokens[..., None] // _last_axis(radix_basis(levels), axes)
    return digits % _last_axis(np.asarray(levels, np.int32), axes)


def _last_axis(values: np.ndarray, axes: int) -> np.ndarray:
    return values.reshape((1,) * (axes - 1) + values.shape)


def _steps(levels: tuple[int, ...], axes: int = 3) -> np.ndarray:
    return _last_axis(np.asarray(levels, np.float32) - 1, axes)


def squash(latents: Latents) -> Latents:
    """(tanh + 1) / 2: the values in (0, 1) that are rounded to levels."""
    return (jnp.tanh(latents) + 1) / 2


def round_to_levels(squashed: Latents, levels: tuple[int, ...]) -> Latents:
    """Nearest level in [0, 1]; its gradient is that of the identity (straight through)."""
    steps = _steps(levels)
    rounded = jnp.round(squashed * steps) / steps
    return squashed + jax.lax.stop_gradient(rounded - squashed)


def add_noise(
    squashed: Latents, rounded: Latents, levels: tuple[int, ...], rate: float, key: Array
) -> Latents:
    """In place of rounding, elements chosen with probability `rate` get z + U(-1/2, 1/2)/levels."""
    choice_key, noise_key = jax.random.split(key)
    chosen = jax.random.bernoulli(choice_key, rate, squashed.shape)
    noise = jax.random.uniform(noise_key, squashed.shape, squashed.dtype, -0.5, 0.5)
    return jnp.where(chosen, squashed + noise / (_steps(levels) + 1), rounded)


class FSQ(nn.Module):
    """Projection to the quantized dimensions, rounding, projection back.

    Without projections where the features already have as many dimensions as there are levels.
    """

    features: int
    levels: tuple[int, ...]
    noise_rate: float = 0.5

    def setup(self):
        if self.features != len(self.levels):
            self.project_in = PlainDense(len(self.levels))
            self.project_out = PlainDense(self.features)

    def __call__(
        self, x: Float[Array, "b n f"], noise_key: Array | None = None
    ) -> tuple[Float[Array, "b n f"], Tokens]:
        """Quantized features and tokens; with `noise_key`, features with training noise."""
        with stated_products("float32"):
            projected = x if self.features == len(self.levels) else self.project_in(x)
        squashed = squash(projected)
        rounded = round_to_levels(squashed, self.levels)
        indices = jnp.round(squashed * _steps(self.levels)).astype(jnp.int32)
        if noise_key is not None and self.noise_rate > 0:
            rounded = add_noise(squashed, rounded, self.levels, self.noise_rate, noise_key)
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
