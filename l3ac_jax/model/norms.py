"""The norms of the convolutional layers, computed in float32 or better; see layers.py."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from l3ac_jax.model import ops
from l3ac_jax.model.layer import Kind, Layer
from l3ac_jax.model.ops import Frames, Lengths
from l3ac_jax.model.ops.blocks import in_blocks
from l3ac_jax.model.reach import NO_CONTEXT

NORM_EPS = 1e-8
RESPONSE_EPS = 1e-6  # ConvNeXt-V2's own

AFFINE = {"scale": Kind.SCALE, "bias": Kind.OFFSET}
RESPONSE = {"gamma": Kind.RESPONSE, "beta": Kind.OFFSET}


def affine(module: nn.Module, x: Frames) -> Frames:
    """The learned scale and bias of a norm."""
    scale = module.param("scale", nn.initializers.ones, x.shape[-1:])
    bias = module.param("bias", nn.initializers.zeros, x.shape[-1:])
    return x * ops.per_channel(scale, x) + ops.per_channel(bias, x)


class ChannelNorm(Layer):
    """Layer norm over the channels of each frame; folded, its affine part is elsewhere."""

    kinds = AFFINE
    folded: bool = False
    eps: float = NORM_EPS
    block_width: int | None = None
    """in blocks of frames, as a layer of this width (see ops/blocks.py); None: all at once"""

    def __call__(self, x: Frames, lengths: Lengths = None) -> Frames:
        if self.block_width is None:
            return self.valid(x)
        return in_blocks(self, x, None, NO_CONTEXT, self.block_width, True)

    @nn.compact
    def valid(self, x: Frames) -> Frames:
        """Of all frames at once."""
        y: Array = ops.standardize_channels(ops.at_least_float32(x), self.eps)  # pyright: ignore
        if not self.folded:
            y = affine(self, y)
        return y.astype(x.dtype)


class GRN(Layer):
    """Global response normalization as published: an affine map per channel.

    The official code divides the norm over time and channels by its mean over an axis of size one,
    so that its response is 1 but for 1e-8; unlike ConvNeXt-V2's, which compares channels.
    """

    kinds = RESPONSE

    @nn.compact
    def __call__(self, x: Frames, lengths: Lengths = None) -> Frames:
        gamma = self.param("gamma", nn.initializers.zeros, x.shape[-1:]).astype(x.dtype)
        beta = self.param("beta", nn.initializers.zeros, x.shape[-1:]).astype(x.dtype)
        return x * ops.per_channel(1 + gamma, x) + ops.per_channel(beta, x)


class ResponseNorm(Layer):
    """Global response normalization as in ConvNeXt-V2 (arXiv 2301.00808): channels compared.

    A channel's response is its norm over the clip's real frames, divided by the mean of all
    channels' norms.
    """

    kinds = RESPONSE

    @nn.compact
    def __call__(self, x: Frames, lengths: Lengths = None) -> Frames:
        gamma = self.param("gamma", nn.initializers.zeros, x.shape[-1:])
        beta = self.param("beta", nn.initializers.zeros, x.shape[-1:])
        y = ops.at_least_float32(x)
        norms = _clip_norms(ops.mask_frames(y, lengths))
        response = norms / (norms.mean(axis=-1, keepdims=True) + RESPONSE_EPS)
        scale = 1 + response * ops.per_channel(gamma, response)
        return (y * scale[:, None] + ops.per_channel(beta, y)).astype(x.dtype)


def _clip_norms(x: Frames) -> Float[Array, "b c"]:
    """Each channel's norm over time; its derivative is 0 where the channel is silent."""
    energy = ops.time_sum(jnp.square(x))
    silent = energy == 0
    # The derivative of the root at 0 is infinite, and infinity times 0 is NaN.
    return jnp.where(silent, 0, jnp.sqrt(jnp.where(silent, 1, energy)))
