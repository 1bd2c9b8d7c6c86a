"""The convolutional encoder (waveform to features) and decoder (features to waveform)."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from l3ac_jax.model import ops
from l3ac_jax.model.activations import Snake
from l3ac_jax.model.layers import (
    BlockOptions,
    Conv,
    ConvUnit,
    Dense,
    LinearUpsample,
    StridedConv,
    UnitStack,
)
from l3ac_jax.model.norms import ChannelNorm
from l3ac_jax.model.ops import Frames, Lengths, Signal
from l3ac_jax.model.ops.blocks import in_blocks
from l3ac_jax.model.reach import Span, chain
from l3ac_jax.model.tpooling import EnhanceBlock, Statistics, TConv

ByStage = Sequence[Statistics | None]
"""Of each stage of the decoder; None where they are those of the frames at hand."""

LAST_LAYER_DILATIONS = {"legacy": (1, 3, 9), "dilation": (1, 3, 9), "plain": (1, 1)}


def _conv_units(channels: int, depth: int, options: BlockOptions) -> list[ConvUnit]:
    return [ConvUnit(channels, options) for _ in range(depth)]


class EncoderStage(nn.Module):
    """ConvUnits, then a strided convolution to the next stage's rate and width, and a norm."""

    channels: int
    depth: int
    stride: int
    features: int
    options: BlockOptions = BlockOptions()

    def setup(self):
        self.unit = _conv_units(self.channels, self.depth, self.options)
        self.down = StridedConv(self.features, self.stride, self.options.folded)
        if self.options.use_norm:
            self.norm = ChannelNorm()

    def __call__(self, x: Frames, lengths: Lengths = None) -> Float[Array, "b u d"]:
        for unit in self.unit:
            x = unit(x, lengths)
        x = self.down(x)
        if not self.options.use_norm:
            return x
        return in_blocks(
            self.norm, x, None, 0, 4 * self.features, self.options.blocked, method="__call__"
        )

    def reach(self, span: Span) -> Span:
        return chain([*self.unit, self.down], span)


class Encoder(nn.Module):
    """Waveform (b, t) to features (b, t / hop, f); t and `lengths` are multiples of the hop."""

    features: int
    rates: tuple[int, ...]
    dims: tuple[int, ...]
    depths: tuple[int, ...]
    kernels: tuple[int, ...]
    pooled: bool = True
    absolute: bool = True
    options: BlockOptions = BlockOptions()

    def setup(self):
        self.front = TConv(self.dims[0], self.kernels, self.pooled, self.absolute, self.options)
        self.stage = [
            EncoderStage(channels, depth, rate, features, self.options)
            for channels, depth, rate, features in zip(
                self.dims, self.depths, self.rates, self.dims[1:], strict=False
            )
        ]
        self.final = UnitStack(self.dims[-1], (1,) * self.depths[-1], self.options)
        self.output = Conv(self.features, 3, folded=self.options.folded)

    def __call__(self, x: Signal, lengths: Lengths = None) -> Float[Array, "b n f"]:
        h = self.front(x, lengths)
        for stage in self.stage:
            h = stage(h, lengths)
            lengths = None if lengths is None else lengths // stage.stride
        return self.output(self.final(h, lengths), lengths)

    def reach(self, span: Span) -> Span:
        return chain([self.front, *self.stage, self.final, self.output], span)


class DecoderStage(nn.Module):
    """ConvUnits, EnhanceBlock, then 1x1 convolution, linear upsampling and a norm."""

    channels: int
    depth: int
    factor: int
    features: int
    kernels: tuple[int, ...]
    pooled: bool = True
    absolute: bool = True
    options: BlockOptions = BlockOptions()

    def setup(self):
        self.unit = _conv_units(self.channels, self.depth, self.options)
        self.enhance = EnhanceBlock(
            self.channels, self.kernels, self.pooled, self.absolute, self.options
        )
        self.up = Dense(self.features, self.options.folded)
        self.upsample = LinearUpsample(self.factor)
        if self.options.use_norm:
            self.norm = ChannelNorm()

    def __call__(self, x: Frames, lengths: Lengths = None) -> Float[Array, "b u d"]:
        return self.widen(self.narrow(x, lengths), lengths)

    def narrow(
        self, x: Frames, lengths: Lengths = None, statistics: Statistics | None = None
    ) -> Float[Array, "b t d"]:
        """Everything before the upsampling; `statistics` as in EnhanceBlock."""
        return self.up(self.enhance(self.units(x, lengths), lengths, statistics))

    def widen(self, x: Float[Array, "b t d"], lengths: Lengths = None) -> Float[Array, "b u d"]:
        """The upsampling and the norm."""
        x = self.upsample(x, lengths)
        return self.norm(x) if self.options.use_norm else x

    def trends(self, x: Frames, lengths: Lengths = None) -> list[Signal]:
        """The signals whose statistics over the clip the EnhanceBlock needs."""
        return self.enhance.trends(self.units(x, lengths), lengths)

    def units(self, x: Frames, lengths: Lengths = None) -> Frames:
        for unit in self.unit:
            x = unit(x, lengths)
        return x

    def reach(self, span: Span) -> Span:
        return chain([*self.unit, self.enhance, self.upsample], span)

    def local_reach(self, span: Span) -> Span:
        """The reach of everything but the norm's statistics over the whole clip."""
        return chain([*self.unit, self.enhance, self.upsample], span, local=True)


class Decoder(nn.Module):
    """Features (b, n, f) to the waveform (b, n · hop) in -1..1; `lengths` counts the former."""

    rates: tuple[int, ...]
    dims: tuple[int, ...]
    depths: tuple[int, ...]
    kernels: tuple[int, ...]
    pooled: bool = True
    absolute: bool = True
    last_layer: str = "legacy"
    options: BlockOptions = BlockOptions()

    def setup(self):
        folded = self.options.folded
        self.input = Conv(self.dims[0], 3, folded=folded)
        self.stage = [
            DecoderStage(
                channels, depth, rate, features,
                self.kernels, self.pooled, self.absolute, self.options,
            )
            for channels, depth, rate, features in zip(
                self.dims, self.depths, self.rates, self.dims[1:], strict=False
            )
        ]  # fmt: skip
        dilations = LAST_LAYER_DILATIONS[self.last_layer]
        legacy = self.last_layer == "legacy"
        self.final = UnitStack(self.dims[-1], dilations, self.options, legacy)
        self.snake = Snake()
        self.output = Conv(1, 7, folded=folded)

    def __call__(self, x: Float[Array, "b n f"], lengths: Lengths = None) -> Signal:
        return self.finish(x, lengths, 0, (None,) * len(self.stage))

    # Parts of a clip, whose statistics are known or to be found: the decoder can be cut before each
    # upsampling, where frames are few. Cut 0 is the input, cut i is behind `narrow` of stage i - 1.

    def advance(
        self, x: Frames, lengths: Lengths, cut: int, target: int, statistics: ByStage
    ) -> tuple[Float[Array, "b u d"], Lengths]:
        """From one cut to a later one; `lengths` counts the frames at the cut, before and after."""
        for index in range(cut, target):
            x, lengths = self._enter(x, lengths, index)
            x = self.stage[index].narrow(x, lengths, statistics[index])
        return x, lengths

    def trends(self, x: Frames, lengths: Lengths, cut: int) -> list[Float[Array, "b u"]]:
        """The signals behind a cut whose statistics the next EnhanceBlock needs."""
        return self.stage[cut].trends(*self._enter(x, lengths, cut))

    def finish(
        self, x: Frames, lengths: Lengths, cut: int, statistics: ByStage
    ) -> Float[Array, "b u"]:
        """From a cut to the waveform."""
        last = len(self.stage)
        h, lengths = self._enter(*self.advance(x, lengths, cut, last, statistics), last)
        h = self.snake(self.final(h, lengths))
        return jnp.tanh(ops.at_least_float32(self.output(h, lengths)[..., 0]))

    def _enter(
        self, x: Frames, lengths: Lengths, cut: int
    ) -> tuple[Float[Array, "b u d"], Lengths]:
        """From a cut to the units behind it."""
        if cut == 0:
            return self.input(x, lengths), lengths
        before = self.stage[cut - 1]
        return before.widen(x, lengths), None if lengths is None else lengths * before.factor

    def reach_behind(self, cut: int, target: int, span: Span) -> Span:
        """The frames at `cut` on which these trends of stage `target` depend, or these samples if
        there is no such stage, the statistics given.
        """
        entries = [self.input, *(stage.upsample for stage in self.stage)]
        layers = []
        for index in range(cut, target + 1):
            layers.append(entries[index])
            if index < len(self.stage):
                layers += [*self.stage[index].unit, self.stage[index].enhance]
        if target == len(self.stage):
            layers += [self.final, self.output]
        return chain(layers, span, local=True)

    def reach(self, span: Span) -> Span:
        return chain([self.input, *self.stage, self.final, self.output], span)

    def local_reach(self, span: Span) -> Span:
        """The reach of everything but the norms' statistics over the whole clip."""
        return chain([self.input, *self.stage, self.final, self.output], span, local=True)
