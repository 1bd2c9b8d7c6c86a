"""Residual units computed a block of frames at a time, so that their wide layers stay in the cache.

On a CPU the expansion to four times a few channels is bound by memory, not arithmetic: in blocks
whose hidden layer takes about 4 MB a unit took 25 instead of 32 ms (24 channels), 32 instead of 39
(48) and 32 instead of 38 (96) for 10 s of audio. Wider layers gained nothing. Other
backends take all frames at once. A block is what a streaming step will be: frames with the past and
future that they need.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from . import ops
from .ops import Frames, Lengths

HIDDEN_VALUES = 2**20
WIDEST = 512


def frames_per_block(frames: int, hidden: int) -> int:
    """The divisor of `frames` nearest to what makes a `hidden` layer fit the cache; or `frames`."""
    if jax.default_backend() != "cpu" or hidden > WIDEST:
        return frames
    target = HIDDEN_VALUES // hidden
    fitting = [n for n in range(target // 3, min(2 * target, frames) + 1) if frames % n == 0]
    return min(fitting, key=lambda n: abs(math.log(n / target)), default=frames)


def in_blocks(
    unit: nn.Module, x: Frames, lengths: Lengths, halo: int, hidden: int, blocked: bool
) -> Float[Array, "b t d"]:
    """`unit.valid` on `x` with `halo` zeros on either side of each clip, in blocks if `blocked`.

    `unit.valid` takes (b, n + 2·halo, c) frames to (b, n, d); `hidden` is its greatest width.
    """
    padded = ops.pad_frames(ops.mask_frames(x, lengths), halo)
    batch, frames, channels = x.shape
    block = frames_per_block(frames, hidden)
    if not blocked or unit.is_initializing() or block == frames:
        return unit.valid(padded)
    # inside a JAX loop Flax wants a module of its own
    params, alone = unit.variables, unit.clone(parent=None)
    blocks = frames // block

    def compute(index: Array) -> Array:
        corner = (index // blocks, index % blocks * block, 0)
        part = jax.lax.dynamic_slice(padded, corner, (1, block + 2 * halo, channels))
        return alone.apply(params, part, method="valid")[0]

    y = jax.lax.map(compute, jnp.arange(batch * blocks))
    return y.reshape(batch, frames, -1)
