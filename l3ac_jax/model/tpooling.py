"""TPooling: trends of the waveform at several time scales, and the blocks that see them.

TPooling(x, K) = AvgPool_K(MaxPool_K(|x|)), stride 1: the envelope of the signal over about 2K
samples. K = 1 is the signal itself, sign included.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from l3ac_jax.config.model import TPoolingConfig
from l3ac_jax.model import ops
from l3ac_jax.model.layer import Layer, Role
from l3ac_jax.model.layers import (
    BlockOptions,
    Dense,
    PlainDense,
    WeightNormed,
    absorb,
)
from l3ac_jax.model.norms import AFFINE, affine
from l3ac_jax.model.ops import Frames, Lengths, Signal
from l3ac_jax.model.ops.blocks import in_blocks
from l3ac_jax.model.ops.pooling import average_pool, max_pool
from l3ac_jax.model.reach import WHOLE_CLIP, Span

CONV_WIDTH = 7
CHANNELS_PER_BRANCH = 4

Statistics = list[tuple[Float[Array, " b"], Float[Array, " b"]]]
"""Mean and variance of each signal over its clip."""


def tpool(x: Signal, width: int, absolute: bool = True, lengths: Lengths = None) -> Signal:
    """Trend of `x` over `width` (odd) samples; `absolute=False` pools x instead of |x|."""
    if width == 1:
        return x
    signal = jnp.abs(x) if absolute else x
    peaks: Array = max_pool(ops.mask_frames(signal, lengths, -jnp.inf), width)  # pyright: ignore
    return average_pool(ops.mask_frames(peaks, lengths), width)


def pooling_reach(width: int) -> int:
    """Samples on either side that TPooling looks at."""
    return 2 * (width // 2)


class TrendBranch(WeightNormed):
    """TPooling at one scale, then a weight-normed convolution of width 7 to a few channels."""

    pooling: int
    features: int
    dilation: int = 1
    absolute: bool = True

    @nn.compact
    def __call__(self, x: Signal, lengths: Lengths = None) -> Float[Array, "b t d"]:
        kernel, bias = self.weights((CONV_WIDTH, 1, self.features), x.dtype)
        trend = ops.mask_frames(tpool(x, self.pooling, self.absolute, lengths), lengths)
        y = ops.signal_conv(trend, kernel[:, 0], self.dilation)
        return y + ops.per_channel(bias, y)

    def reach(self, span: Span) -> Span:
        pad = ops.same_padding(CONV_WIDTH, self.dilation) + pooling_reach(self.pooling)
        return span.widen(pad, pad)


def _pooling(tpooling: TPoolingConfig, kernel: int) -> int:
    return kernel if tpooling.enabled else 1


def _widest(branches, span: Span) -> Span:
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
                _pooling(tpooling, kernel),
                CHANNELS_PER_BRANCH,
                kernel // 99 + 1,  # as published
                tpooling.absolute,
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
        return in_blocks(self, views, lengths, 0, width, self.options.blocked)

    def valid(self, views: Frames) -> Float[Array, "b t d"]:
        """Mixes the convolved trends; the last channel of `views` is the waveform."""
        h = ops.gelu(self.expand(views[..., :-1]))
        return self.merge(jnp.concatenate([h, views[..., -1:]], axis=-1))

    def reach(self, span: Span) -> Span:
        return _widest(self.branch, span)


class EnhanceBlock(Layer):
    """Scales each channel by 1 + a mix of the trends of channel 0, normed over the whole clip.

    The norm (InstanceNorm) makes every output frame depend on every input frame.
    """

    channels: int
    tpooling: TPoolingConfig = TPoolingConfig()
    options: BlockOptions = BlockOptions()

    def setup(self):
        folded, tpooling = self.options.folded, self.tpooling
        self.branch = [
            TrendBranch(
                _pooling(tpooling, kernel),
                1,
                kernel // 2 + 1,  # as published, also where the pooling is ablated
                tpooling.absolute,
                folded=folded,
                role=Role.NORMALIZED,
            )
            for kernel in tpooling.decoder_kernels
        ]
        self.norm = ClipNorm(folded)
        self.merge = PlainDense(self.channels)

    def __call__(
        self, x: Frames, lengths: Lengths = None, statistics: Statistics | None = None
    ) -> Frames:
        """`statistics` are those of the trends over the clip that `x` is a part of."""
        gain = self.merge(self.norm(self.trends(x, lengths), lengths, statistics).astype(x.dtype))
        return x + x * gain

    def trends(self, x: Frames, lengths: Lengths = None) -> list[Signal]:
        """The trends of channel 0, before the norm."""
        leader = ops.at_least_float32(x[..., 0])
        return [branch(leader, lengths)[..., 0] for branch in self.branch]

    def fold(self, params: dict[str, Any]) -> dict[str, Any]:
        folded = dict(params)
        return folded | {"merge": absorb(folded["merge"], **folded.pop("norm"))}

    def local_reach(self, span: Span) -> Span:
        return _widest(self.branch, span)

    def reach(self, span: Span) -> Span:
        return WHOLE_CLIP


class ClipNorm(Layer):
    """InstanceNorm: each signal to zero mean and unit variance over its clip's real frames."""

    kinds = AFFINE
    folded: bool = False

    @nn.compact
    def __call__(
        self, signals: list[Signal], lengths: Lengths = None, statistics: Statistics | None = None
    ) -> Float[Array, "b t k"]:
        if statistics is None:
            statistics = [ops.clip_statistics(signal, lengths) for signal in signals]
        pairs = zip(signals, statistics, strict=True)
        x = jnp.stack([ops.standardize(signal, *of_clip) for signal, of_clip in pairs], axis=-1)
        return x if self.folded else affine(self, x)
