"""The whole network: waveform to tokens and back, as one Flax module."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from l3ac_jax.config import CodecConfig
from l3ac_jax.model import ops
from l3ac_jax.model.autoencoder import Decoder, Encoder
from l3ac_jax.model.fsq import FSQ, Tokens
from l3ac_jax.model.layers import BlockOptions
from l3ac_jax.model.ops import Lengths, Signal
from l3ac_jax.model.reach import Span, chain
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


class Network(nn.Module):
    """L3AC. Shapes: b clips, t samples, n tokens (t / hop length, rounded up), f features.

    `folded` takes the parameters that `folding` makes. `blocked` computes wide layers a block of
    frames at a time where that is quicker; it is for inference, derivatives would take longer.
    With `dtype` bfloat16, convolutions and matrix products are computed in it; audio, pooling,
    norms and the quantizer stay in float32, and so do the parameters.
    """

    config: CodecConfig
    folded: bool = False
    blocked: bool = False
    dtype: DTypeLike | None = None

    def setup(self):
        config = self.config
        options = BlockOptions(
            config.use_norm, config.activation, self.folded, self.blocked, self.dtype, config.grn
        )
        pooling = config.tpooling
        self.encoder = Encoder(
            config.feature_dim,
            config.encoder.rates,
            config.encoder.dims,
            config.encoder.depths,
            pooling.encoder_kernels,
            pooling.enabled,
            pooling.absolute,
            options,
        )
        self.encoder_transformer = self._transformer(EncoderTransformer, "encoder_depth")
        self.quantizer = FSQ(
            config.feature_dim, config.quantizer.levels, config.quantizer.noise_rate
        )
        self.decoder_transformer = self._transformer(DecoderTransformer, "decoder_depth")
        self.decoder = Decoder(
            config.decoder.rates,
            config.decoder.dims,
            config.decoder.depths,
            pooling.decoder_kernels,
            pooling.enabled,
            pooling.absolute,
            config.decoder.last_layer,
            options,
        )

    def _transformer(self, kind, depth: str):
        options = self.config.transformer
        return kind(
            self.config.feature_dim,
            getattr(options, depth),
            options.window_size,
            options.compress_rate,
            options.position,
            options.attention,
            self.folded,
        )

    def __call__(
        self, audio: Signal, lengths: Lengths = None, noise_key: Array | None = None
    ) -> Reconstruction:
        """Encodes and decodes (b, t) audio; `lengths` in samples.

        With `noise_key`, the quantizer adds its training noise.
        """
        features, tokens = self.encode(audio, lengths, noise_key)
        frames = None if lengths is None else self._tokens_of(lengths)
        decoded = self.decode(features, frames)
        return Reconstruction(decoded[:, : audio.shape[1]], tokens, features)

    def encode(
        self, audio: Signal, lengths: Lengths = None, noise_key: Array | None = None
    ) -> tuple[Features, Tokens]:
        """Quantized features and tokens of (b, t) audio; `lengths` in samples."""
        return self.quantizer(ops.at_least_float32(self.analyze(audio, lengths)), noise_key)

    def analyze(self, audio: Signal, lengths: Lengths = None) -> Features:
        """The features that are quantized."""
        hop = self.config.hop_length
        audio = ops.mask_frames(audio, lengths)
        audio = jnp.pad(audio, [(0, 0), (0, -audio.shape[1] % hop)])
        if lengths is None:
            return self.encoder_transformer(self.encoder(audio))
        # the official code pads a clip to whole hops with zeros that count as signal
        samples = self._tokens_of(lengths) * hop
        encoded = self.encoder(audio, samples)
        return self.encoder_transformer(encoded, samples // self.config.encoder_hop)

    def decode(self, features: Features, lengths: Lengths = None) -> Signal:
        """(b, n · hop length) audio of quantized features; `lengths` in tokens."""
        if self.dtype is not None:
            features = features.astype(self.dtype)
        decoded = self.decoder_transformer(features, lengths)
        if lengths is not None:
            lengths = lengths * self.config.transformer.compress_rate
        return self.decoder(decoded, lengths)

    def dequantize(self, tokens: Tokens) -> Features:
        """The quantized features that gave `tokens`."""
        return self.quantizer.dequantize(tokens)

    def decode_tokens(self, tokens: Tokens, lengths: Lengths = None) -> Signal:
        """(b, n · hop length) audio of tokens; `lengths` in tokens."""
        if lengths is not None:
            tokens = ops.mask_frames(tokens, lengths, 0)
        return self.decode(self.dequantize(tokens), lengths)

    def _tokens_of(self, samples: Int[Array, " b"]) -> Int[Array, " b"]:
        return -(-samples // self.config.hop_length)

    def encoder_reach(self, span: Span) -> Span:
        """The samples on which these tokens depend."""
        return chain([self.encoder, self.encoder_transformer], span)

    def decoder_reach(self, span: Span, local: bool = False) -> Span:
        """The tokens on which these samples of audio depend.

        With `local`, other than through the norms' statistics over the whole clip.
        """
        return chain([self.decoder_transformer, self.decoder], span, local)


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
