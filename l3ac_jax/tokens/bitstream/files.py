"""Encoded audio in `.l3ac` files: tokens at their true cost, every block with its check sum.

All numbers are unsigned. The header is little-endian:

    bytes  content
    4      "L3AC"
    1      version: 1
    2      length of the header, from "L3AC" to its check sum
    1      coding of the blocks: 0 plain, 1 adaptive
    8 + 8  fingerprints of the codec's configuration and of its weights
    4      sample rate of the codec, in Hz
    4      hop length: samples at that rate for each token
    4      sample rate of the audio that was encoded, in Hz
    8      samples of each channel at that rate
    2      channels, 1 to 1024
    2      B: tokens in a block, 1 to 512
    1      dimensions of the quantizer; then 2 bytes for each: its levels
    ...    name of the model: printable UTF-8, 1 to 1024 bytes
    4      CRC-32 (that of zlib, as below) of all bytes before

The first three fields and the check sum stay where they are in every version. The samples tell N,
the number of tokens of each channel. They are in max(1, N // B) blocks of B tokens, the last of
which also has the tokens that are left: a short block would make its check sum expensive. First
come the first blocks of all channels, then the second ones, and so on.

A block is its payload and then its check sum, big-endian.

- A plain payload is one number: its digits to the base K, the size of the codebook, are the n
  tokens, the first one least significant. It takes the b bits that K**n - 1 takes.
- An adaptive payload begins with 2 bytes: how the block is coded (2 bits), and the length of what
  follows (14 bits). 0 is the number of a plain block in whole bytes; 1 and 2 are range coded, in at
  least a bit a token and less than a plain block: see AdaptiveCoding in entropy/coding.py.
- The check sum is the CRC-32 of the payload, as a number in whole bytes; only its first 25 to 32
  bits are kept, as many as fit into (b + 32) // 8 bytes beside the b bits of the payload. It is not
  started with 0 but with the CRC-32 of the block's number in the file (from 0, 4 bytes,
  little-endian), which is started with the header's CRC-32: blocks that belong somewhere else, or
  to another file, are found so.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from l3ac_jax.errors import BitstreamError
from l3ac_jax.system.files import check_output, complete_file
from l3ac_jax.tokens.bitstream.blocks import BlockCoder, places
from l3ac_jax.tokens.bitstream.header import Entropy, Header, read_header
from l3ac_jax.tokens.format import EncodedAudio, frames_of

__all__ = ["Entropy", "WrittenSize", "check_save", "load", "read_encoded", "save", "write_encoded"]

SUFFIX = ".l3ac"
# With fewer, check sums would take more than 0.5 % of the published codecs' rates; with more, a
# file that is cut off would lose more of its end.
BLOCK_TOKENS = 512


@dataclass(frozen=True)
class WrittenSize:
    """How large encoded audio became; as text, a line that says it."""

    header_bytes: int
    block_bytes: int  # tokens with their check sums
    nominal_bits: float  # tokens * log2(codebook size)
    seconds: float

    @property
    def file_bytes(self) -> int:
        """Header and blocks."""
        return self.header_bytes + self.block_bytes

    @property
    def bitrate(self) -> float:
        """Of the whole file, in bits per second of audio."""
        return 8 * self.file_bytes / self.seconds

    @property
    def relative(self) -> float:
        """Size of the blocks; 1 is the nominal size of their tokens."""
        return 8 * self.block_bytes / self.nominal_bits

    def __str__(self) -> str:
        return (
            f"{self.file_bytes} bytes, {self.bitrate:.1f} bit/s; without the header of "
            f"{self.header_bytes} bytes {8 * self.block_bytes / self.seconds:.1f} bit/s, "
            f"{100 * self.relative:.2f} % of the nominal {self.nominal_bits / self.seconds:.1f}"
        )


def save(
    path: str | os.PathLike[str],
    encoded: EncodedAudio,
    entropy: Entropy = "plain",
    overwrite: bool = False,
) -> WrittenSize:
    """Write an `.l3ac` file, complete or not at all; the same bytes on every machine.

    "plain" writes all tokens at their nominal cost. "adaptive" takes less for levels that are
    frequent, or frequent after the level before: never more than 1 % above nominal from 10 s on,
    but slower. Raises BitstreamError, OutputError.
    """
    check_save(path, overwrite)
    with complete_file(path, overwrite) as temporary, temporary.open("wb") as stream:
        return write_encoded(stream, encoded, entropy)


def load(
    path: str | os.PathLike[str], on_damage: Callable[[str], None] | None = None
) -> EncodedAudio:
    """Read an `.l3ac` file.

    A file that is cut off is an error, unless there is `on_damage`: then it is read up to the last
    block that all channels have, and `on_damage` is called with a sentence that says so. Other
    damage is always an error. Raises BitstreamError.
    """
    try:
        with Path(path).open("rb") as stream:
            return read_encoded(stream, str(path), on_damage)
    except OSError as error:
        raise BitstreamError(f"{path}: cannot be read: {error.strerror or error}") from error


def check_save(path: str | os.PathLike[str], overwrite: bool) -> None:
    """Find out before the work whether `save` can. Raises BitstreamError, OutputError."""
    if Path(path).suffix.lower() != SUFFIX:
        raise BitstreamError(f"{path}: encoded audio is written as {SUFFIX}: the name must end so")
    check_output(path, overwrite)


def write_encoded(
    stream: BinaryIO,
    encoded: EncodedAudio,
    entropy: Entropy = "plain",
    block_tokens: int = BLOCK_TOKENS,
) -> WrittenSize:
    """Write what an `.l3ac` file holds. Raises BitstreamError."""
    try:
        header = _header(encoded, entropy, block_tokens)
        data = header.bytes()
        _check_tokens(encoded.tokens, header)
    except BitstreamError as error:
        raise BitstreamError(f"encoded audio that cannot be written: {error}") from error
    stream.write(data)
    block_bytes = 0
    coders = [BlockCoder(header) for _ in range(header.channels)]
    for index, channel, seed in places(header, data):
        start, end = header.block_frames(index)
        block = coders[channel].encode(encoded.tokens[channel, start:end], seed)
        stream.write(block)
        block_bytes += len(block)
    nominal_bits = encoded.tokens.size * math.log2(math.prod(encoded.format.levels))
    return WrittenSize(len(data), block_bytes, nominal_bits, encoded.seconds)


def read_encoded(
    stream: BinaryIO, name: str, on_damage: Callable[[str], None] | None = None
) -> EncodedAudio:
    """Read what `write_encoded` wrote, as `load` does, from a stream that need not be seekable.

    `name` is what messages call it.
    """
    try:
        header, data = read_header(stream)
    except BitstreamError as error:
        raise BitstreamError(f"{name}: {error}") from error
    coders: list[BlockCoder] = []
    blocks: list[list[np.ndarray]] = []
    for index, channel, seed in places(header, data):
        if index == 0:  # not before: the header may claim channels that are not there
            coders.append(BlockCoder(header))
            blocks.append([])
        start, end = header.block_frames(index)
        try:
            blocks[channel].append(coders[channel].decode(stream, end - start, seed))
        except EOFError:
            whole = [channel_blocks[:index] for channel_blocks in blocks]
            place = _describe_place(header, index, channel)
            return _cut_off(f"{name}: is cut off in {place}", header, whole, on_damage)
        except BitstreamError as error:
            place = _describe_place(header, index, channel)
            raise BitstreamError(f"{name}: is damaged in {place}: {error}") from error
    if stream.read(1):
        raise BitstreamError(f"{name}: goes on after its last block: something was added to it")
    return _joined(header, blocks, header.samples)


def _header(encoded: EncodedAudio, entropy: Entropy, block_tokens: int) -> Header:
    tokens = encoded.tokens
    if tokens.ndim != 2 or not np.issubdtype(tokens.dtype, np.integer):
        given = f"{tokens.dtype} of shape {tokens.shape}"
        raise BitstreamError(f"tokens must be integers of shape (channels, frames), got {given}")
    return Header(
        entropy=entropy,
        format=encoded.format,
        sample_rate=encoded.sample_rate,
        samples=encoded.samples,
        channels=tokens.shape[0],
        block_tokens=block_tokens,
        model=encoded.model,
    )


def _check_tokens(tokens: np.ndarray, header: Header) -> None:
    if tokens.shape[1] != header.frames:
        raise BitstreamError(
            f"{header.samples} samples at {header.sample_rate} Hz have {header.frames} tokens a "
            f"channel, got {tokens.shape[1]}"
        )
    size = math.prod(header.format.levels)
    for value in (tokens.min(), tokens.max()):
        if not 0 <= value < size:
            raise BitstreamError(f"tokens must be 0 to {size - 1}, got {value}")


def _cut_off(
    reason: str,
    header: Header,
    blocks: list[list[np.ndarray]],
    on_damage: Callable[[str], None] | None,
) -> EncodedAudio:
    covered = len(blocks[0]) * header.block_tokens * header.format.hop_length  # codec's samples
    samples = covered * header.sample_rate // header.format.sample_rate
    seconds, total = (count / header.sample_rate for count in (samples, header.samples))
    if samples == 0:
        raise BitstreamError(f"{reason}; nothing before it is whole")
    message = f"{reason}; the first {seconds:.2f} s of {total:.2f} s are whole"
    if on_damage is None:
        raise BitstreamError(message)
    on_damage(message)
    return _joined(header, blocks, samples)


def _joined(header: Header, blocks: list[list[np.ndarray]], samples: int) -> EncodedAudio:
    tokens = np.empty((len(blocks), sum(map(len, blocks[0]))), np.int32)
    for channel, channel_blocks in enumerate(blocks):
        np.concatenate(channel_blocks, out=tokens[channel])
    # Fewer than there are where a sample is longer than a token.
    frames = frames_of(samples, header.sample_rate, header.format)
    return EncodedAudio(
        tokens[:, :frames], samples, header.sample_rate, header.model, header.format
    )


def _describe_place(header: Header, index: int, channel: int) -> str:
    """As "block 3 of 7, channel 1 of 2, 23.04 s to 34.56 s"."""
    hop_seconds = header.format.hop_length / header.format.sample_rate
    start, end = (frame * hop_seconds for frame in header.block_frames(index))
    return (
        f"block {index + 1} of {header.block_count}, channel {channel + 1} of {header.channels}, "
        f"{start:.2f} s to {end:.2f} s"
    )
