"""The whole network: waveform to tokens and back, as one Flax module."""

import math
from functools import cache
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from l3ac_jax.config import CodecConfig
from l3ac_jax.model import ops
from l3ac_jax.model.decoder import ByStage, Decoder
from l3ac_jax.model.encoder import Encoder
from l3ac_jax.model.fsq import FSQ, Latents, Noise, Tokens
from l3ac_jax.model.layer import Layer, chain, run, start_all, step_all
from l3ac_jax.model.layers import BlockOptions
from l3ac_jax.model.ops import Lengths, Signal
from l3ac_jax.model.reach import Span
from l3ac_jax.model.streams import Flow, State, Stream
from l3ac_jax.model.transformer import DecoderTransformer, EncoderTransformer
from l3ac_jax.system.jax_settings import own_settings

Features = Float[Array, "b n f"]


class Reconstruction(NamedTuple):
    """What one pass over a batch gives."""

    audio: Float[Array, "b t"]
    """in -1..1, as long as the input"""
    tokens: Int[Array, "b n"]
    features: Float[Array, "b n f"]
    """quantized (in training: with noise)"""
    squashed: Latents | None
    """the quantizer's values before rounding and noise; None where nothing asks for them"""


@cache
def layers_look_ahead(config: CodecConfig) -> int | float:
    """How many samples of the future each layer of a configuration's network may see.

    The most with which encoder and decoder together see no more than `look_ahead_ms` after a
    token's own hop; without a bound for networks that are not causal.
    """
    if not config.causal:
        return math.inf
    budget = config.look_ahead_ms * config.sample_rate // 1000
    low, high = 0, int(budget)  # no layer can have more than all of them together
    while low < high:
        middle = (low + high + 1) // 2
        network = Network(config, look_ahead=middle).bind({})
        enough = network.encoder_look_ahead + network.decoder_look_ahead <= budget
        low, high = (middle, high) if enough else (low, middle - 1)
    return low


def token_counts(samples: Int[Array, " b"], config: CodecConfig) -> Int[Array, " b"]:
    """How many tokens clips of so many samples have."""
    hop = config.hop_length
    return ops.quotient(samples + hop - 1, hop)


class Network(nn.Module):
    """L3AC. Shapes: b clips, t samples, n tokens (t / hop length, rounded up), f features.

    `folded` takes the parameters that `folding` makes. `blocked` computes wide layers a block of
    frames at a time where that is quicker; it is for inference, derivatives would take longer.
    With `dtype` bfloat16, the factors of dense convolutions and matrix products are rounded to it.
    What does not bear 8 bits stays in float32: the frames between the layers (linear upsampling
    leaves but small bends of what is faster than a frame), depthwise convolutions, pooling, norms,
    the quantizer, the last convolution; and so do the parameters.
    """

    config: CodecConfig
    folded: bool = False
    blocked: bool = False
    dtype: DTypeLike | None = None
    look_ahead: int | float | None = None
    """samples of the future that each layer may see; None: as the configuration says"""

    def setup(self):
        config, features = self.config, self.config.feature_dim
        look_ahead = layers_look_ahead(config) if self.look_ahead is None else self.look_ahead
        options = BlockOptions(
            use_norm=config.use_norm,
            activation=config.activation,
            grn=config.grn,
            folded=self.folded,
            blocked=self.blocked,
            dtype=self.dtype,
            look_ahead=look_ahead,
        )
        self.encoder = Encoder(config.encoder, features, config.tpooling, options)
        self.encoder_transformer = EncoderTransformer(
            config.transformer, features, self.folded, self.dtype
        )
        self.quantizer = FSQ(features, config.quantizer.levels)
        self.decoder_transformer = DecoderTransformer(
            config.transformer,
            features,
            self.folded,
            self.dtype,
            options.frames_ahead(config.encoder_hop),
        )
        self.decoder = Decoder(config.decoder, config.tpooling, options, config.sample_rate)

    def __call__(
        self, audio: Signal, lengths: Lengths = None, noise: Noise | None = None
    ) -> Reconstruction:
        """Encodes and decodes (b, t) audio; `lengths` in samples.

        With `noise`, the quantizer adds it, as in training; its rate is not taken from `config`.
        """
        squashed = self.squash(audio, lengths)
        features, tokens = self.quantizer.quantize(squashed, noise)
        frames = None if lengths is None else token_counts(lengths, self.config)
        decoded = self.decode(features, frames)
        return Reconstruction(decoded[:, : audio.shape[1]], tokens, features, squashed)

    def encode(
        self, audio: Signal, lengths: Lengths = None, noise: Noise | None = None
    ) -> tuple[Features, Tokens]:
        """Quantized features and tokens of (b, t) audio; `lengths` in samples."""
        return self.quantizer.quantize(self.squash(audio, lengths), noise)

    def squash(self, audio: Signal, lengths: Lengths = None) -> Latents:
        """The values in (0, 1) that are rounded to levels."""
        return self.quantizer.project(ops.at_least_float32(self.analyze(audio, lengths)))

    def analyze(self, audio: Signal, lengths: Lengths = None) -> Features:
        """The features that are quantized."""
        hop = self.config.hop_length
        audio = ops.mask_frames(audio, lengths)
        audio = jnp.pad(audio, [(0, 0), (0, -audio.shape[1] % hop)])
        # the official code pads a clip to whole hops with zeros that count as signal
        samples = None if lengths is None else token_counts(lengths, self.config) * hop
        return run(self._encoding, audio, samples)[0]

    def decode(self, features: Features, lengths: Lengths = None) -> Signal:
        """(b, n · hop length) audio of quantized features; `lengths` in tokens."""
        return run(self._decoding, features, lengths)[0]

    def dequantize(self, tokens: Tokens) -> Features:
        """The quantized features that gave `tokens`."""
        return self.quantizer.dequantize(tokens)

    def decode_tokens(self, tokens: Tokens, lengths: Lengths = None) -> Signal:
        """(b, n · hop length) audio of tokens; `lengths` in tokens."""
        if lengths is not None:
            tokens = ops.mask_frames(tokens, lengths, 0)
        return self.decode(self.dequantize(tokens), lengths)

    def encoder_reach(self, span: Span) -> Span:
        """The samples on which these tokens depend."""
        return chain(self._encoding, span)

    def decoder_reach(self, span: Span, local: bool = False) -> Span:
        """The tokens on which these samples of audio depend.

        With `local`, other than through the norms' statistics over the whole clip.
        """
        return chain(self._decoding, span, local)

    @property
    def encoder_look_ahead(self) -> int | float:
        """Samples after its own hop that a token needs."""
        return self.encoder_reach(Span(0, 0)).last - (self.config.hop_length - 1)

    @property
    def decoder_look_ahead(self) -> int | float:
        """Samples by which audio is later than its token, other than for norms over the clip.

        After token n audio is known up to the end of its hop, less so many samples.
        """
        hop = self.config.hop_length
        needed = (self.decoder_reach(Span(at, at), local=True).last for at in range(hop))
        return max(token * hop - at for at, token in enumerate(needed))

    def decoder_statistics(self, features: Features, lengths: Lengths = None) -> ByStage:
        """Means and variances over each clip, as norms over the whole clip take them."""
        frames, counts = run([self.decoder_transformer], features, lengths)
        return self.decoder.statistics(frames, counts)

    # Streams (see streams.py); a state holds what all layers keep.

    def start_encoder(self, batch: int, lag: int = 0) -> tuple[State, int]:
        """The state before the first sample, or before `lag` that are none, and the tokens' lag.

        Raises StreamingError for a network that needs the whole clip.
        """
        states, flow = start_all(self._encoding, Flow(batch, None, lag))
        return states, flow.lag

    def encoder_step(
        self, state: State, audio: Signal, real: Bool[Array, "b t"]
    ) -> tuple[State, tuple[Features, Tokens]]:
        """Quantized features and tokens of (b, k · hop length) samples, k late by the lag."""
        state, stream = step_all(self._encoding, state, Stream(audio, real))
        return state, self.quantizer(ops.at_least_float32(stream.frames))

    def start_decoder(self, batch: int, statistics: ByStage | None = None) -> tuple[State, int]:
        """The state before the first token, and the lag of the audio in samples.

        With the `statistics` of clips where the norms take those. Raises StreamingError.
        """
        kept, flow = self.decoder_transformer.start(Flow(batch, self.config.feature_dim))
        state, flow = self.decoder.start(flow, statistics)
        return [kept, state], flow.lag

    def decoder_step(
        self, state: State, features: Features, real: Bool[Array, "b n"]
    ) -> tuple[State, Signal]:
        """(b, k · hop length) audio of (b, k, f) quantized features, late by the lag."""
        state, stream = step_all(self._decoding, state, Stream(features, real))
        return state, stream.frames

    @property
    def _encoding(self) -> list[Layer]:
        return [self.encoder, self.encoder_transformer]

    @property
    def _decoding(self) -> list[Layer]:
        return [self.decoder_transformer, self.decoder]


def init_params(config: CodecConfig, key: Array) -> dict:
    """Random initial parameters, distributed as in the official code."""
    audio = jnp.zeros((1, config.hop_length))
    return dict(Network(config).init(key, audio)["params"])


def abstract_params(config: CodecConfig, folded: bool = False) -> dict:
    """The shapes and types of the parameters, without computing any."""

    def init(key):
        return Network(config, folded).init(key, jnp.zeros((1, config.hop_length)))["params"]

    with own_settings():
        return jax.eval_shape(init, jax.random.key(0))
