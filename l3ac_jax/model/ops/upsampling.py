"""Linear upsampling."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

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


def upsample_between(
    x: Frames, real: Bool[Array, "b t"], factor: int
) -> Float[Array, "b {factor}*(t-1) c"]:
    """What `linear_upsample` gives after each frame up to the next one, `factor` frames each.

    Where only one of two frames is `real`, it is the edge that is repeated.
    """
    batch, frames, channels = x.shape
    flags = real[..., None]
    before = jnp.where(flags[:, :-1], x[:, :-1], x[:, 1:])
    after = jnp.where(flags[:, 1:], x[:, 1:], x[:, :-1])
    # With an odd factor, the last one lies on the next frame; with an even one, halfway to either.
    places = [(m + (1 if factor % 2 else 0.5)) / factor for m in range(factor)]
    phases = [
        added([before * np.asarray(1 - place, x.dtype), after * np.asarray(place, x.dtype)])
        for place in places
    ]
    return jnp.stack(phases, axis=2).reshape(batch, (frames - 1) * factor, channels)


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
