"""Layers that raise the frame rate, and which of them a decoder's configuration names."""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from l3ac_jax.model import ops
from l3ac_jax.model.layer import Layer
from l3ac_jax.model.ops import Frames, Lengths
from l3ac_jax.model.reach import Span
from l3ac_jax.model.streams import Flow, State, Stream, joined, recent


class Upsample(Layer):
    """Frames at `factor` times the rate; multiplies `t` and `lengths` by it."""

    factor: int

    def lengths_after(self, lengths: Lengths) -> Lengths:
        return None if lengths is None else lengths * self.factor


class LinearUpsample(Upsample):
    """Linear interpolation.

    Half of a frame's `factor` frames lie beyond it. Those that `look_ahead` does not allow to see
    come that much later: without any, frames lie between the frame before and the present one.
    """

    look_ahead: int | float = math.inf
    """in frames of the output"""

    def __call__(self, x: Frames, lengths: Lengths = None) -> Float[Array, "b u c"]:
        y = ops.linear_upsample(x, self.factor, lengths)
        if self._late == 0:
            return y
        first = jnp.repeat(x[:, :1], self._late, axis=1)
        return jnp.concatenate([first, y[:, : -self._late]], axis=1)

    @property
    def _future(self) -> int:
        return int(min(self.factor // 2, self.look_ahead))

    @property
    def _late(self) -> int:
        return self.factor // 2 - self._future

    def reach(self, span: Span) -> Span:
        return span.move(-self._late).before_linear_upsample(self.factor)

    def start(self, flow: Flow) -> tuple[State, Flow]:
        return recent(flow, 1, 1), flow._replace(lag=flow.lag * self.factor + self._future)

    def step(self, state: State, stream: Stream) -> tuple[State, Stream]:
        state, frames, real = joined(state, stream)
        y = ops.upsample_between(frames, real, self.factor)
        flags = jnp.repeat(real, self.factor, axis=1)[:, self.factor - self._future :]
        return state, Stream(y, flags[:, : y.shape[1]])


class OwnFrames(Upsample):
    """A frame makes its own `factor` frames and sees no other: nothing waits for the next one."""

    def reach(self, span: Span) -> Span:
        return span.before_repeat(self.factor)

    def start(self, flow: Flow) -> tuple[State, Flow]:
        _, after = super().start(flow)
        return (), after._replace(lag=flow.lag * self.factor)

    def step(self, state: State, stream: Stream) -> tuple[State, Stream]:
        real = jnp.repeat(stream.real, self.factor, axis=1)
        return state, Stream(self(stream.frames), real)  # pyright: ignore[reportCallIssue]


class NearestUpsample(OwnFrames):
    """Each frame `factor` times."""

    def __call__(self, x: Frames, lengths: Lengths = None) -> Float[Array, "b u c"]:
        return jnp.repeat(x, self.factor, axis=1)


class SplitUpsample(OwnFrames):
    """The channels of a frame are those of `factor` frames, one after the other.

    Behind a 1x1 convolution this is a transposed convolution whose kernel is as wide as its stride.
    """

    def __call__(self, x: Frames, lengths: Lengths = None) -> Float[Array, "b u d"]:
        batch, frames, channels = x.shape
        return x.reshape(batch, frames * self.factor, channels // self.factor)

    def channels_after(self, channels: int | None) -> int | None:
        return None if channels is None else channels // self.factor
