"""Sliding maxima and means of a signal, by doubling: windows of 1, 2, 4... samples.

Shapes: b batch, t time.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from l3ac_jax.model.ops.masks import Signal


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def max_pool(x: Signal, width: int) -> Signal:
    """Maximum over the `width` (odd) samples around each one; nothing counts past the ends.

    Of equal maxima the first one gets the gradient, as in PyTorch.
    """
    half = width // 2
    window = jnp.pad(x, [(0, 0), (half, half)], constant_values=-jnp.inf)
    for step in _doubling_steps(width):
        window = jnp.maximum(window[:, :-step], window[:, step:])
    return window


def _doubling_steps(width: int) -> list[int]:
    """Shifts by which windows of 1 sample grow to `width`, each the union of two of the last."""
    steps, size = [], 1
    while size < width:
        steps.append(min(size, width - size))
        size += steps[-1]
    return steps


def _max_pool_forward(x: Signal, width: int):
    half = width // 2
    window = jnp.pad(x, [(0, 0), (half, half)], constant_values=-jnp.inf)
    place = jnp.broadcast_to(jnp.arange(-half, x.shape[1] + half)[None], window.shape)
    for step in _doubling_steps(width):
        left = window[:, :-step] >= window[:, step:]
        window = jnp.where(left, window[:, :-step], window[:, step:])
        place = jnp.where(left, place[:, :-step], place[:, step:])
    return window, place


def _max_pool_backward(width: int, place: Int[Array, "b t"], gradient: Signal):
    # A loop over the window instead of a scatter: the same sum in the same order on every backend.
    half, frames = width // 2, gradient.shape[1]
    sides = [(0, 0), (half, half)]
    gradient, place = jnp.pad(gradient, sides), jnp.pad(place, sides, constant_values=-width)
    here = jnp.arange(frames)[None]

    def add(shift, total):
        chosen = jax.lax.dynamic_slice_in_dim(place, shift, frames, 1) == here
        return total + jnp.where(
            chosen, jax.lax.dynamic_slice_in_dim(gradient, shift, frames, 1), 0
        )

    zeros = jnp.zeros((gradient.shape[0], frames), gradient.dtype)
    return (jax.lax.fori_loop(0, width, add, zeros),)


max_pool.defvjp(_max_pool_forward, _max_pool_backward)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def average_pool(x: Signal, width: int) -> Signal:
    """Sum over the `width` (odd) samples around each one, zeros past the ends, over `width`.

    Sums of 1, 2, 4... samples are built by doubling; those in the binary form of `width` are added.
    """
    frames = x.shape[1]
    half = width // 2
    window = jnp.pad(x, [(0, 0), (half, half)])
    total, covered, size = window[:, :frames], 1, 1  # an odd width has the bit of 1
    while 2 * size <= width:
        window = window[:, :-size] + window[:, size:]
        size *= 2
        if width & size:
            total = total + window[:, covered : covered + frames]
            covered += size
    return total / width


# The window is symmetric: average pooling is its own transpose.
average_pool.defvjp(
    lambda x, width: (average_pool(x, width), None),
    lambda width, _, gradient: (average_pool(gradient, width),),
)
