"""The convolutional decoder: features to the waveform, whole or cut between its stages.

As published, its EnhanceBlocks take statistics over the whole clip. Of a clip that is decoded in
parts, these have to be found first: the decoder can be cut before each upsampling, where frames are
few. Cut 0 is its input, cut i is before the upsampling of stage i - 1.
"""

from collections.abc import Sequence
from itertools import accumulate
from math import prod
from operator import mul

import jax.numpy as jnp
from jaxtyping import Array, Float

from l3ac_jax.config.model import DecoderConfig, TPoolingConfig
from l3ac_jax.model import ops
from l3ac_jax.model.activations import Snake
from l3ac_jax.model.enhance import EnhanceBlock, Statistics
from l3ac_jax.model.layer import Chain, Layer, Role, chain, step_all
from l3ac_jax.model.layers import BlockOptions, Conv, Dense
from l3ac_jax.model.norms import ChannelNorm
from l3ac_jax.model.ops import Frames, Lengths, Signal
from l3ac_jax.model.reach import Span
from l3ac_jax.model.streams import Flow, State, Stream
from l3ac_jax.model.units import ConvUnit, UnitStack
from l3ac_jax.model.upsampling import LinearUpsample, NearestUpsample, SplitUpsample, Upsample

ByStage = Sequence[Statistics | None]
"""Of each stage of the decoder; None where they are those of the frames at hand."""

LAST_LAYER_DILATIONS = {"legacy": (1, 3, 9), "dilation": (1, 3, 9), "plain": (1, 1)}


MEMORY_SECONDS = 2.0
"""After which a frame weighs 1/e in the running statistics of the norms"""


class DecoderStage(Chain):
    """ConvUnits, EnhanceBlock, then 1x1 convolution, upsampling and a norm."""

    channels: int
    depth: int
    factor: int
    features: int
    tpooling: TPoolingConfig = TPoolingConfig()
    options: BlockOptions = BlockOptions()
    statistics: str = "clip"
    frame_rate: float = 1.0
    upsampling: str = "linear"

    def setup(self):
        options = self.options
        self.unit = [ConvUnit(self.channels, options) for _ in range(self.depth)]
        self.enhance = EnhanceBlock(
            self.channels, self.tpooling, options, self.statistics, MEMORY_SECONDS * self.frame_rate
        )
        self.up = Dense(
            self.features * (self.factor if self.upsampling == "transposed" else 1),
            folded=options.folded,
            role=Role.NORMALIZED,
            dtype=options.dtype,
        )
        self.upsample = self._upsample()
        if options.use_norm:
            self.norm = ChannelNorm()

    def _upsample(self) -> Upsample:
        match self.upsampling:
            case "nearest":
                return NearestUpsample(self.factor)
            case "transposed":
                return SplitUpsample(self.factor)
        ahead = self.options.frames_ahead(self.options.stride // self.factor)
        return LinearUpsample(self.factor, ahead)

    @property
    def layers(self) -> list[Layer]:
        norms = [self.norm] if self.options.use_norm else []
        return [*self.unit, self.enhance, self.up, self.upsample, *norms]


class Decoder(Chain):
    """Features (b, n, f) to the waveform (b, n · hop) in -1..1; `lengths` counts the former."""

    config: DecoderConfig
    tpooling: TPoolingConfig = TPoolingConfig()
    options: BlockOptions = BlockOptions()
    sample_rate: int = 16000

    def setup(self):
        config, options = self.config, self.options
        dims, hop = config.dims, prod(config.rates)
        slowest = options.at_stride(hop)
        self.input = Conv(
            dims[0],
            3,
            look_ahead=slowest.frames_ahead(),
            folded=options.folded,
            dtype=options.dtype,
        )
        strides = [hop // rate for rate in accumulate(config.rates, mul, initial=1)]
        self.stage = [
            DecoderStage(
                channels,
                depth,
                rate,
                features,
                self.tpooling,
                options.at_stride(stride),
                config.norm_statistics,
                self.sample_rate / stride,
                config.upsampling,
            )
            for channels, depth, rate, features, stride in zip(
                dims, config.depths, config.rates, dims[1:], strides, strict=False
            )
        ]
        dilations = LAST_LAYER_DILATIONS[config.last_layer]
        self.final = UnitStack(dims[-1], dilations, options, config.last_layer == "legacy")
        self.snake = Snake()
        self.output = Conv(  # audio has more than 8 bits
            1, 7, look_ahead=options.frames_ahead(), folded=options.folded
        )

    @property
    def layers(self) -> list[Layer]:
        stages = [layer for stage in self.stage for layer in stage.layers]
        return [self.input, *stages, self.final, self.snake, self.output]

    def __call__(self, x: Float[Array, "b n f"], lengths: Lengths = None) -> Signal:
        return self.finish(x, lengths, 0, (None,) * len(self.stage))

    def advance(
        self, x: Frames, lengths: Lengths, cut: int, target: int, statistics: ByStage
    ) -> tuple[Float[Array, "b u d"], Lengths]:
        """From one cut to a later one; `lengths` counts the frames at the cut, before and after."""
        return self._run(self._cuts[cut], self._cuts[target], x, lengths, statistics)

    def trends(self, x: Frames, lengths: Lengths, cut: int) -> list[Float[Array, "b u"]]:
        """The signals behind a cut whose statistics the next EnhanceBlock needs."""
        x, lengths = self._run(self._cuts[cut], self._blocks[cut], x, lengths)
        return self.stage[cut].enhance.trends(x, lengths)

    def finish(
        self, x: Frames, lengths: Lengths, cut: int, statistics: ByStage
    ) -> Float[Array, "b u"]:
        """From a cut to the waveform."""
        x, _ = self._run(self._cuts[cut], None, x, lengths, statistics)
        return _waveform(x)

    def statistics(self, x: Float[Array, "b n f"], lengths: Lengths = None) -> list[Statistics]:
        """Those of each stage over the clips, which norms over the whole clip take."""
        found: list[Statistics] = []
        for stage in range(len(self.stage)):
            before = [*found, *[None] * (len(self.stage) - stage)]
            at_cut, counts = self.advance(x, lengths, 0, stage, before)
            trends = self.trends(at_cut, counts, stage)
            if stage:
                counts = self.stage[stage - 1].upsample.lengths_after(counts)
            found.append([ops.clip_statistics(trend, counts) for trend in trends])
        return found

    def start(self, flow: Flow, statistics: ByStage | None = None) -> tuple[list[State], Flow]:
        """With those `statistics` where the norms take those of a clip."""
        given = dict(zip(self._blocks, statistics or [], strict=statistics is not None))
        states = []
        for place, layer in enumerate(self.layers):
            of_clip = [given[place]] if place in given else []
            state, flow = layer.start(flow, *of_clip)
            states.append(state)
        return states, flow._replace(channels=None)

    def step(self, state: list[State], stream: Stream) -> tuple[list[State], Stream]:
        state, stream = step_all(self.layers, state, stream)
        return state, stream._replace(frames=_waveform(stream.frames))

    def reach_behind(self, cut: int, target: int, span: Span) -> Span:
        """The frames at `cut` on which these trends of stage `target` depend, or these samples if
        there is no such stage, the statistics given.
        """
        stop = None if target == len(self.stage) else self._blocks[target] + 1
        return chain(self.layers[self._cuts[cut] : stop], span, local=True)

    # Places in `layers`.

    @property
    def _cuts(self) -> list[int]:
        return [0, *self._places(Upsample)]

    @property
    def _blocks(self) -> list[int]:
        return self._places(EnhanceBlock)

    def _places(self, kind: type[Layer]) -> list[int]:
        return [place for place, layer in enumerate(self.layers) if isinstance(layer, kind)]

    def _run(
        self, start: int, stop: int | None, x: Array, lengths: Lengths, statistics: ByStage = ()
    ) -> tuple[Array, Lengths]:
        """Through the layers from one place to another."""
        given = dict(zip(self._blocks, statistics, strict=False))
        for place, layer in enumerate(self.layers[start:stop], start):
            of_clip = [given[place]] if place in given else []
            x, lengths = layer(x, lengths, *of_clip), layer.lengths_after(lengths)
        return x, lengths


def _waveform(x: Float[Array, "b u 1"]) -> Float[Array, "b u"]:
    return jnp.tanh(ops.at_least_float32(x[..., 0]))
