"""Values of channels against frames: products and sums."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from l3ac_jax.model.ops.backend import lowerings
from l3ac_jax.model.ops.masks import Dimension


def per_channel(values: Float[Array, " c"], x: Array) -> Array:
    """`values` with the axes that let it meet `x` channel by channel."""
    return _spread(values, x.shape)


def with_axes(values: Float[Array, " c"], x: Array) -> Array:
    """`values` along the last of as many axes as `x` has."""
    return values.reshape((1,) * (x.ndim - 1) + values.shape)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def _spread(values: Float[Array, " c"], shape: tuple[Dimension, ...]) -> Array:
    return jnp.broadcast_to(values, shape)


_spread.defvjp(
    lambda values, shape: (_spread(values, shape), None),
    lambda shape, _, gradient: (channel_sums(gradient),),
)


def channel_sums(x: Float[Array, "*n c"]) -> Float[Array, " c"]:
    """Sums over all axes but the last."""
    rows = x.reshape(-1, x.shape[-1])
    if lowerings().channel_sums == "reduction":
        return rows.sum(axis=0)
    sums = jnp.matmul(jnp.ones_like(rows[:, 0]), rows, preferred_element_type=jnp.float32)
    return sums.astype(x.dtype)
