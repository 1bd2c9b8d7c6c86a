"""Residual units: what the stages of encoder and decoder are made of."""

from typing import Any

from jaxtyping import Array, Float

from l3ac_jax.errors import StreamingError
from l3ac_jax.model import ops
from l3ac_jax.model.activations import Snake
from l3ac_jax.model.layer import Chain, Layer, Role, Windowed
from l3ac_jax.model.layers import BlockOptions, Conv, Dense, DepthwiseConv, absorb
from l3ac_jax.model.norms import GRN, ChannelNorm, ResponseNorm
from l3ac_jax.model.ops import Frames, Lengths
from l3ac_jax.model.ops.blocks import in_blocks
from l3ac_jax.model.reach import WHOLE_CLIP, Context, Span
from l3ac_jax.model.streams import Flow, State


def _centre(x: Frames, context: Context) -> Float[Array, "b u c"]:
    return x[:, context.past : x.shape[1] - context.future]


class ConvUnit(Windowed):
    """Residual unit: depthwise convolution, norm, expansion x4, activation, GRN, projection."""

    channels: int
    options: BlockOptions = BlockOptions()
    dilation: int = 1
    width: int = 7

    def setup(self):
        folded = self.options.folded
        self.depthwise = DepthwiseConv(
            self.width,
            self.dilation,
            self.options.frames_ahead(),
            folded=folded,
            role=Role.NORMALIZED,
        )
        if self.options.use_norm:
            self.norm = ChannelNorm(folded)
        self.expand = Dense(4 * self.channels, folded=folded, dtype=self.options.dtype)
        if self.options.activation == "snake":
            self.snake = Snake()
        if self._compares_channels or not folded:
            self.grn = ResponseNorm() if self._compares_channels else GRN()
        self.project = Dense(
            self.channels, folded=folded, role=Role.RESIDUAL, dtype=self.options.dtype
        )

    def __call__(self, x: Frames, lengths: Lengths = None) -> Frames:
        if self._compares_channels:
            # Of the whole clip, so not in blocks of frames.
            return self.valid(ops.pad_frames(ops.mask_frames(x, lengths), *self.context), lengths)
        return in_blocks(self, x, lengths, self.context, 4 * self.channels, self.options.blocked)

    def valid(self, x: Frames, lengths: Lengths = None) -> Float[Array, "b u c"]:
        """The unit's output for the frames that the convolution has all neighbours of."""
        h = self.depthwise.valid(x)
        if self.options.use_norm:
            h = self.norm(h)
        h = self.expand(h)
        h = self.snake(h) if self.options.activation == "snake" else ops.gelu(h)
        if self._compares_channels or not self.options.folded:
            h = self.grn(h, lengths)
        return _centre(x, self.context) + self.project(h)

    @property
    def context(self) -> Context:
        return self.depthwise.context

    @property
    def _compares_channels(self) -> bool:
        return self.options.grn == "convnext_v2"

    def fold(self, params: dict[str, Any]) -> dict[str, Any]:
        folded = dict(params)
        if not self._compares_channels:
            grn = folded.pop("grn")
            folded["project"] = absorb(folded["project"], 1 + grn["gamma"], grn["beta"])
        if self.options.use_norm:
            folded["expand"] = absorb(folded["expand"], **folded.pop("norm"))
        return folded

    def reach(self, span: Span) -> Span:
        return WHOLE_CLIP if self._compares_channels else self.local_reach(span)

    def local_reach(self, span: Span) -> Span:
        return super().reach(span)

    def start(self, flow: Flow) -> tuple[State, Flow]:
        if self._compares_channels:
            raise StreamingError(
                "the network compares channels over the whole clip (grn = 'convnext_v2'), so it "
                "cannot work step by step"
            )
        return super().start(flow)


class LegacyUnit(Windowed):
    """Residual unit at the full rate: Snake, dilated convolution, Snake, 1x1; never normed."""

    channels: int
    dilation: int
    options: BlockOptions = BlockOptions()
    width: int = 7

    def setup(self):
        folded, dtype = self.options.folded, self.options.dtype
        self.snake_in = Snake()
        self.conv = Conv(
            self.channels,
            self.width,
            self.dilation,
            self.options.frames_ahead(),
            folded=folded,
            dtype=dtype,
        )
        self.snake_out = Snake()
        self.project = Dense(self.channels, folded=folded, role=Role.RESIDUAL, dtype=dtype)

    def valid(self, x: Frames) -> Float[Array, "b u c"]:
        """The unit's output for the frames that the convolution has all neighbours of."""
        # Snake keeps zeros, so padding before it is padding of the convolution
        h = self.snake_out(self.conv.valid(self.snake_in(x)))
        return _centre(x, self.context) + self.project(h)

    @property
    def context(self) -> Context:
        return self.conv.context


class UnitStack(Chain):
    """ConvUnits (or, with `legacy`, LegacyUnits) one after the other, one a dilation."""

    channels: int
    dilations: tuple[int, ...]
    options: BlockOptions = BlockOptions()
    legacy: bool = False

    def setup(self):
        unit = LegacyUnit if self.legacy else ConvUnit
        self.unit = [
            unit(self.channels, dilation=dilation, options=self.options)
            for dilation in self.dilations
        ]

    @property
    def layers(self) -> list[Layer]:
        return [*self.unit]
