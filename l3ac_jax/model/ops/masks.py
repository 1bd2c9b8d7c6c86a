"""Frames that are real and frames that are padding: the types of signals, masks and zeros."""

from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

Frames = Float[Array, "b t c"]
Signal = Float[Array, "b t"]
Lengths = Int[Array, " b"] | None
Dimension = Any
"""An int, or JAX's symbol where one program is for any length."""
Count = TypeVar("Count", int, Int[Array, " b"])


def frame_mask(lengths: Int[Array, " b"], frames: int) -> Bool[Array, "b t"]:
    """True where a frame is real."""
    return jnp.arange(frames)[None] < lengths[:, None]


def quotient(count: Count, divisor: int) -> Count:
    """`count // divisor` of counts that are not negative.

    For arrays `//` is a dozen operations that look after signs, and XLA repeats them for every mask
    of a program.
    """
    if isinstance(count, int):
        return count // divisor
    counts = jnp.asarray(count)
    return jax.lax.div(counts, jnp.asarray(divisor, counts.dtype))


def mask_frames(x: Float[Array, "b t *c"], lengths: Lengths, fill: float = 0.0):
    """`x` with `fill` in place of padding frames."""
    if lengths is None:
        return x
    mask = frame_mask(lengths, x.shape[1])
    return jnp.where(mask.reshape(mask.shape + (1,) * (x.ndim - 2)), x, fill)


def pad_frames(
    x: Float[Array, "b t *c"], before: int, after: int, fill: float = 0.0
) -> Float[Array, "b u *c"]:
    """`x` with frames of `fill` before the first and after the last one."""
    widths = [(0, 0), (before, after)] + [(0, 0)] * (x.ndim - 2)
    return jnp.pad(x, widths, constant_values=fill)
