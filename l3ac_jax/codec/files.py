"""Single audio files of any length through a codec, in bounded memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import BinaryIO, Protocol

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from l3ac_jax.audio.damage import OnDamage, warn_of_damage
from l3ac_jax.audio.formats import SampleFormat, choose_subtype
from l3ac_jax.audio.reading import open_reader
from l3ac_jax.audio.resampling import Resampler
from l3ac_jax.audio.writing import check_audio_output, open_writer
from l3ac_jax.codec.chunks import ChunkedEncoder
from l3ac_jax.errors import WrongModelError
from l3ac_jax.tokens.bitstream.files import load
from l3ac_jax.tokens.format import EncodedAudio, TokenFormat, check_format

__all__ = ["check_match", "decode_file", "encode_file", "reconstruct_file", "write_decoded"]

PathLike = str | os.PathLike[str]
Report = Callable[[float], None]  # is told which share of the work is done


def _ignore(share: float) -> None:
    pass


class FileCodec(Protocol):
    """What files need of a codec."""

    @property
    def name(self) -> str:
        """What its tokens say that they were made with."""
        ...

    @property
    def sample_rate(self) -> int:
        """In Hz."""
        ...

    @cached_property
    def token_format(self) -> TokenFormat:
        """What its tokens mean."""
        ...

    def chunked_encoder(self, channels: int) -> ChunkedEncoder:
        """Encodes recordings of any length piece by piece."""
        ...

    def decode_chunks(self, tokens: Int[ArrayLike, "C N"]) -> Iterator[Float[np.ndarray, "C T"]]:
        """Audio of tokens, piece by piece."""
        ...


def encode_file(
    codec: FileCodec,
    source: PathLike,
    stream: BinaryIO | None = None,
    report: Report = _ignore,
    on_damage: OnDamage = warn_of_damage,
) -> EncodedAudio:
    """The tokens of an audio file of any length, rate and format, each channel by itself.

    With `stream` (a file, or io.BytesIO), that is read, and `source` only says in messages where it
    comes from. `report` is called with the share of the audio that is done, 0 to 1. `on_damage` is
    told in a sentence what is missing of a recording that is not whole; unless given, that is an
    AudioDamageWarning. Raises AudioError for what is missing, empty, not audio, or holds NaN or
    infinity.
    """
    with open_reader(source, stream, on_damage) as reader:
        encoder = codec.chunked_encoder(reader.channels)
        tokens = []
        for block in reader.blocks(codec.sample_rate):
            tokens.append(encoder.push(block))
            report(min(1.0, reader.samples / max(1, reader.expected_samples)))
        tokens.append(encoder.finish())
        return EncodedAudio(
            np.concatenate(tokens, axis=1),
            reader.samples,
            reader.sample_rate,
            codec.name,
            codec.token_format,
        )


def decode_file(
    codec: FileCodec,
    source: PathLike | EncodedAudio,
    target: PathLike,
    like: SampleFormat | None = None,
    overwrite: bool = False,
    report: Report = _ignore,
    name: str | None = None,
) -> None:
    """Write the audio of an `.l3ac` file, or of encoded audio, with its rate, length and channels.

    The ending of `target` says its format; the sample format is that of `like` where the format has
    it. The file is complete or not there. `name` says in messages where encoded audio comes from.
    Raises BitstreamError for what is damaged, WrongModelError for what is of another codec,
    AudioError and OutputError for a target that cannot be written.
    """
    if not isinstance(source, EncodedAudio):
        name, source = str(source), load(source)
    check_match(codec, source, name)
    blocks = codec.decode_chunks(source.tokens)
    write_decoded(target, source, blocks, choose_subtype(target, like), overwrite, report)


def reconstruct_file(
    codec: FileCodec,
    source: PathLike,
    target: PathLike,
    stream: BinaryIO | None = None,
    overwrite: bool = False,
    report: Report = _ignore,
    on_damage: OnDamage = warn_of_damage,
) -> EncodedAudio:
    """Encode and decode an audio file: what remains of it is written to `target`.

    Rate, length and channels are those of `source`, and the sample format where the format of
    `target` has it. Gives the tokens. Raises what `encode_file` and `decode_file` raise.
    """
    with open_reader(source, stream) as reader:
        check_audio_output(
            target, reader.channels, reader.sample_rate, choose_subtype(target, reader), overwrite
        )
    encoded = encode_file(codec, source, stream, lambda share: report(share / 2), on_damage)
    decode_file(codec, encoded, target, reader, overwrite, lambda share: report((1 + share) / 2))
    return encoded


def check_match(codec: FileCodec, encoded: EncodedAudio, name: str | None = None) -> None:
    """Make sure that the codec can decode it. Raises WrongModelError, with the name in front."""
    try:
        check_format(encoded, codec.token_format, codec.name)
    except WrongModelError as error:
        raise WrongModelError(f"{name}: {error}" if name else str(error)) from None


def write_decoded(
    target: PathLike,
    encoded: EncodedAudio,
    blocks: Iterable[Float[np.ndarray, "C T"]],
    subtype: str,
    overwrite: bool,
    report: Report = _ignore,
) -> None:
    """Write what `encoded` was decoded to (at the codec's rate), at its own rate and length.

    Raises AudioError, OutputError.
    """
    channels = encoded.tokens.shape[0]
    rates = encoded.format.sample_rate, encoded.sample_rate
    resampler = Resampler(channels, *rates, length=encoded.samples)
    left = encoded.codec_samples
    with open_writer(
        target, channels, encoded.sample_rate, encoded.samples, subtype, overwrite
    ) as writer:
        for block in blocks:
            writer.write(resampler.push(block[:, :left]))
            left = max(0, left - block.shape[1])
            report(1 - left / encoded.codec_samples)
        writer.write(resampler.finish())
