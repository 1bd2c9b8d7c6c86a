"""Tokens in pipes: a header, and then each token as it comes.

All numbers are unsigned and little-endian:

    bytes  content
    4      "L3AS"
    1      version: 1
    2      length of the header, from "L3AS" to its check sum
    8 + 8  fingerprints of the codec's configuration and of its weights
    4      sample rate of the codec, in Hz
    4      hop length: samples at that rate for each token
    4      sample rate of the audio that was encoded, in Hz
    2      channels, 1 to 1024
    1      dimensions of the quantizer; then 2 bytes for each: its levels
    ...    name of the model: printable UTF-8, 1 to 1024 bytes
    4      CRC-32 (that of zlib) of all bytes before

    4      a token; those of all channels follow each other. And so on, to the end of the stream.

The number of tokens is nowhere, nor is that of the samples: the last token may stand for samples
that were not there. At 32 bits a token this is for pipes; `.l3ac` files take about half.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from jaxtyping import Int

from l3ac_jax.errors import BitstreamError
from l3ac_jax.tokens.bitstream.header import Header
from l3ac_jax.tokens.format import TokenFormat

__all__ = ["TOKEN_BYTES", "TokenStreamHeader", "from_bytes", "read_stream_header", "to_bytes"]

MAGIC = b"L3AS"
VERSION = 1
TOKEN_BYTES = 4

_PREFIX = struct.Struct("<4sBH")
_FIELDS = struct.Struct("<8s8sIIIHB")
_CHECK = struct.Struct("<I")


@dataclass(frozen=True)
class TokenStreamHeader:
    """What comes before the tokens."""

    format: TokenFormat
    sample_rate: int  # of the audio that was encoded, in Hz
    channels: int
    model: str  # the name or folder that it was encoded with

    def bytes(self) -> bytes:
        """As in the stream. Raises BitstreamError for what it cannot say."""
        self.check()
        levels = self.format.levels
        body = _FIELDS.pack(
            bytes.fromhex(self.format.config),
            bytes.fromhex(self.format.weights),
            self.format.sample_rate,
            self.format.hop_length,
            self.sample_rate,
            self.channels,
            len(levels),
        )
        body += struct.pack(f"<{len(levels)}H", *levels) + self.model.encode()
        length = _PREFIX.size + len(body) + _CHECK.size
        header = _PREFIX.pack(MAGIC, VERSION, length) + body
        return header + _CHECK.pack(zlib.crc32(header))

    def check(self) -> None:
        """Raise BitstreamError for what no `.l3ac` file could have either."""
        Header("plain", self.format, self.sample_rate, 1, self.channels, 1, self.model).bytes()


def read_stream_header(stream: BinaryIO, name: str) -> TokenStreamHeader:
    """Read the header, and no byte more. Raises BitstreamError, which calls it `name`."""
    prefix = stream.read(_PREFIX.size)
    if prefix[: len(MAGIC)] != MAGIC:
        reason = "is no stream of tokens (l3ac-jax stream encode)" if prefix else "is empty"
        raise BitstreamError(f"{name}: {reason}")
    if len(prefix) < _PREFIX.size:
        raise BitstreamError(f"{name}: is cut off in its header")
    _, version, length = _PREFIX.unpack(prefix)
    rest = stream.read(max(0, length - _PREFIX.size))
    body, check = rest[: -_CHECK.size], rest[-_CHECK.size :]
    if check != _CHECK.pack(zlib.crc32(prefix + body)):
        raise BitstreamError(f"{name}: its header is cut off or damaged")
    if version != VERSION:
        raise BitstreamError(f"{name}: has version {version} of the format, this reads {VERSION}")
    try:
        config, weights, *numbers, dimensions = _FIELDS.unpack_from(body)
        codec_rate, hop_length, sample_rate, channels = numbers
        levels = struct.unpack_from(f"<{dimensions}H", body, _FIELDS.size)
        model = body[_FIELDS.size + 2 * dimensions :].decode()
        form = TokenFormat(config.hex(), weights.hex(), codec_rate, hop_length, levels)
        header = TokenStreamHeader(form, sample_rate, channels, model)
        header.check()
    except (struct.error, UnicodeDecodeError, BitstreamError) as error:
        raise BitstreamError(f"{name}: its header makes no sense: {error}") from error
    return header


def to_bytes(tokens: Int[np.ndarray, "channels frames"]) -> bytes:
    """Tokens as in the stream."""
    return tokens.T.astype("<u4").tobytes()


def from_bytes(data: bytes, channels: int) -> Int[np.ndarray, "channels frames"]:
    """Inverse of `to_bytes` (int64: whatever is there)."""
    return np.frombuffer(data, "<u4").reshape(-1, channels).T.astype(np.int64)
