"""L3AC: audio to tokens and back, the parameters together with the compiled functions.

Padding, cutting and checks happen on the host, and results are put back on the device as they are
(`jnp.asarray` would compile a copy of every shape), so that only the network is compiled, once
for each bucket of lengths (see buckets.py) and batch size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from numpy.typing import ArrayLike

from l3ac_jax.buckets import bucket_tokens
from l3ac_jax.config import CodecConfig
from l3ac_jax.encoded import TokenFormat, config_fingerprint, weights_fingerprint
from l3ac_jax.model import fsq
from l3ac_jax.model.folding import fold
from l3ac_jax.model.network import Network

__all__ = ["L3AC", "ChunkedEncoder"]


class L3AC:
    """A codec: `config`, `params` (a pytree, as in training) and what they compute.

    Shapes: B clips, T samples at `sample_rate`, N tokens, F features. NumPy or JAX arrays in, JAX
    arrays out. A clip in a padded batch gives what it gives alone: say how long each one is with
    `lengths`; what lies past it is ignored, and comes back as zeros.

    `on_compile`, when set, is called with a line of text before a new shape is compiled.
    """

    def __init__(self, config: CodecConfig, params: dict, name: str = "custom"):
        self.config = config
        self.params = params
        self.name = name
        self.on_compile: Callable[[str], None] | None = None
        self._compiled: set[tuple] = set()
        network = Network(config, folded=True, blocked=True)

        def encode(folded, audio, lengths):
            return network.apply({"params": folded}, audio, lengths, method="encode")

        def dequantize(folded, tokens):
            return network.apply({"params": folded}, tokens, method="dequantize")

        def decode(folded, features, lengths):
            return network.apply({"params": folded}, features, lengths, method="decode")

        self._encode_compiled = jax.jit(encode)
        self._dequantize_compiled = jax.jit(dequantize)
        self._decode_compiled = jax.jit(decode)

    @property
    def sample_rate(self) -> int:
        """Samples per second of the audio that goes in and comes out, in Hz."""
        return self.config.sample_rate

    @property
    def hop_length(self) -> int:
        """Samples of audio per token."""
        return self.config.hop_length

    @property
    def frame_rate(self) -> float:
        """Tokens per second."""
        return self.config.frame_rate

    @property
    def codebook_size(self) -> int:
        """Number of different tokens."""
        return self.config.codebook_size

    @property
    def bitrate(self) -> float:
        """Bits per second: tokens per second times log2 of the codebook size."""
        return self.config.bitrate

    @cached_property
    def token_format(self) -> TokenFormat:
        """What this codec's tokens mean, as encoded files say it."""
        return TokenFormat(
            config_fingerprint(self.config),
            weights_fingerprint(self.params),
            self.sample_rate,
            self.hop_length,
            self.config.quantizer.levels,
        )

    def levels(self, tokens: Int[ArrayLike, "*N"]) -> Int[np.ndarray, "*N D"]:
        """The level of each of the quantizer's D dimensions for each token, on the host (int32).

        The first dimension varies fastest as tokens are counted, as in the official code. Raises
        ValueError for anything but integers in 0 to `codebook_size` - 1.
        """
        array = _checked_integers(tokens, "tokens")
        _require_range(array, self.codebook_size, "tokens")
        levels = self.config.quantizer.levels
        return np.asarray(fsq.tokens_to_levels(array.astype(np.int32), levels))  # pyright: ignore

    def tokens(self, levels: Int[ArrayLike, "*N D"]) -> Int[np.ndarray, "*N"]:
        """Inverse of `levels` (int32, on the host).

        Raises ValueError for anything but integers in 0 to that dimension's levels - 1, in as many
        columns as the quantizer has dimensions.
        """
        array, counts = _checked_integers(levels, "levels"), self.config.quantizer.levels
        if array.ndim == 0 or array.shape[-1] != len(counts):
            raise ValueError(f"levels must have {len(counts)} columns, got shape {array.shape}")
        for dimension, count in enumerate(counts):
            _require_range(array[..., dimension], count, f"levels of dimension {dimension}")
        return np.asarray(fsq.levels_to_tokens(array.astype(np.int32), counts))  # pyright: ignore

    def chunked_encoder(self, channels: int = 1) -> ChunkedEncoder:
        """Encodes recordings of any length piece by piece: see ChunkedEncoder."""
        return ChunkedEncoder(self, channels)

    def decode_chunks(self, tokens: Int[ArrayLike, "C N"]) -> Iterator[Float[np.ndarray, "C T"]]:
        """Audio of the tokens of C channels, piece by piece, N * hop length samples in all."""
        yield np.asarray(self.decode(tokens))

    def encode(
        self, audio: Float[ArrayLike, "B T"], lengths: Int[ArrayLike, " B"] | None = None
    ) -> Int[Array, "B N"]:
        """Tokens (int32, N = T / hop length rounded up) of audio; `lengths` in samples.

        Tokens past a clip's end are 0. Raises ValueError for anything but finite floating-point
        audio of shape (B, T) with at least one sample, or lengths outside 1 to T.
        """
        return self.encode_audio(audio, lengths)[1]

    def decode(
        self, tokens: Int[ArrayLike, "B N"], lengths: Int[ArrayLike, " B"] | None = None
    ) -> Float[Array, "B N*hop"]:
        """Audio in -1..1 (float32) of tokens; `lengths` in tokens.

        Raises ValueError for anything but integers of shape (B, N) in 0 to `codebook_size` - 1, or
        lengths outside 1 to N.
        """
        return self.decode_audio(indices=tokens, lengths=lengths)

    def reconstruct(
        self, audio: Float[ArrayLike, "B T"], lengths: Int[ArrayLike, " B"] | None = None
    ) -> Float[Array, "B T"]:
        """What remains of audio after encoding and decoding; `lengths` in samples."""
        tokens = self.encode(audio, lengths)
        frames = None if lengths is None else -(-np.asarray(lengths) // self.hop_length)
        decoded = np.asarray(self.decode(tokens, frames))[:, : np.shape(audio)[1]]
        if lengths is not None:
            decoded = _clear_padding(decoded, np.asarray(lengths))
        return jax.device_put(decoded)

    def encode_audio(
        self, audio: Float[ArrayLike, "B T"], lengths: Int[ArrayLike, " B"] | None = None
    ) -> tuple[Float[Array, "B N F"], Int[Array, "B N"]]:
        """Quantized features and tokens, as the official package's call of this name."""
        samples = _checked_audio(audio)
        counts = _checked_lengths(lengths, samples.shape, "samples")
        _require_finite(samples, counts, "audio")
        frames = -(-samples.shape[1] // self.hop_length)
        padded = self._padded(samples, self._bucket(frames) * self.hop_length)
        self._announce("encoder", padded.shape[0], padded.shape[1] / self.sample_rate)
        outputs = self._encode_compiled(self._folded, padded, counts.astype(np.int32))
        valid = -(-counts // self.hop_length)
        features, tokens = (
            jax.device_put(_clear_padding(np.asarray(output)[:, :frames], valid))
            for output in outputs
        )
        return features, tokens

    def decode_audio(
        self,
        features: Float[ArrayLike, "B N F"] | None = None,
        indices: Int[ArrayLike, "B N"] | None = None,
        lengths: Int[ArrayLike, " B"] | None = None,
    ) -> Float[Array, "B N*hop"]:
        """Audio of quantized features or of tokens, as the official package's call of this name.

        `lengths` in tokens.
        """
        if features is not None and indices is None:
            values = _checked_features(features, self.config.feature_dim)
        elif indices is not None and features is None:
            values = _checked_tokens(indices)
        else:
            raise ValueError("decode_audio takes either features or indices: give one of them")
        counts = _checked_lengths(lengths, values.shape, "tokens")
        frames = values.shape[1]
        padded = self._padded(values, self._bucket(frames))
        if features is None:
            padded = _clear_padding(padded, counts)
            _require_range(padded, self.codebook_size, "tokens")
            padded = self._dequantize_compiled(self._folded, padded)
        else:
            _require_finite(values, counts, "features")
        self._announce("decoder", padded.shape[0], padded.shape[1] / self.frame_rate)
        audio = self._decode_compiled(self._folded, padded, counts.astype(np.int32))
        samples = np.asarray(audio)[:, : frames * self.hop_length]
        return jax.device_put(_clear_padding(samples, counts * self.hop_length))

    @cached_property
    def _folded(self) -> dict:
        return jax.device_put(fold(self.params, self.config))

    def _bucket(self, frames: int) -> int:
        return bucket_tokens(frames, self.frame_rate)

    @staticmethod
    def _padded(values: np.ndarray, frames: int) -> np.ndarray:
        widths = [(0, 0), (0, frames - values.shape[1])] + [(0, 0)] * (values.ndim - 2)
        return np.pad(values, widths)

    def _announce(self, part: str, batch: int, seconds: float) -> None:
        key = (part, batch, seconds)
        if key not in self._compiled and self.on_compile is not None:
            clips = "" if batch == 1 else f", {batch} clips at a time"
            self.on_compile(f"compiling the {part} for up to {seconds:.3g} s of audio{clips}")
        self._compiled.add(key)


class ChunkedEncoder:
    """Encodes audio that comes in pieces of any size, each channel by itself.

    All tokens together are those of `codec.encode` of all pieces together.
    """

    def __init__(self, codec: L3AC, channels: int):
        self._codec = codec
        self._pieces: list[np.ndarray] = []
        self._channels = channels

    def push(self, audio: Float[np.ndarray, "C T"]) -> Int[np.ndarray, "C N"]:
        """The tokens that are known now and were not before (N may be 0)."""
        self._pieces.append(audio)
        return np.zeros((self._channels, 0), np.int32)

    def finish(self) -> Int[np.ndarray, "C N"]:
        """The tokens that are left, after the last piece."""
        return np.asarray(self._codec.encode(np.concatenate(self._pieces, axis=1)))


def _checked_audio(audio: ArrayLike) -> np.ndarray:
    array = np.asarray(audio)
    if not np.issubdtype(array.dtype, np.floating) and array.dtype != jnp.bfloat16:
        raise ValueError(
            f"audio must be floating point in -1..1, got {array.dtype}: divide integer samples by "
            "their full scale (32768 for 16 bits)"
        )
    if array.ndim != 2:
        hint = ": add the batch axis with audio[None]" if array.ndim == 1 else ""
        raise ValueError(f"audio must have shape (clips, samples), got {array.shape}{hint}")
    if array.size == 0:
        raise ValueError(f"audio is empty: shape {array.shape}; at least one sample is needed")
    return array.astype(np.float32)


def _checked_integers(values: ArrayLike, what: str) -> np.ndarray:
    array = np.asarray(values)
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"{what} must be integers, got {array.dtype}")
    return array


def _checked_tokens(tokens: ArrayLike) -> np.ndarray:
    array = _checked_integers(tokens, "tokens")
    if array.ndim != 2:
        hint = ": add the batch axis with tokens[None]" if array.ndim == 1 else ""
        raise ValueError(f"tokens must have shape (clips, tokens), got {array.shape}{hint}")
    if array.size == 0:
        raise ValueError(f"tokens are empty: shape {array.shape}; at least one token is needed")
    return array


def _checked_features(features: ArrayLike, width: int) -> np.ndarray:
    array = np.asarray(features)
    if not np.issubdtype(array.dtype, np.floating) and array.dtype != jnp.bfloat16:
        raise ValueError(f"features must be floating point, got {array.dtype}")
    if array.ndim != 3 or array.shape[2] != width or array.size == 0:
        raise ValueError(f"features must have shape (clips, tokens, {width}), got {array.shape}")
    return array.astype(np.float32)


def _checked_lengths(lengths: ArrayLike | None, shape: tuple[int, ...], unit: str) -> np.ndarray:
    if lengths is None:
        return np.full(shape[0], shape[1])
    array = np.asarray(lengths)
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"lengths must be integers (in {unit}), got {array.dtype}")
    if array.shape != shape[:1]:
        raise ValueError(f"lengths must have shape ({shape[0]},), one a clip, got {array.shape}")
    if array.min() < 1 or array.max() > shape[1]:
        bad = int(np.argmax((array < 1) | (array > shape[1])))
        raise ValueError(f"lengths[{bad}] is {array[bad]}, must be 1 to {shape[1]} {unit}")
    return array.astype(np.int64)


def _valid(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    mask = np.arange(values.shape[1]) < counts[:, None]
    return mask.reshape(mask.shape + (1,) * (values.ndim - 2))


def _clear_padding(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    if (counts >= values.shape[1]).all():
        return values
    return np.where(_valid(values, counts), values, values.dtype.type(0))


def _require_finite(values: np.ndarray, counts: np.ndarray, what: str) -> None:
    bad = ~np.isfinite(values) & _valid(values, counts)
    if bad.any():
        clip, frame = np.argwhere(bad)[0][:2]
        value = values[clip, frame]
        shown = value if np.ndim(value) == 0 else value[~np.isfinite(value)][0]
        raise ValueError(f"{what} must be finite, got {shown} in clip {clip} at index {frame}")


def _require_range(values: np.ndarray, size: int, what: str) -> None:
    bad = (values < 0) | (values >= size)
    if bad.any():
        place = tuple(int(i) for i in np.argwhere(bad)[0])
        where = f"clip {place[0]} at {place[1]}" if len(place) == 2 else f"place {place}"
        raise ValueError(f"{what} must be 0 to {size - 1}, got {values[place]} in {where}")
