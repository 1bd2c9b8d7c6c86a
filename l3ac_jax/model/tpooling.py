"""TPooling: trends of the waveform at several time scales, and the encoder's layer that sees them.

TPooling(x, K) = AvgPool_K(MaxPool_K(|x|)), stride 1: the envelope of the signal over about 2K
samples. K = 1 is the signal itself, sign included.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from l3ac_jax.config.model import TPoolingConfig
from l3ac_jax.model import ops
from l3ac_jax.model.layer import Layer
from l3ac_jax.model.layers import BlockOptions, Dense, WeightNormed
from l3ac_jax.model.ops import Frames, Lengths, Signal
from l3ac_jax.model.ops.blocks import in_blocks
from l3ac_jax.model.ops.pooling import window_maxima, window_means
from l3ac_jax.model.reach import NO_CONTEXT, Context, Span
from l3ac_jax.model.streams import Flow, Recent, Stream, delayed, joined, recent

CONV_WIDTH = 7
CHANNELS_PER_BRANCH = 4


class TrendContext(NamedTuple):
    """What each part of a trend sees; the future is given to the last part first."""

    maxima: Context
    means: Context
    conv: Context

    @classmethod
    def of(
        cls, pooling: int, dilation: int = 1, look_ahead: int | float = math.inf
    ) -> TrendContext:
        conv = Context.around(CONV_WIDTH, dilation, look_ahead)
        means = Context.around(pooling, look_ahead=look_ahead - conv.future)
        left = look_ahead - conv.future - means.future
        return cls(Context.around(pooling, look_ahead=left), means, conv)

    @property
    def whole(self) -> Context:
        """What the trend sees."""
        return self.maxima + self.means + self.conv


def tpool(x: Signal, width: int, absolute: bool = True, lengths: Lengths = None) -> Signal:
    """Trend of `x` over `width` (odd) samples; `absolute=False` pools x instead of |x|."""
    return _tpool(x, width, absolute, lengths, TrendContext.of(width))


def _tpool(
    x: Signal, width: int, absolute: bool, lengths: Lengths, context: TrendContext
) -> Signal:
    if width == 1:
        return x
    signal = jnp.abs(x) if absolute else x
    signal = ops.mask_frames(signal, lengths, -jnp.inf)
    peaks: Array = window_maxima(ops.pad_frames(signal, *context.maxima, -jnp.inf), width)  # pyright: ignore
    padded = ops.pad_frames(ops.mask_frames(peaks, lengths), *context.means)
    return window_means(padded, width)  # pyright: ignore


def pooling_reach(width: int) -> int:
    """Samples on either side that TPooling looks at."""
    return 2 * (width // 2)


class TrendState(NamedTuple):
    """What each part of a trend keeps."""

    maxima: Recent
    means: Recent
    conv: Recent


class TrendBranch(WeightNormed):
    """TPooling at one scale, then a weight-normed convolution of width 7 to a few channels."""

    pooling: int
    features: int
    dilation: int = 1
    absolute: bool = True
    look_ahead: int | float = math.inf

    def __call__(self, x: Signal, lengths: Lengths = None) -> Float[Array, "b t d"]:
        trend: Signal = _tpool(x, self.pooling, self.absolute, lengths, self.contexts)
        trend = ops.mask_frames(trend, lengths)
        return self.valid(ops.pad_frames(trend, *self.contexts.conv))

    @nn.compact
    def valid(self, trend: Signal) -> Float[Array, "b u d"]:
        """The convolution of a trend where it has all neighbours."""
        kernel, bias = self.weights((CONV_WIDTH, 1, self.features), trend.dtype)
        y = ops.signal_conv(trend, kernel[:, 0], self.dilation)
        return y + ops.per_channel(bias, y)

    @property
    def contexts(self) -> TrendContext:
        """What its parts see."""
        return TrendContext.of(self.pooling, self.dilation, self.look_ahead)

    def channels_after(self, channels: int | None) -> int:
        return self.features

    def reach(self, span: Span) -> Span:
        return span.widen(*self.contexts.whole)

    def start(self, flow: Flow) -> tuple[TrendState, Flow]:
        fills = (-math.inf, 0.0, 0.0)
        states = [
            recent(flow, context.total, context.future, fill)
            for context, fill in zip(self.contexts, fills, strict=True)
        ]
        lag = flow.lag + self.contexts.whole.future
        return TrendState(*states), Flow(flow.batch, self.features, lag)

    def step(self, state: TrendState, stream: Stream) -> tuple[TrendState, Stream]:
        width, steps = self.pooling, stream.real.shape[1]
        maxima, means = state.maxima, state.means
        if width > 1:
            x = jnp.abs(stream.frames) if self.absolute else stream.frames
            maxima, x, real = joined(maxima, Stream(x, stream.real), -jnp.inf)
            stream = Stream(window_maxima(x, width), real[:, :steps])  # pyright: ignore
            means, x, real = joined(means, stream, 0.0)
            stream = Stream(window_means(x, width), real[:, :steps])  # pyright: ignore
        conv, x, real = joined(state.conv, stream, 0.0)
        return TrendState(maxima, means, conv), Stream(self.valid(x), real[:, :steps])


class Aligned(NamedTuple):
    """What parallel branches keep, and their outputs' and the input's delays to be in time."""

    branches: list[TrendState]
    delays: list[Recent]
    input: Recent


def start_aligned(branches: Sequence[TrendBranch], flow: Flow, signal: Flow) -> tuple[Aligned, int]:
    """For branches that see `signal`, beside `flow`, which becomes as late as the latest of them.

    Also the lag of all.
    """
    started = [branch.start(signal) for branch in branches]
    lag = max(after.lag for _, after in started)
    delays = [recent(after, *[lag - after.lag] * 2) for _, after in started]
    delay = recent(flow, *[lag - flow.lag] * 2)
    return Aligned([state for state, _ in started], delays, delay), lag


def step_aligned(
    branches: Sequence[TrendBranch], state: Aligned, stream: Stream, signal: Array
) -> tuple[Aligned, list[Array], Stream]:
    """The branches' views of a signal beside a stream, and the stream, all of the same frames."""
    states, delays, views = [], [], []
    for branch, kept, delay in zip(branches, state.branches, state.delays, strict=True):
        kept, view = branch.step(kept, Stream(signal, stream.real))
        delay, view = delayed(delay, view)
        states.append(kept)
        delays.append(delay)
        views.append(view.frames)
    delay, stream = delayed(state.input, stream)
    return Aligned(states, delays, delay), views, stream


def pooling_kernel(tpooling: TPoolingConfig, kernel: int) -> int:
    """1, the signal itself, where pooling is ablated."""
    return kernel if tpooling.enabled else 1


def widest(branches: Sequence[TrendBranch], span: Span) -> Span:
    """The frames on which any of these depends."""
    spans = [branch.reach(span) for branch in branches]
    return Span(min(s.first for s in spans), max(s.last for s in spans))


class TConv(Layer):
    """The encoder's first layer: the waveform and its trends, mixed to `features` channels."""

    features: int
    tpooling: TPoolingConfig = TPoolingConfig()
    options: BlockOptions = BlockOptions()

    def setup(self):
        folded, tpooling = self.options.folded, self.tpooling
        kernels = tpooling.encoder_kernels
        self.branch = [
            TrendBranch(
                pooling_kernel(tpooling, kernel),
                CHANNELS_PER_BRANCH,
                kernel // 99 + 1,  # as published
                tpooling.absolute,
                self.options.frames_ahead(),
                folded=folded,
            )
            for kernel in kernels
        ]
        dtype = self.options.dtype
        width = 4 * CHANNELS_PER_BRANCH * len(kernels)
        self.expand = Dense(width, folded=folded, dtype=dtype)
        self.merge = Dense(self.features, folded=folded, dtype=dtype)

    def __call__(self, x: Signal, lengths: Lengths = None) -> Frames:
        views = [branch(x, lengths) for branch in self.branch]
        views = jnp.concatenate([*views, x[..., None]], axis=-1)
        width = self.expand.features
        return in_blocks(self, views, lengths, NO_CONTEXT, width, self.options.blocked)

    def valid(self, views: Frames) -> Float[Array, "b t d"]:
        """Mixes the convolved trends; the last channel of `views` is the waveform."""
        h = ops.gelu(self.expand(views[..., :-1]))
        return self.merge(jnp.concatenate([h, views[..., -1:]], axis=-1))

    def reach(self, span: Span) -> Span:
        return widest(self.branch, span)

    def channels_after(self, channels: int | None) -> int:
        return self.features

    def start(self, flow: Flow) -> tuple[Aligned, Flow]:
        state, lag = start_aligned(self.branch, flow, flow)
        return state, Flow(flow.batch, self.features, lag)

    def step(self, state: Aligned, stream: Stream) -> tuple[Aligned, Stream]:
        state, views, stream = step_aligned(self.branch, state, stream, stream.frames)
        frames = jnp.concatenate([*views, stream.frames[..., None]], axis=-1)
        return state, Stream(self.valid(frames), stream.real)
