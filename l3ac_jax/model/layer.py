"""What every layer says of itself, and what follows of it for layers one after the other.

Each layer takes `(x, lengths)`: frames (b, t, c) and the count of real frames of each clip (or None
for all of them), and gives the same real frames whatever the padding holds. An order of layers is
written in one list: what is computed, how lengths change, what depends on what, and what a step of
a stream (streams.py) computes and keeps come from it.

What training, inference and other formats need to know of a layer is said here too, by the layer:
`kinds` of its parameters, and `fold`. Which layers a configuration has: params.layers_of.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum, auto
from typing import Any, ClassVar

import flax.linen as nn
from jaxtyping import Array

from l3ac_jax.model import ops
from l3ac_jax.model.ops import Lengths
from l3ac_jax.model.reach import Context, Span
from l3ac_jax.model.streams import Flow, State, Stream, joined, recent


class Kind(Enum):
    """What an array of parameters is."""

    MIXING = auto()
    """kernel, the last axis the outputs, each of which sees all inputs"""
    FILTERS = auto()
    """kernel (width, channels), a filter for each channel"""
    GAIN = auto()
    """norm of each output's kernel: weight norm"""
    SCALE = auto()
    """factor of each channel; initially 1"""
    RESPONSE = auto()
    """factor of each channel, less 1; initially 0"""
    OFFSET = auto()
    """added to each channel"""
    FREQUENCY = auto()
    """of each channel's Snake"""


class Role(Enum):
    """What becomes of a kernel's output."""

    NORMALIZED = auto()
    """goes to the norm of its block, where norms are on"""
    RESIDUAL = auto()
    """is added to what its block was given"""
    OTHER = auto()


class Layer(nn.Module):
    """Frames to frames; if it doesn't say otherwise, to as many, and each by itself."""

    kinds: ClassVar[Mapping[str, Kind]] = {}
    """of the parameters that are trained, by name; layers inside of this one have their own"""

    def fold(self, params: dict[str, Any]) -> dict[str, Any]:
        """The parameters of inference for those of training, where `folded` makes a difference.

        Those of layers inside of this one are folded already. Arrays are NumPy's or JAX's.
        """
        return params

    def reach(self, span: Span) -> Span:
        """The input frames on which these output frames depend."""
        return span

    def local_reach(self, span: Span) -> Span:
        """The reach of everything but the norms' statistics over the whole clip."""
        return self.reach(span)

    def lengths_after(self, lengths: Lengths) -> Lengths:
        """The lengths of clips behind this layer."""
        return lengths

    def channels_after(self, channels: int | None) -> int | None:
        """How many channels there are behind this layer."""
        return channels

    def start(self, flow: Flow) -> tuple[State, Flow]:
        """What is kept before the first step, and what is known of the stream behind this layer.

        Raises StreamingError for a layer that needs the whole clip.
        """
        return (), flow._replace(channels=self.channels_after(flow.channels))

    def step(self, state: State, stream: Stream) -> tuple[State, Stream]:
        """What is kept from now on, and the frames that become known, all behind this layer."""
        return state, stream._replace(frames=self(stream.frames))  # pyright: ignore[reportCallIssue]


class Windowed(Layer):
    """A layer that sees the same number of frames around each one, zeros past the ends of a clip.

    `valid` computes it for the frames that have all of their context.
    """

    @property
    def context(self) -> Context:
        """What it sees."""
        raise NotImplementedError

    def valid(self, x: Array) -> Array:
        """(b, u + context, c) to (b, u, d)."""
        raise NotImplementedError

    def __call__(self, x: Array, lengths: Lengths = None) -> Array:
        return self.valid(ops.pad_frames(ops.mask_frames(x, lengths), *self.context))

    def reach(self, span: Span) -> Span:
        return span.widen(*self.context)

    def start(self, flow: Flow) -> tuple[State, Flow]:
        _, after = super().start(flow)
        past, future = self.context
        return recent(flow, past + future, future), after._replace(lag=flow.lag + future)

    def step(self, state: State, stream: Stream) -> tuple[State, Stream]:
        steps = stream.real.shape[1]
        state, frames, real = joined(state, stream, fill=0.0)
        return state, Stream(self.valid(frames), real[:, :steps])


def run(layers: Iterable[Layer], x: Array, lengths: Lengths) -> tuple[Array, Lengths]:
    """The frames and lengths behind layers that are applied one after the other."""
    for layer in layers:
        x, lengths = layer(x, lengths), layer.lengths_after(lengths)
    return x, lengths


def chain(layers: Sequence[Layer], span: Span, local: bool = False) -> Span:
    """The reach of layers that are applied one after the other.

    With `local`, that of everything but the norms' statistics over the whole clip.
    """
    for layer in reversed(layers):
        span = layer.local_reach(span) if local else layer.reach(span)
    return span


def start_all(layers: Iterable[Layer], flow: Flow) -> tuple[list[State], Flow]:
    """The states of layers that are applied one after the other, and the stream behind them."""
    states = []
    for layer in layers:
        state, flow = layer.start(flow)
        states.append(state)
    return states, flow


def step_all(
    layers: Iterable[Layer], states: Sequence[State], stream: Stream
) -> tuple[list[State], Stream]:
    """A step of layers that are applied one after the other."""
    after = []
    for layer, state in zip(layers, states, strict=True):
        state, stream = layer.step(state, stream)
        after.append(state)
    return after, stream


class Chain(Layer):
    """A layer that is nothing but others in order, all written in `layers`."""

    @property
    def layers(self) -> list[Layer]:
        """From the first to the last."""
        raise NotImplementedError

    def __call__(self, x: Array, lengths: Lengths = None) -> Array:
        return run(self.layers, x, lengths)[0]

    def reach(self, span: Span) -> Span:
        return chain(self.layers, span)

    def local_reach(self, span: Span) -> Span:
        return chain(self.layers, span, local=True)

    def lengths_after(self, lengths: Lengths) -> Lengths:
        for layer in self.layers:
            lengths = layer.lengths_after(lengths)
        return lengths

    def channels_after(self, channels: int | None) -> int | None:
        for layer in self.layers:
            channels = layer.channels_after(channels)
        return channels

    def start(self, flow: Flow) -> tuple[State, Flow]:
        return start_all(self.layers, flow)

    def step(self, state: State, stream: Stream) -> tuple[State, Stream]:
        return step_all(self.layers, state, stream)
