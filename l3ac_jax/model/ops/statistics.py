"""Means and deviations: over the time of a clip, and over the channels of a frame."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

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
    x: Signal, mean: Float[Array, " b"], variance: Float[Array, " b"], eps: float = 1e-5
) -> Signal:
    """`x` less its clip's mean, over its deviation, as InstanceNorm1d does."""
    return (x - mean[:, None]) * jax.lax.rsqrt(variance + eps)[:, None]


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
