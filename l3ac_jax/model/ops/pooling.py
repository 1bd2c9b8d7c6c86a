"""Sliding maxima and means of a signal, by doubling: windows of 1, 2, 4... samples.

Shapes: b batch, t time; u = t - width + 1 windows that lie in the signal as a whole.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from l3ac_jax.model.ops.masks import Signal, pad_frames

Windows = Float[Array, "b u"]


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def window_maxima(x: Signal, width: int) -> Windows:
    """The maximum of each window of `width` samples.

    Of equal maxima the first one gets the gradient, as in PyTorch.
    """
    window = x
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


def _maxima_forward(x: Signal, width: int):
    window = x
    place = jnp.broadcast_to(jnp.arange(x.shape[1])[None], window.shape)
    for step in _doubling_steps(width):
        left = window[:, :-step] >= window[:, step:]
        window = jnp.where(left, window[:, :-step], window[:, step:])
        place = jnp.where(left, place[:, :-step], place[:, step:])
    return window, place


def _maxima_backward(width: int, place: Int[Array, "b u"], gradient: Windows):
    # A loop over the window instead of a scatter: the same sum in the same order on every backend.
    others, frames = width - 1, gradient.shape[1] + width - 1
    gradient = pad_frames(gradient, others, others)
    place = jnp.pad(place, [(0, 0), (others, others)], constant_values=-1)
    here = jnp.arange(frames)[None]

    def add(shift, total):
        chosen = jax.lax.dynamic_slice_in_dim(place, shift, frames, 1) == here
        return total + jnp.where(
            chosen, jax.lax.dynamic_slice_in_dim(gradient, shift, frames, 1), 0
        )

    zeros = jnp.zeros((gradient.shape[0], frames), gradient.dtype)
    return (jax.lax.fori_loop(0, width, add, zeros),)


window_maxima.defvjp(_maxima_forward, _maxima_backward)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def window_means(x: Signal, width: int) -> Windows:
    """The mean of each window of `width` (odd) samples.

    Sums of 1, 2, 4... samples are built by doubling; those in the binary form of `width` are added.
    """
    frames = x.shape[1] - width + 1
    window, total, covered, size = x, x[:, :frames], 1, 1  # an odd width has the bit of 1
    while 2 * size <= width:
        window = window[:, :-size] + window[:, size:]
        size *= 2
        if width & size:
            total = total + window[:, covered : covered + frames]
            covered += size
    return total / width


def _means_backward(width: int, _, gradient: Windows):
    return (window_means(pad_frames(gradient, width - 1, width - 1), width),)


window_means.defvjp(lambda x, width: (window_means(x, width), None), _means_backward)
