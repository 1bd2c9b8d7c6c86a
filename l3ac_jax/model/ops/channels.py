"""Values of channels against frames: products and sums."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def per_channel(values: Float[Array, " c"], x: Array) -> Array:
    """`values` with the axes that let it meet `x` channel by channel."""
    if jax.default_backend() != "cpu":
        return with_axes(values, x)
    return _spread(values, x.shape)


def with_axes(values: Float[Array, " c"], x: Array) -> Array:
    """`values` along the last of as many axes as `x` has."""
    return values.reshape((1,) * (x.ndim - 1) + values.shape)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def _spread(values: Float[Array, " c"], shape: tuple[int, ...]) -> Array:
    return jnp.broadcast_to(values, shape)


_spread.defvjp(
    lambda values, shape: (_spread(values, shape), None),
    lambda shape, _, gradient: (channel_sums(gradient),),
)


def channel_sums(x: Float[Array, "*n c"]) -> Float[Array, " c"]:
    """Sums over all axes but the last."""
    rows = x.reshape(-1, x.shape[-1])
    if jax.default_backend() != "cpu":
        return rows.sum(axis=0)
    # As a product, which XLA computes in vectors and on all cores. Sums of columns it does not:
    # Snake with its gradients took 56 instead of 38 ms (2 x 56064 x 96), for one clip 510 ms.
    sums = jnp.matmul(jnp.ones_like(rows[:, 0]), rows, preferred_element_type=jnp.float32)
    return sums.astype(x.dtype)
