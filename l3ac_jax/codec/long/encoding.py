"""Encoding recordings of any length, in memory that does not grow with them.

The encoder's convolutions and its transformer are applied to overlapping pieces (pieces.py), so
that the features are those of one pass but for float32 rounding, and the tokens those of one pass
but where a value lies within rounding of the boundary between two levels. On a CPU few do: residual
units and norms are computed in blocks of one size (model/ops/blocks.py).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Float, Int

from l3ac_jax.codec.long.pieces import Geometry, Own, Pieces, Signal
from l3ac_jax.codec.programs import NetworkPrograms
from l3ac_jax.config import CodecConfig
from l3ac_jax.model import ops
from l3ac_jax.model.network import Network

__all__ = [
    "CONVOLUTION_SECONDS",
    "TRANSFORMER_SECONDS",
    "Encoded",
    "EncoderStream",
    "LongEncoder",
]

# What a piece owns. Convolutions take some 25 MB a second and overlap by little; transformers take
# little, and overlap by several windows.
CONVOLUTION_SECONDS = 12
TRANSFORMER_SECONDS = 30


class Encoded(NamedTuple):
    """Some frames of one channel, in order."""

    features: Float[np.ndarray, "n f"]
    """quantized"""
    tokens: Int[np.ndarray, " n"]


class LongEncoder:
    """The encoder, compiled for pieces; `folded` gives the folded parameters."""

    def __init__(self, config: CodecConfig, folded: Callable[[], dict], programs: NetworkPrograms):
        self._folded, self._hop, self._features = folded, config.hop_length, config.feature_dim
        bound = Network(config).bind({})
        self._convolve, self._quantize = programs.program(_convolve), programs.program(_quantize)
        self._encoder_hop, self._compress = config.encoder_hop, config.transformer.compress_rate
        samples = CONVOLUTION_SECONDS * config.sample_rate
        self._samples = Geometry.of(bound.encoder.reach, config.encoder_hop, 1, samples)
        window = config.transformer.window_size
        frames = TRANSFORMER_SECONDS * config.sample_rate // config.encoder_hop
        self._frames = Geometry.of(
            bound.encoder_transformer.reach, window * self._compress, window, frames
        )

    def start(self) -> EncoderStream:
        """For one channel."""
        return EncoderStream(
            self._hop, Pieces(self._samples, self._convolved), Pieces(self._frames, self._quantized)
        )

    def encode_batch(
        self, audio: Float[np.ndarray, "b t"], lengths: Int[np.ndarray, " b"]
    ) -> tuple[Float[np.ndarray, "b n f"], Int[np.ndarray, "b n"]]:
        """Quantized features and tokens of clips that are at hand, with zeros past their ends."""
        frames = -(-audio.shape[1] // self._hop)
        features = np.zeros((len(audio), frames, self._features), np.float32)
        tokens = np.zeros((len(audio), frames), np.int32)
        for clip, count in enumerate(lengths):
            stream, start = self.start(), 0
            for part in itertools.chain(stream.push(audio[clip, :count]), stream.finish()):
                stop = start + len(part.tokens)
                features[clip, start:stop], tokens[clip, start:stop] = part
                start = stop
        return features, tokens

    def _convolved(self, window: Signal, own: Own) -> Float[np.ndarray, "n f"]:
        frames = self._convolve(self._folded(), window[None], np.array([own.length], np.int32))
        return np.asarray(frames[0])[own.first // self._encoder_hop : own.stop // self._encoder_hop]

    def _quantized(self, window: Signal, own: Own) -> Encoded:
        outputs = self._quantize(self._folded(), window[None], np.array([own.length], np.int32))
        part = slice(own.first // self._compress, own.stop // self._compress)
        return Encoded(*(np.asarray(output[0])[part] for output in outputs))


class EncoderStream:
    """One channel on its way through a LongEncoder."""

    def __init__(
        self, hop: int, convolutions: Pieces[Float[np.ndarray, "n f"]], transformer: Pieces[Encoded]
    ):
        self._hop, self._convolutions, self._transformer = hop, convolutions, transformer
        self._count = 0

    def push(self, audio: Float[np.ndarray, " t"]) -> Iterator[Encoded]:
        """The frames that these samples, next in the channel, make possible."""
        self._count += len(audio)
        for frames in self._convolutions.push(audio):
            yield from self._transformer.push(frames)

    def finish(self) -> Iterator[Encoded]:
        """The frames that are left, after the last sample."""
        # the official code pads a clip to whole hops with zeros that count as signal
        yield from self.push(np.zeros(-self._count % self._hop, np.float32))
        for frames in self._convolutions.finish():
            yield from self._transformer.push(frames)
        yield from self._transformer.finish()


def _convolve(network: Network, folded: dict, audio: Array, lengths: Array) -> Any:
    return network.apply({"params": folded}, audio, lengths, method=lambda m, *x: m.encoder(*x))


def _quantize(network: Network, folded: dict, frames: Array, lengths: Array) -> Any:
    def method(module: Network, *inputs: Array) -> tuple[Array, Array]:
        return module.quantizer(ops.at_least_float32(module.encoder_transformer(*inputs)))

    return network.apply({"params": folded}, frames, lengths, method=method)
