"""L3AC: audio to tokens and back, the parameters together with the compiled functions.

Cutting and checks happen on the host, and results are put back on the device as they are
(`jnp.asarray` would compile a copy of every shape), so that only the network is compiled.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, Int
from numpy.typing import ArrayLike

from l3ac_jax.audio.damage import refuse_damage, warn_of_damage
from l3ac_jax.codec.checks import (
    checked_audio,
    checked_features,
    checked_lengths,
    checked_tokens,
    clear_padding,
    require_finite,
    require_range,
)
from l3ac_jax.codec.chunks import ChunkedEncoder
from l3ac_jax.codec.files import decode_file, encode_file
from l3ac_jax.codec.folded import FoldedParams
from l3ac_jax.codec.long.decoding import LongDecoder
from l3ac_jax.codec.long.encoding import BlockEncoder
from l3ac_jax.codec.long.piecewise import PiecewiseDecoder
from l3ac_jax.codec.long.stepping import SteppedDecoder
from l3ac_jax.codec.padded import PaddedClips
from l3ac_jax.codec.programs import network_programs
from l3ac_jax.codec.rates import at_rate
from l3ac_jax.codec.sources import AudioSource, opened
from l3ac_jax.codec.streaming.codec import StreamingCodec
from l3ac_jax.config import CodecConfig
from l3ac_jax.errors import ArgumentError
from l3ac_jax.model.network import Network
from l3ac_jax.model.ops.backend import lowerings
from l3ac_jax.model.precision import Precision
from l3ac_jax.model.reach import Span
from l3ac_jax.tokens.format import EncodedAudio

__all__ = ["L3AC", "ChunkedEncoder"]

# Longer clips are decoded in pieces. On a CPU, one pass through 39.8 s, which is a bucket, takes
# 1.5 GB, through 63 s 1.8 GB, and pieces take 1.1 GB; the commands take two clips at a time.
# Decoding takes twice the time.
LONG_SECONDS = 39.8


class Blocks(NamedTuple):
    """Clips of more than `above` seconds are encoded in blocks of `seconds`."""

    above: float
    seconds: float


# Of one pass, blocks take 0.7 (`base`, 20 s, two cores) to 0.9 of the time (1 to 6 s). On an
# accelerator each block would wait for the one before, and a pass is as long as memory allows.
BLOCKS = {"in blocks": Blocks(1.2, 1.2), "one pass": Blocks(LONG_SECONDS, 12.0)}
LONG_DECODER = "long decoder"


class L3AC(StreamingCodec):
    """A codec: `config`, `params` (a pytree, as in training) and what they compute.

    Shapes: B clips, T samples at `sample_rate`, N tokens, F features. NumPy or JAX arrays in, JAX
    arrays out. A clip in a padded batch gives what it gives alone: say how long each one is with
    `lengths`; what lies past it is ignored, and comes back as zeros.

    `precision` matters on a GPU. "exact", in float32, gives the official code's tokens; "fast"
    rounds the factors of products to TensorFloat-32: other tokens in 1.6 % of the frames (3kbps,
    seeded weights), and audio with 1,000 times the rounding error (3e-4 rms), in two thirds of the
    time for a batch of 16 x 10 s and four fifths for one clip of 10 s (H200).

    Codecs of one configuration share what is compiled. They can be pickled, and used in threads and
    in processes that are spawned; in one that was forked after JAX had computed, ForkError is
    raised.
    """

    def __init__(
        self,
        config: CodecConfig,
        params: dict,
        name: str = "custom",
        precision: Precision = "exact",
    ):
        super().__init__(config, params, name, precision)
        programs = network_programs(config, precision)
        self._programs, self._folded = programs, FoldedParams(config, params)
        self._padded = PaddedClips(config, self._folded, programs)

    def chunked_encoder(self, channels: int = 1) -> ChunkedEncoder:
        """Encodes recordings of any length piece by piece: see ChunkedEncoder."""
        return ChunkedEncoder(self, channels)

    def decode_chunks(self, tokens: Int[ArrayLike, "C N"]) -> Iterator[Float[np.ndarray, "C T"]]:
        """Audio of the tokens of C channels, piece by piece, N * hop length samples in all.

        All pieces together are what `decode` gives. Memory does not grow with the length, and the
        first piece of a long recording takes longer than the others together. Raises what `decode`
        raises, and SpoolError (a ValueError) when temporary files cannot be written.
        """
        array = checked_tokens(tokens)
        require_range(array, self.codebook_size, "tokens")
        if self.is_long(array.shape[1] * self.hop_length):
            channels = [self._long_decoder.decode(row) for row in array]
            yield from (np.stack(pieces) for pieces in zip(*channels, strict=True))
        else:
            # one by one: several channels at once would be compiled for each number of them
            yield np.concatenate([np.asarray(self.decode(row[None])) for row in array])

    def encode_file(self, source: AudioSource, strict: bool = False) -> EncodedAudio:
        """The tokens of an audio file of any length, rate and format, each channel by itself.

        `source` is a path, the bytes of a file, or a binary file object, which is read from where
        it stands to its end. Memory does not grow with the length. Of a damaged file what can be
        decoded is encoded, and an AudioDamageWarning says what is missing; with `strict` it is a
        DamagedAudioError. Raises AudioError (a ValueError) for what is missing, empty, no audio, or
        holds NaN or infinity.
        """
        on_damage = refuse_damage if strict else warn_of_damage
        with opened(source) as (name, stream):
            return encode_file(self, name, stream, on_damage=on_damage)

    def decode_file(
        self,
        source: str | os.PathLike[str] | EncodedAudio,
        target: str | os.PathLike[str],
        overwrite: bool = False,
    ) -> None:
        """Write the audio of an `.l3ac` file, or of encoded audio, at its rate, in its channels.

        The ending of `target` says its format (WAV, FLAC, OGG, MP3); it is complete or not there.
        Raises BitstreamError for damage, WrongModelError for tokens of another codec, AudioError
        and OutputError for a target that cannot be written; all of them are ValueErrors.
        """
        decode_file(self, source, target, overwrite=overwrite)

    @cached_property
    def has_bounds(self) -> bool:
        """Whether tokens depend on a bounded part of the audio, so that it can be coded in pieces.

        Full attention sees all before it, and the norm of ConvNeXt-V2 the whole clip. The decoder's
        statistics over the whole clip are found beforehand: they are no obstacle.
        """
        network, first = Network(self.config).bind({}), Span(0, 0)
        reaches = (network.encoder_reach(first), network.decoder_reach(first, local=True))
        return all(reach.bounded for reach in reaches)

    def is_long(self, samples: int) -> bool:
        """Whether a clip of so many samples is decoded in pieces, with less memory.

        The audio is the same but for float32 rounding. It takes twice the time.
        """
        return self.has_bounds and samples > LONG_SECONDS * self.sample_rate

    def encodes_in_blocks(self, samples: int) -> bool:
        """Whether a clip of so many samples is encoded in blocks of one size.

        All that are have the same tokens to the last bit at any length. They are those of one pass,
        but where a value lies within float32 rounding of the boundary between two levels.
        """
        return self.has_bounds and samples > self._blocks.above * self.sample_rate

    @property
    def _blocks(self) -> Blocks:
        return BLOCKS[lowerings().long_clips]

    def is_compiled(self, samples: int) -> bool:
        """Whether one clip of so many samples is encoded and decoded without compiling first."""
        compiled, padded = self._programs.compiled, self._padded
        encodes = (
            (1, self._block * self.hop_length) in self._step_programs.encode
            if self.encodes_in_blocks(samples)
            else padded.encodes_without_compiling(samples)
        )
        decodes = (
            LONG_DECODER in compiled
            if self.is_long(samples)
            else padded.decodes_without_compiling(samples)
        )
        return encodes and decodes

    @cached_property
    def block_encoder(self) -> BlockEncoder:
        """The encoder for clips that are encoded in blocks."""
        return BlockEncoder(self._step_programs, self._folded, self._block, self._say)

    @property
    def _block(self) -> int:
        return max(1, round(self._blocks.seconds * self.frame_rate))

    @cached_property
    def _long_decoder(self) -> PiecewiseDecoder:
        of_clip = self.config.decoder.norm_statistics == "clip"
        kind = LongDecoder if of_clip else SteppedDecoder
        return self._programs.compiled.run(
            LONG_DECODER,
            lambda: self._say("compiling the decoder for long recordings"),
            lambda: kind(self.config, self._folded, self._programs),
        )

    def encode(
        self,
        audio: Float[ArrayLike, "B T"],
        lengths: Int[ArrayLike, " B"] | None = None,
        sample_rate: int | None = None,
    ) -> Int[Array, "B N"]:
        """Tokens (int32, N = T / hop length rounded up) of audio; `lengths` in samples.

        Audio at another `sample_rate` (Hz) than the codec's is resampled first, each clip for
        itself, as `encode_file` does; T and `lengths` count its own samples. Tokens past a clip's
        end are 0. Raises ValueError for anything but finite floating-point audio of shape (B, T)
        with at least one sample, or lengths outside 1 to T.
        """
        (_, tokens), cut = self._encoded(audio, lengths, sample_rate)
        return cut(tokens)  # the features stay where they are

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
            decoded = clear_padding(decoded, np.asarray(lengths))
        return jax.device_put(decoded)

    def encode_audio(
        self, audio: Float[ArrayLike, "B T"], lengths: Int[ArrayLike, " B"] | None = None
    ) -> tuple[Float[Array, "B N F"], Int[Array, "B N"]]:
        """Quantized features and tokens, as the official package's call of this name."""
        (features, tokens), cut = self._encoded(audio, lengths, None)
        return cut(features), cut(tokens)

    def _encoded(
        self,
        audio: Float[ArrayLike, "B T"],
        lengths: Int[ArrayLike, " B"] | None,
        sample_rate: int | None,
    ) -> tuple[tuple[Any, Any], Callable[[Any], Array]]:
        """Features and tokens of padded audio, and what cuts either to the clips' own."""
        samples = checked_audio(audio)
        counts = checked_lengths(lengths, samples.shape, "samples")
        require_finite(samples, counts, "audio")
        if sample_rate is not None:
            samples, counts = at_rate(samples, counts, sample_rate, self.sample_rate)
        frames = -(-samples.shape[1] // self.hop_length)
        if self.encodes_in_blocks(samples.shape[1]):
            outputs = self.block_encoder.encode_batch(samples, counts)
        else:
            outputs = self._padded.encode(samples, counts, self._say)
        valid = -(-counts // self.hop_length)

        def cut(output: Any) -> Array:
            return jax.device_put(clear_padding(np.asarray(output)[:, :frames], valid))

        return outputs, cut

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
            values = checked_features(features, self.config.feature_dim)
        elif indices is not None and features is None:
            values = checked_tokens(indices)
        else:
            raise ArgumentError("decode_audio takes either features or indices: give one of them")
        counts = checked_lengths(lengths, values.shape, "tokens")
        if features is None:
            values = clear_padding(values, counts)
            require_range(values, self.codebook_size, "tokens")
            values = values.astype(np.int32)
        else:
            require_finite(values, counts, "features")
        samples = values.shape[1] * self.hop_length
        if self.is_long(samples):
            return jax.device_put(self._long_decoder.decode_batch(values, counts))
        decoded = np.asarray(self._padded.decode(values, counts, self._say))[:, :samples]
        return jax.device_put(clear_padding(decoded, counts * self.hop_length))

    @property
    def folded_params(self) -> dict[str, Any]:
        """The parameters as inference takes them: what `params` come to, multiplied out."""
        return self._folded()
