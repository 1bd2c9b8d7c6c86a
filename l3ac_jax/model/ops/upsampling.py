"""Linear upsampling."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from l3ac_jax.model.ops.arithmetic import added
from l3ac_jax.model.ops.masks import Frames, Lengths, frame_mask


def linear_upsample(x: Frames, factor: int, lengths: Lengths = None) -> Float[Array, "b u c"]:
    """Linear interpolation to `factor` times the rate, edge frames repeated (align_corners=False).

    Output `factor*i + p` lies at input position i + (p + 1/2)/factor - 1/2. These weights are
    exact; PyTorch's float32 positions lose accuracy as the index grows.
    """
    batch, frames, channels = x.shape
    if lengths is not None:
        last = jnp.maximum(lengths - 1, 0)[:, None, None]
        edge = jnp.take_along_axis(x, last, axis=1)
        x = jnp.where(frame_mask(lengths, frames)[..., None], x, edge)
    before = jnp.concatenate([x[:, :1], x[:, :-1]], axis=1)
    after = jnp.concatenate([x[:, 1:], x[:, -1:]], axis=1)
    # One phase after the other: sums over an axis of phases are slow in the backward pass.
    phases = [_between(before, x, after, (p + 0.5) / factor - 0.5) for p in range(factor)]
    return jnp.stack(phases, axis=2).reshape(batch, frames * factor, channels)


def _between(before: Array, x: Array, after: Array, offset: float) -> Array:
    """`x` moved by `offset` frames, less than one, towards its neighbours."""
    weights = (max(-offset, 0), 1 - abs(offset), max(offset, 0))
    return added(
        [
            frame * np.asarray(weight, x.dtype)
            for frame, weight in zip((before, x, after), weights, strict=True)
            if weight
        ]
    )
