"""Residual units computed a block of frames at a time, so that their wide layers stay in the cache.

On a CPU the expansion to four times a few channels is bound by memory, not arithmetic: in blocks
whose hidden layer takes 4 to 8 MB a unit took 25 instead of 32 ms (24 channels), 32 instead of 39
(48) and 32 instead of 38 (96) for 10 s of audio. Wider layers gained nothing. Other backends take
all frames at once. A block is what a streaming step will be: frames with the past and future that
they need.

XLA rounds a layer otherwise for another number of frames, and a rounding decides one token of some
ten thousand. So the number in a block depends on the width alone, with zeros after the last frame,
and the encoder's norms are computed in blocks too. What is left differs with the processor's
vectors: of the features of 25 s in pieces, all were those of one pass to the bit with AVX-512, and
221 of 533,248 differed by up to 1e-6 without.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from l3ac_jax.model.ops.backend import lowerings
from l3ac_jax.model.ops.masks import Dimension, Frames, Lengths, mask_frames, pad_frames
from l3ac_jax.model.reach import Context

HIDDEN_VALUES = 2**21
WIDEST = 768


def frames_per_block(frames: Dimension, hidden: int) -> Dimension:
    """How many frames of a `hidden` layer to take at a time: a power of two, or all `frames`."""
    if lowerings().wide_layers == "whole" or hidden > WIDEST:
        return frames
    block = 2 ** ((HIDDEN_VALUES // hidden).bit_length() - 1)
    return min(block, frames)


def in_blocks(
    unit: nn.Module,
    x: Frames,
    lengths: Lengths,
    context: Context,
    hidden: int,
    blocked: bool,
    method: str = "valid",
) -> Float[Array, "b t d"]:
    """`unit.valid` on `x` with zeros for its context past either end, in blocks if `blocked`.

    `unit.valid`, or what `method` names, takes (b, n + context, c) frames to (b, n, d); `hidden` is
    its greatest width.
    """
    padded = pad_frames(mask_frames(x, lengths), *context)
    batch, frames, channels = x.shape
    block = frames_per_block(frames, hidden)
    if not blocked or unit.is_initializing() or block == frames:
        return getattr(unit, method)(padded)
    # inside a JAX loop Flax wants a module of its own
    params, alone = unit.variables, unit.clone(parent=None)
    blocks = math.ceil(frames / block)
    padded = jnp.pad(padded, [(0, 0), (0, blocks * block - frames), (0, 0)])

    def compute(index: Array) -> Array:
        corner = (index // blocks, index % blocks * block, 0)
        part = jax.lax.dynamic_slice(padded, corner, (1, block + context.total, channels))
        return alone.apply(params, part, method=method)[0]

    y = jax.lax.map(compute, jnp.arange(batch * blocks))
    return y.reshape(batch, blocks * block, -1)[:, :frames]
