"""The header of `.l3ac` files: files.py says what is in it, byte by byte."""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass
from typing import BinaryIO, Literal, get_args

from l3ac_jax.errors import BitstreamError
from l3ac_jax.tokens.entropy.coding import MAX_BLOCK, check_levels
from l3ac_jax.tokens.format import DIGITS, TokenFormat, frames_of

Entropy = Literal["plain", "adaptive"]

MAGIC = b"L3AC"
VERSION = 1
MAX_CHANNELS = 1024  # as in libsndfile
MAX_NAME_BYTES = 1024
# As FLAC's header can say. A few tokens at 4 GHz would be decoded to a file of terabytes.
MAX_SAMPLE_RATE = 2**20 - 1
MAX_BLOCK_TOKENS = (MAX_BLOCK + 1) // 2  # the last block takes what does not fill another

# These two never change, so that a newer version can be told from a damaged file.
_PREFIX = struct.Struct("<4sBH")
_CHECK = struct.Struct("<I")
_FIELDS = struct.Struct("<B8s8sIIIQHHB")


@dataclass(frozen=True)
class Header:
    """What comes before the blocks, and what follows from it."""

    entropy: Entropy
    format: TokenFormat
    sample_rate: int
    samples: int
    channels: int
    block_tokens: int
    model: str

    @property
    def frames(self) -> int:
        """Tokens of each channel."""
        return frames_of(self.samples, self.sample_rate, self.format)

    @property
    def block_count(self) -> int:
        """Blocks of each channel."""
        return max(1, self.frames // self.block_tokens)

    def block_frames(self, index: int) -> tuple[int, int]:
        """The first token of a block, and the one after its last."""
        start = index * self.block_tokens
        is_last = index == self.block_count - 1
        return start, self.frames if is_last else start + self.block_tokens

    def bytes(self) -> bytes:
        """The header as it is in the file. Raises BitstreamError for what it cannot say."""
        _check(self)
        levels = self.format.levels
        body = _FIELDS.pack(
            get_args(Entropy).index(self.entropy),
            bytes.fromhex(self.format.config),
            bytes.fromhex(self.format.weights),
            self.format.sample_rate,
            self.format.hop_length,
            self.sample_rate,
            self.samples,
            self.channels,
            self.block_tokens,
            len(levels),
        )
        body += struct.pack(f"<{len(levels)}H", *levels) + self.model.encode()
        length = _PREFIX.size + len(body) + _CHECK.size
        header = _PREFIX.pack(MAGIC, VERSION, length) + body
        return header + _CHECK.pack(zlib.crc32(header))


def read_header(stream: BinaryIO) -> tuple[Header, bytes]:
    """The header, and its bytes. Raises BitstreamError with the reason, which names no file."""
    prefix = stream.read(_PREFIX.size)
    if prefix[: len(MAGIC)] != MAGIC:
        raise BitstreamError("is not an .l3ac file" if prefix else "is empty")
    if len(prefix) < _PREFIX.size:
        raise BitstreamError("is cut off in its header")
    _, version, length = _PREFIX.unpack(prefix)
    rest = stream.read(max(0, length - _PREFIX.size))
    if len(prefix + rest) < length:
        raise BitstreamError("is cut off in its header, or its header is damaged")
    data = prefix + rest
    if len(rest) < _CHECK.size or _CHECK.pack(zlib.crc32(data[: -_CHECK.size])) != data[-4:]:
        raise BitstreamError("its header is damaged: the check sum does not fit")
    if version < 1:
        raise BitstreamError("its header makes no sense: version 0 was never written")
    if version > VERSION:
        raise BitstreamError(
            f"needs version {version} of the format, and this reads up to {VERSION}: "
            "install a newer l3ac-jax"
        )
    try:
        header = _parse(rest[: -_CHECK.size])
        _check(header)
    except struct.error as error:
        raise BitstreamError("its header makes no sense: it is too short") from error
    except (BitstreamError, UnicodeDecodeError) as error:
        raise BitstreamError(f"its header makes no sense: {error}") from error
    return header, data


def _parse(body: bytes) -> Header:
    coding, config, weights, *numbers, dimensions = _FIELDS.unpack_from(body)
    codec_rate, hop_length, sample_rate, samples, channels, block_tokens = numbers
    levels = struct.unpack_from(f"<{dimensions}H", body, _FIELDS.size)
    name = body[_FIELDS.size + 2 * dimensions :]
    if coding >= len(get_args(Entropy)):
        raise BitstreamError(f"entropy coding {coding} is not known")
    return Header(
        entropy=get_args(Entropy)[coding],
        format=TokenFormat(config.hex(), weights.hex(), codec_rate, hop_length, levels),
        sample_rate=sample_rate,
        samples=samples,
        channels=channels,
        block_tokens=block_tokens,
        model=name.decode(),
    )


def _check(header: Header) -> None:
    """Raises BitstreamError for what cannot be written, or was written by no encoder."""
    if header.entropy not in get_args(Entropy):
        raise BitstreamError(f"entropy must be one of {get_args(Entropy)}, got {header.entropy!r}")
    tokens = header.format
    ranges = {
        "the codec's sample rate": (tokens.sample_rate, MAX_SAMPLE_RATE),
        "the hop length": (tokens.hop_length, 2**32 - 1),
        "the sample rate": (header.sample_rate, MAX_SAMPLE_RATE),
        "the number of samples": (header.samples, 2**64 - 1),
        "the number of channels": (header.channels, MAX_CHANNELS),
        "the number of tokens in a block": (header.block_tokens, MAX_BLOCK_TOKENS),
    }
    for what, (value, most) in ranges.items():
        if not 1 <= value <= most:
            raise BitstreamError(f"{what} must be 1 to {most}, got {value}")
    levels = tokens.levels
    if not levels or min(levels) < 2 or max(levels) >= 2**16 or math.prod(levels) >= 2**31:
        raise BitstreamError(
            "levels must be 2 to 65535 and multiply to less than 2**31, "
            f"got {levels if len(levels) <= 31 else f'{len(levels)} of them'}"
        )
    if header.entropy == "adaptive":
        check_levels(levels)
    for fingerprint in (tokens.config, tokens.weights):
        if len(fingerprint) != DIGITS or set(fingerprint) - set("0123456789abcdef"):
            raise BitstreamError(
                f"fingerprints have {DIGITS} hexadecimal digits, got {fingerprint!r}"
            )
    # It is shown in messages, where control characters could do harm.
    if not header.model.isprintable() or not 0 < len(header.model.encode()) <= MAX_NAME_BYTES:
        raise BitstreamError(
            f"the model's name must be printable, of 1 to {MAX_NAME_BYTES} bytes: "
            f"got {header.model[:40]!r}"
        )
