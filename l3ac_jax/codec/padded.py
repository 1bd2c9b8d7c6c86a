"""Clips through the network in one pass each, padded to one of a few lengths (buckets.py).

Padding happens on the host, so that only the network is compiled, once for each bucket of lengths
and batch size.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Array, Float, Int

from l3ac_jax.codec.buckets import bucket_tokens
from l3ac_jax.codec.programs import NetworkPrograms
from l3ac_jax.config import CodecConfig
from l3ac_jax.model.network import Network

__all__ = ["PaddedClips"]

Say = Callable[[str], None]


class PaddedClips:
    """The network for padded clips; `folded` gives the folded parameters.

    Results are as long as the bucket, and hold anything past a clip's end. `say` is called with a
    line of text before a new size is compiled.
    """

    def __init__(self, config: CodecConfig, folded: Callable[[], dict], programs: NetworkPrograms):
        self._config, self._folded = config, folded
        self._compiled = programs.compiled
        self.encoder = programs.program(_encode)
        self.decoder = programs.program(_decode)
        self._dequantizer = programs.program(_dequantize)

    def encode(
        self, audio: Float[np.ndarray, "B T"], lengths: Int[np.ndarray, " B"], say: Say
    ) -> tuple[Float[Array, "B N F"], Int[Array, "B N"]]:
        """Quantized features and tokens; `lengths` in samples."""
        frames = self._bucket(-(-audio.shape[1] // self._config.hop_length))
        padded = _padded(audio, frames * self._config.hop_length)
        return self._run("encoder", self.encoder, padded, lengths, say)

    def decode(
        self,
        values: Int[np.ndarray, "B N"] | Float[np.ndarray, "B N F"],
        lengths: Int[np.ndarray, " B"],
        say: Say,
    ) -> Float[Array, "B T"]:
        """Audio of tokens or of quantized features; `lengths` in tokens."""
        function = self._decode_tokens if values.ndim == 2 else self.decoder
        padded = _padded(values, self._bucket(values.shape[1]))
        return self._run("decoder", function, padded, lengths, say)

    def encodes_without_compiling(self, samples: int) -> bool:
        """Whether one clip of so many samples does."""
        hop = self._config.hop_length
        return ("encoder", 1, self._bucket(-(-samples // hop)) * hop) in self._compiled

    def decodes_without_compiling(self, samples: int) -> bool:
        """Whether one clip of so many samples does."""
        frames = self._bucket(-(-samples // self._config.hop_length))
        return ("decoder", 1, frames) in self._compiled

    def _bucket(self, frames: int) -> int:
        return bucket_tokens(frames, self._config.frame_rate)

    def _decode_tokens(self, folded: dict, tokens: np.ndarray, lengths: np.ndarray) -> Array:
        return self.decoder(folded, self._dequantizer(folded, tokens), lengths)

    def _run(
        self,
        part: str,
        function: Callable[..., Any],
        padded: np.ndarray,
        lengths: np.ndarray,
        say: Say,
    ) -> Any:
        """The outputs of a part of the network for padded clips and how much of each is real."""
        batch, size = padded.shape[:2]
        rate = self._config.sample_rate if part == "encoder" else self._config.frame_rate
        clips = "" if batch == 1 else f", {batch} clips at a time"
        line = f"compiling the {part} for up to {size / rate:.3g} s of audio{clips}"
        return self._compiled.run(
            (part, batch, size),
            partial(say, line),
            lambda: function(self._folded(), padded, lengths.astype(np.int32)),
        )


def _padded(values: np.ndarray, frames: int) -> np.ndarray:
    if frames == values.shape[1]:
        return values
    widths = [(0, 0), (0, frames - values.shape[1])] + [(0, 0)] * (values.ndim - 2)
    return np.pad(values, widths)


def _encode(network: Network, folded: dict, audio: Array, lengths: Array) -> Any:
    return network.apply({"params": folded}, audio, lengths, method="encode")


def _dequantize(network: Network, folded: dict, tokens: Array) -> Any:
    return network.apply({"params": folded}, tokens, method="dequantize")


def _decode(network: Network, folded: dict, features: Array, lengths: Array) -> Any:
    return network.apply({"params": folded}, features, lengths, method="decode")
