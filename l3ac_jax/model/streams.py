"""Frames that come bit by bit: what flows between the layers, and what a layer keeps of it.

A step takes a layer some frames further and gives as many at its own rate, delayed by a lag that
never changes. Which frames belong to a clip is said with them: those before its start, which the
lags bring about, and those past its end do not, and a layer that looks at neighbours sees zeros
(or -inf) in their place, as it does in a whole clip.

Shapes: b clips, k frames of a step, c channels; a waveform has no axis of channels.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

State = Any
"""A pytree of arrays whose shapes stay as they are."""


class Stream(NamedTuple):
    """The frames of one step."""

    frames: Float[Array, "b k *c"]
    real: Bool[Array, "b k"]
    """whether they belong to the clip"""


class Flow(NamedTuple):
    """What is known of a stream before anything flows."""

    batch: int
    channels: int | None
    """None for a waveform"""
    lag: int = 0
    """frames that come before the first one of the clip"""


class Recent(NamedTuple):
    """The last frames that came, and whether the last of these belong to the clip."""

    frames: Float[ArrayLike, "b n *c"]
    real: Bool[ArrayLike, "b m"]


def recent(flow: Flow, frames: int, flags: int, fill: float = 0.0) -> Recent:
    """Before anything came: on the host, where nothing has to be compiled for it."""
    channels = () if flow.channels is None else (flow.channels,)
    return Recent(
        np.full((flow.batch, frames, *channels), fill, np.float32),
        np.zeros((flow.batch, flags), bool),
    )


def joined(
    state: Recent, stream: Stream, fill: float | None = None
) -> tuple[Recent, Float[Array, "b n *c"], Bool[Array, "b m"]]:
    """The new state, and all frames and flags that are at hand, from the oldest to the newest.

    With `fill`, that stands for frames that do not belong to the clip.
    """
    steps = stream.real.shape[1]
    new = stream.frames if fill is None else only_real(stream, fill)
    frames = jnp.concatenate([state.frames, new], axis=1)
    flags = jnp.concatenate([state.real, stream.real], axis=1)
    return Recent(frames[:, steps:], flags[:, steps:]), frames, flags


def only_real(stream: Stream, fill: float = 0.0) -> Float[Array, "b k *c"]:
    """The frames, with `fill` for those that do not belong to the clip."""
    flags = stream.real.reshape(stream.real.shape + (1,) * (stream.frames.ndim - 2))
    return jnp.where(flags, stream.frames, fill)


def delayed(state: Recent, stream: Stream) -> tuple[Recent, Stream]:
    """The stream, later by as many frames as `state` holds."""
    steps = stream.real.shape[1]
    state, frames, flags = joined(state, stream)
    return state, Stream(frames[:, :steps], flags[:, :steps])
