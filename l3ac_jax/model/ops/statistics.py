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
from l3ac_jax.model.precision import stated_products

_SUM_BLOCK = 512
RUNNING_BLOCK = 256


def time_sum(x: Float[Array, "b t *c"]) -> Float[Array, "b *c"]:
    """Sum over time in two levels, blocks first.

    Accurate in float32 for long clips, and independent of how many zeros pad the clip.
    """
    batch, frames, *rest = x.shape
    count = -(-frames // _SUM_BLOCK)
    padded = jnp.pad(x, [(0, 0), (0, count * _SUM_BLOCK - frames)] + [(0, 0)] * len(rest))
    blocks = padded.reshape(batch, count, _SUM_BLOCK, *rest)
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

    count: Float[ArrayLike, "b 1"]
    means: Float[ArrayLike, "b k"]
    squares: Float[ArrayLike, "b k"]
    """sums of squared distances from the mean"""


def no_past(batch: int, signals: int) -> Past:
    """Before the first frame."""
    return Past(*(np.zeros((batch, width), np.float32) for width in (1, signals, signals)))


def running_statistics(
    x: Float[Array, "b t k"], real: Bool[Array, "b t"], memory: float, past: Past
) -> tuple[Past, Float[Array, "b t k"], Float[Array, "b t k"]]:
    """Means and variances over each frame and all real ones before it, and the past after them.

    A frame weighs 1/e of the present one after `memory` frames. A block of frames is one product
    with the weights of all of them for each.
    """
    batch, frames, signals = x.shape
    decay = math.exp(-1 / memory)
    if isinstance(frames, int) and frames <= RUNNING_BLOCK:
        return _block_statistics(past, x, real, decay)
    start = Past(*(jnp.asarray(array, x.dtype) for array in past))
    count = -(-frames // RUNNING_BLOCK)
    missing = count * RUNNING_BLOCK - frames
    x = jnp.pad(x, [(0, 0), (0, missing), (0, 0)])
    real = jnp.pad(real, [(0, 0), (0, missing)])
    blocks = (
        x.reshape(batch, count, RUNNING_BLOCK, signals).swapaxes(0, 1),
        real.reshape(batch, count, RUNNING_BLOCK).swapaxes(0, 1),
    )

    def step(past: Past, block: tuple[Array, Array]) -> tuple[Past, tuple[Array, Array]]:
        past, *found = _block_statistics(past, *block, decay)
        return past, (found[0], found[1])

    after, found = jax.lax.scan(step, start, blocks)
    means, variances = (
        part.swapaxes(0, 1).reshape(batch, count * RUNNING_BLOCK, signals)[:, :frames]
        for part in found
    )
    return after, means, variances


def _block_statistics(
    past: Past, x: Float[Array, "b t k"], real: Bool[Array, "b t"], decay: float
) -> tuple[Past, Float[Array, "b t k"], Float[Array, "b t k"]]:
    past_count, past_means, past_squares = (jnp.asarray(array, x.dtype) for array in past)
    frames = x.shape[1]
    ages = np.arange(frames)[:, None] - np.arange(frames)[None]
    weights = np.where(ages >= 0, decay ** np.maximum(ages, 0), 0).astype(x.dtype)
    fading = (decay ** np.arange(1, frames + 1))[None, :, None].astype(x.dtype)
    flags = real[..., None]
    # Sums of distances from a value among them: those of large values would cancel.
    first = jnp.take_along_axis(x, jnp.argmax(flags, axis=1, keepdims=True), axis=1)[:, 0]
    near = jax.lax.stop_gradient(jnp.where(past_count > 0, past_means, first))
    apart = jnp.where(flags, x - near[:, None], 0)
    with stated_products("float32"):
        sums = jnp.einsum(
            "ts,bsk->btk",
            weights,
            jnp.concatenate([flags.astype(x.dtype), apart, jnp.square(apart)], axis=-1),
        )
    count, total, squares = jnp.split(sums, [1, 1 + x.shape[-1]], axis=-1)
    shift = jnp.where(past_count > 0, past_means - near, 0)
    before = fading * past_count[:, None]
    count = before + count
    share = 1 / jnp.maximum(count, 1e-30)
    drift = (total + before * shift[:, None]) * share
    squares = fading * past_squares[:, None] + before * jnp.square(shift)[:, None] + squares
    squares = jnp.maximum(squares - jnp.square(drift) * count, 0)
    means, variances = near[:, None] + drift, squares * share
    return Past(count[:, -1], means[:, -1], squares[:, -1]), means, variances


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
