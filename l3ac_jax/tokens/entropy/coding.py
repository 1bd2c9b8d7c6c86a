"""Blocks of tokens as numbers and bytes: at their nominal cost, or at what their levels cost.

Everything is integer arithmetic, so that the result is the same on every machine.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from jaxtyping import Int, Int32

from l3ac_jax.errors import BitstreamError
from l3ac_jax.model.levels import levels_to_tokens, tokens_to_levels
from l3ac_jax.tokens.entropy.range_coder import INCREMENT, MAX_TOTAL, RangeDecoder, RangeEncoder

MAX_BLOCK = 1023  # tokens
# A higher limit learns distributions more exactly, a lower one follows their changes faster.
HALVED_ABOVE = 8192
MAX_LEVELS = 32  # of a dimension that is coded adaptively: models grow with their square
HEAD_BYTES = 2  # before the payload of an adaptive block

PLAIN, ORDER_0, ORDER_1 = range(3)
_LENGTH_BITS = 14  # of the head; the others say how the payload is coded
_FEW = 16  # digits that are joined and split one by one

assert HALVED_ABOVE + MAX_BLOCK * INCREMENT <= MAX_TOTAL


def plain_bits(count: int, codebook_size: int) -> int:
    """Bits that `count` tokens take as one number: count * log2(codebook size), rounded up."""
    return (_power(codebook_size, count) - 1).bit_length()


def tokens_to_number(tokens: Int[np.ndarray, " n"], codebook_size: int) -> int:
    """The number whose digits to the base `codebook_size`, least significant first, are tokens."""
    return _join(tokens.tolist(), codebook_size)


def number_to_tokens(number: int, count: int, codebook_size: int) -> Int32[np.ndarray, " n"]:
    """Inverse of `tokens_to_number`. Raises BitstreamError for more than `count` digits."""
    if number >= _power(codebook_size, count):
        raise BitstreamError("the payload is no number of tokens of this codebook")
    digits: list[int] = []
    _split(number, count, codebook_size, digits)
    return np.array(digits, np.int32)


class AdaptiveCoding:
    """Codes the blocks of one channel, one after the other, by what their levels cost.

    Each block is written in the shortest of three ways: as one number (plain), or range coded, its
    levels by how often that dimension had them (order 0) or had them after the same dimension's
    level one token before (order 1; level 0 before the first token).

    All counts start at 1. The levels of a range coded block are counted one by one for the next
    ones of the same block; after every block, whichever way it was written, its levels are added to
    the counts of both orders, and those with a sum above HALVED_ABOVE are halved (rounded up).
    """

    def __init__(self, levels: tuple[int, ...]) -> None:
        check_levels(levels)
        self._levels = levels
        self._codebook_size = math.prod(levels)
        self._order_0 = [np.ones(count, np.int32) for count in levels]
        self._order_1 = [np.ones((count, count), np.int32) for count in levels]
        self._previous = [0] * len(levels)

    def encode(self, tokens: Int[np.ndarray, " n"]) -> bytes:
        """The block's head and payload."""
        count = len(tokens)
        levels = tokens_to_levels(tokens, self._levels)
        plain = tokens_to_number(tokens, self._codebook_size)
        payloads = {PLAIN: plain.to_bytes(self._plain_bytes(count), "big")}
        for order in (ORDER_0, ORDER_1):
            payload = self._encode_levels(levels, order)
            payloads[order] = payload.ljust(_fewest_bytes(count), b"\0")
        self._count(levels)
        coding = min(payloads, key=lambda way: len(payloads[way]))
        head = coding << _LENGTH_BITS | len(payloads[coding])
        return head.to_bytes(HEAD_BYTES, "big") + payloads[coding]

    def payload_bytes(self, head: bytes, count: int) -> int:
        """Length of the payload that follows the head of a block of `count` tokens.

        Raises BitstreamError where no encoder wrote such a head.
        """
        coding, length = _parse_head(head)
        plain = self._plain_bytes(count)
        lengths = {
            PLAIN: range(plain, plain + 1),
            ORDER_0: range(_fewest_bytes(count), plain),
            ORDER_1: range(_fewest_bytes(count), plain),
        }
        if length not in lengths.get(coding, ()):
            raise BitstreamError("its head makes no sense")
        return length

    def decode(self, block: bytes, count: int) -> Int32[np.ndarray, " n"]:
        """Inverse of `encode`. Raises BitstreamError for what stands for no tokens."""
        coding, _ = _parse_head(block[:HEAD_BYTES])
        payload = block[HEAD_BYTES:]
        if coding == PLAIN:
            number = int.from_bytes(payload, "big")
            tokens = number_to_tokens(number, count, self._codebook_size)
            self._count(tokens_to_levels(tokens, self._levels))
            return tokens
        levels = self._decode_levels(payload, coding, count)
        self._count(levels)
        return levels_to_tokens(levels, self._levels)

    def _encode_levels(self, levels: np.ndarray, order: int) -> bytes:
        tables, previous = self._tables(order), self._previous
        encoder = RangeEncoder()
        for row in levels.tolist():
            for table, level, before in zip(tables, row, previous, strict=True):
                encoder.encode(level, table[before])
            previous = row
        return encoder.finish()

    def _decode_levels(self, payload: bytes, order: int, count: int) -> np.ndarray:
        tables, previous = self._tables(order), self._previous
        decoder = RangeDecoder(payload)
        rows = []
        for _ in range(count):
            previous = [
                decoder.decode(table[before])
                for table, before in zip(tables, previous, strict=True)
            ]
            rows.append(previous)
        return np.array(rows)

    def _tables(self, order: int) -> list[list[list[int]]]:
        """For each dimension, the counts to use after each of its levels."""
        if order == ORDER_1:
            return [counts.tolist() for counts in self._order_1]
        return [[counts.tolist()] * len(counts) for counts in self._order_0]

    def _count(self, levels: np.ndarray) -> None:
        before = np.vstack([self._previous, levels[:-1]])
        for dimension, (order_0, order_1) in enumerate(
            zip(self._order_0, self._order_1, strict=True)
        ):
            column = levels[:, dimension]
            np.add.at(order_0, column, INCREMENT)
            np.add.at(order_1, (before[:, dimension], column), INCREMENT)
            for counts in (order_0, order_1):
                total = counts.sum(axis=-1, keepdims=True)
                np.copyto(counts, (counts + 1) // 2, where=total > HALVED_ABOVE)
        self._previous = levels[-1].tolist()

    def _plain_bytes(self, count: int) -> int:
        return -(-plain_bits(count, self._codebook_size) // 8)


def check_levels(levels: tuple[int, ...]) -> None:
    """Raises BitstreamError for levels that AdaptiveCoding does not take."""
    if max(levels) > MAX_LEVELS:
        raise BitstreamError(
            f"adaptive coding takes up to {MAX_LEVELS} levels a dimension, got {max(levels)}"
        )


def _fewest_bytes(count: int) -> int:
    # At least a bit for each token, even in silence: what is read then takes memory and time in
    # proportion to the file, whoever made it.
    return -(-count // 8)


def _parse_head(head: bytes) -> tuple[int, int]:
    value = int.from_bytes(head, "big")
    return value >> _LENGTH_BITS, value & ((1 << _LENGTH_BITS) - 1)


@lru_cache(maxsize=256)
def _power(base: int, exponent: int) -> int:
    return base**exponent


# Halves are joined and split recursively: digit by digit would take quadratic time.
def _join(digits: list[int], base: int) -> int:
    if len(digits) <= _FEW:
        number = 0
        for digit in reversed(digits):
            number = number * base + digit
        return number
    half = len(digits) // 2
    return _join(digits[:half], base) + _join(digits[half:], base) * _power(base, half)


def _split(number: int, count: int, base: int, digits: list[int]) -> None:
    if count <= _FEW:
        for _ in range(count):
            number, digit = divmod(number, base)
            digits.append(digit)
        return
    half = count // 2
    high, low = divmod(number, _power(base, half))
    _split(low, half, base, digits)
    _split(high, count - half, base, digits)
