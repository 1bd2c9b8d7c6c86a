"""The blocks of `.l3ac` files: files.py says what is in them."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from jaxtyping import Int, Int32
from numpy import ndarray

from l3ac_jax.errors import BitstreamError
from l3ac_jax.tokens.bitstream.header import Header
from l3ac_jax.tokens.entropy.coding import (
    HEAD_BYTES,
    AdaptiveCoding,
    number_to_tokens,
    plain_bits,
    tokens_to_number,
)

CHECK_BITS = 32


class Place(NamedTuple):
    """Where a block is: its index in its channel, and what its check sum starts with."""

    index: int
    channel: int
    seed: int


def places(header: Header, data: bytes) -> Iterator[Place]:
    """The places of all blocks, in their order in the file; `data` is the header's bytes."""
    check = int.from_bytes(data[-4:], "little")
    index = number = 0  # no ranges: the numbers in a header need not fit in them
    while index < header.block_count:
        for channel in range(header.channels):
            seed = zlib.crc32(struct.pack("<I", number % 2**32), check)
            yield Place(index, channel, seed)
            number += 1
        index += 1


class BlockCoder:
    """Writes or reads the blocks of one channel, in their order."""

    def __init__(self, header: Header) -> None:
        levels = header.format.levels
        self._codebook_size = math.prod(levels)
        self._adaptive = AdaptiveCoding(levels) if header.entropy == "adaptive" else None

    def encode(self, tokens: Int[ndarray, " n"], seed: int) -> bytes:
        """The block with its check sum."""
        if self._adaptive:
            payload = self._adaptive.encode(tokens)
            return _sealed(int.from_bytes(payload, "big"), 8 * len(payload), seed)
        bits = plain_bits(len(tokens), self._codebook_size)
        return _sealed(tokens_to_number(tokens, self._codebook_size), bits, seed)

    def decode(self, stream: BinaryIO, count: int, seed: int) -> Int32[ndarray, " n"]:
        """The next `count` tokens.

        Raises EOFError where the stream ends before the block does, BitstreamError for damage.
        """
        if self._adaptive:
            head = _read(stream, HEAD_BYTES)
            length = HEAD_BYTES + self._adaptive.payload_bytes(head, count)
            block = head + _read(stream, length + CHECK_BITS // 8 - HEAD_BYTES)
            payload = _unsealed(block, 8 * length, seed)
            return self._adaptive.decode(payload.to_bytes(length, "big"), count)
        bits = plain_bits(count, self._codebook_size)
        block = _read(stream, _sealed_bytes(bits))
        return number_to_tokens(_unsealed(block, bits, seed), count, self._codebook_size)


def _sealed_bytes(bits: int) -> int:
    # Rounded down, so that a block has at most 33 bits more than its tokens need: with 40, files
    # of 10 s would be above 100.5 % of the nominal rate.
    return (bits + CHECK_BITS) // 8


def _sealed(payload: int, bits: int, seed: int) -> bytes:
    length = _sealed_bytes(bits)
    check_bits = 8 * length - bits
    check = _check_sum(payload, bits, check_bits, seed)
    return (payload << check_bits | check).to_bytes(length, "big")


def _unsealed(block: bytes, bits: int, seed: int) -> int:
    check_bits = 8 * len(block) - bits
    number = int.from_bytes(block, "big")
    payload = number >> check_bits
    if number - (payload << check_bits) != _check_sum(payload, bits, check_bits, seed):
        raise BitstreamError("the check sum does not fit")
    return payload


def _check_sum(payload: int, bits: int, check_bits: int, seed: int) -> int:
    data = payload.to_bytes(-(-bits // 8), "big")
    return zlib.crc32(data, seed) >> (CHECK_BITS - check_bits)


def _read(stream: BinaryIO, length: int) -> bytes:
    data = stream.read(length)
    if len(data) < length:
        raise EOFError
    return data
