"""Means and deviations: of a clip, of its past, and over the channels of a frame."""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

from l3ac_jax.model.ops.masks import Frames, Lengths, Signal, mask_frames

_SUM_BLOCK = 512


def time_sum(x: Float[Array, "b t *c"]) -> Float[Array, "b *c"]:
    """Sum over time in two levels, blocks first.

    Accurate in float32 for long clips, and independent of how many zeros pad the clip.
    """
    batch, frames, *rest = x.shape
    padded = jnp.pad(x, [(0, 0), (0, -frames % _SUM_BLOCK)] + [(0, 0)] * len(rest))
    blocks = padded.reshape(batch, -1, _SUM_BLOCK, *rest)
    return blocks.sum(axis=2).sum(axis=1)


def clip_statistics(x: Signal, lengths: Lengths) -> tuple[Float[Array, " b"], Float[Array, " b"]]:
    """Mean and (biased) variance of the real samples of each clip."""
    count = x.shape[1] if lengths is None else jnp.maximum(lengths, 1)
    mean = time_sum(mask_frames(x, lengths)) / count
    centred = mask_frames(x - mean[:, None], lengths)
    return mean, time_sum(jnp.square(centred)) / count


def standardize(
    x: Signal, mean: Float[Array, "b #t"], variance: Float[Array, "b #t"], eps: float = 1e-5
) -> Signal:
    """`x` less a mean, over a deviation, as InstanceNorm1d does with those of the clip."""
    return (x - mean) * jax.lax.rsqrt(variance + eps)


class Past(NamedTuple):
    """Of the frames so far, the older ones counting less: k signals' moments."""

    count: Float[ArrayLike, "b *t 1"]
    means: Float[ArrayLike, "b *t k"]
    squares: Float[ArrayLike, "b *t k"]
    """sums of squared distances from the mean"""


def no_past(batch: int, signals: int) -> Past:
    """Before the first frame."""
    return Past(*(np.zeros((batch, width), np.float32) for width in (1, signals, signals)))


def running_statistics(
    x: Float[Array, "b t k"], real: Bool[Array, "b t"], memory: float, past: Past
) -> tuple[Past, Float[Array, "b t k"], Float[Array, "b t k"]]:
    """Means and variances over each frame and all real ones before it, and the past after them.

    A frame weighs 1/e of the present one after `memory` frames.
    """
    decay = math.exp(-1 / memory)
    flags = real[..., None]
    x = jnp.where(flags, x, 0)
    fading = jnp.full((1, x.shape[1], 1), decay, x.dtype)
    frames = Past(flags.astype(x.dtype), x, jnp.zeros_like(x))
    before, moments = jax.lax.associative_scan(
        lambda a, b: (a[0] * b[0], _together(a[1], b[1], b[0])), (fading, frames), axis=1
    )
    start = Past(*(jnp.asarray(array)[:, None] for array in past))
    count, means, squares = moments = _together(start, moments, before)
    variances = squares / jnp.maximum(count, 1e-6)  # of none there is none
    return Past(*(array[:, -1] for array in moments)), means, variances


def _together(older: Past, newer: Past, fading: Array) -> Past:
    """The moments of both, of which the older ones have faded (Chan, Golub and LeVeque, 1979)."""
    older_count = fading * older.count
    count = older_count + newer.count
    share = newer.count / jnp.maximum(count, 1e-30)
    apart = newer.means - older.means
    return Past(
        count,
        older.means + apart * share,
        fading * older.squares + newer.squares + jnp.square(apart) * older_count * share,
    )


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def standardize_channels(x: Frames, eps: float) -> Frames:
    """Zero mean and unit (biased) variance over the channels of each frame."""
    return _standardize_forward(x, eps)[0]


def _standardize_forward(x: Frames, eps: float):
    centred = x - x.mean(axis=-1, keepdims=True)
    factor = jax.lax.rsqrt(jnp.square(centred).mean(axis=-1, keepdims=True) + eps)
    result = centred * factor
    return result, (result, factor)


def _standardize_backward(eps: float, kept, gradient: Frames):
    # Two means over the channels, where differentiating the two of the forward pass takes four.
    result, factor = kept
    along = (gradient * result).mean(axis=-1, keepdims=True)
    return (factor * (gradient - gradient.mean(axis=-1, keepdims=True) - result * along),)


standardize_channels.defvjp(_standardize_forward, _standardize_backward)
