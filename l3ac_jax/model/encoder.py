"""The convolutional encoder: the waveform to features."""

from itertools import accumulate
from operator import mul

from jaxtyping import Array, Float

from l3ac_jax.config.model import EncoderConfig, TPoolingConfig
from l3ac_jax.model.layer import Chain, Layer
from l3ac_jax.model.layers import BlockOptions, Conv, StridedConv
from l3ac_jax.model.norms import ChannelNorm
from l3ac_jax.model.ops import Lengths, Signal
from l3ac_jax.model.tpooling import TConv
from l3ac_jax.model.units import ConvUnit, UnitStack


class EncoderStage(Chain):
    """ConvUnits, then a strided convolution to the next stage's rate and width, and a norm."""

    channels: int
    depth: int
    stride: int
    features: int
    options: BlockOptions = BlockOptions()

    def setup(self):
        options = self.options
        self.unit = [ConvUnit(self.channels, options) for _ in range(self.depth)]
        self.down = StridedConv(
            self.features, self.stride, folded=options.folded, dtype=options.dtype
        )
        if options.use_norm:
            self.norm = ChannelNorm(block_width=4 * self.features if options.blocked else None)

    @property
    def layers(self) -> list[Layer]:
        norms = [self.norm] if self.options.use_norm else []
        return [*self.unit, self.down, *norms]


class Encoder(Chain):
    """Waveform (b, t) to features (b, t / hop, f); t and `lengths` are multiples of the hop."""

    config: EncoderConfig
    features: int
    tpooling: TPoolingConfig = TPoolingConfig()
    options: BlockOptions = BlockOptions()

    def setup(self):
        config, options = self.config, self.options
        dims, strides = config.dims, [*accumulate(config.rates, mul, initial=1)]
        self.front = TConv(dims[0], self.tpooling, options)
        self.stage = [
            EncoderStage(channels, depth, rate, features, options.at_stride(stride))
            for channels, depth, rate, features, stride in zip(
                dims, config.depths, config.rates, dims[1:], strides, strict=False
            )
        ]
        slowest = options.at_stride(strides[-1])
        self.final = UnitStack(dims[-1], (1,) * config.depths[-1], slowest)
        self.output = Conv(
            self.features,
            3,
            look_ahead=slowest.frames_ahead(),
            folded=options.folded,
            dtype=options.dtype,
        )

    @property
    def layers(self) -> list[Layer]:
        return [self.front, *self.stage, self.final, self.output]

    def __call__(self, x: Signal, lengths: Lengths = None) -> Float[Array, "b n f"]:
        return super().__call__(x, lengths)
