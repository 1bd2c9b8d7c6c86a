"""Range coding: symbols to bytes at the cost that adaptive counts give them, in integers only.

The coder of G. N. N. Martin (1979) with 32 bits and carries. Each symbol gets the share
counts[symbol] / sum(counts) of what is left of an interval; counts grow by what was coded, on both
sides alike. Counts must be at least 1 and sum up to at most MAX_TOTAL.
"""

from __future__ import annotations

from l3ac_jax.errors import BitstreamError

MAX_TOTAL = 1 << 16
INCREMENT = 2  # to counts that start at 1: the estimator of Krichevsky and Trofimov

_TOP = 32
_MASK = (1 << _TOP) - 1
# The interval is kept at least this wide, so that one part of MAX_TOTAL is never empty.
_BOTTOM = 1 << 24


class RangeEncoder:
    """Collects symbols; `finish` gives the bytes."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._low = 0  # its bit 32 is a carry into the bytes that were written
        self._width = _MASK

    def encode(self, symbol: int, counts: list[int]) -> None:
        """Code one symbol, and count it."""
        step = self._width // sum(counts)
        self._low += step * sum(counts[:symbol])
        self._width = step * counts[symbol]
        counts[symbol] += INCREMENT
        while self._width < _BOTTOM:
            self._shift()
            self._width <<= 8

    def finish(self) -> bytes:
        """The fewest bytes that stand for the symbols, when zeros are read after their end."""
        # The point of the interval with the most zeros at its end.
        for zeros in range(_TOP, -1, -1):
            point = (self._low + (1 << zeros) - 1) >> zeros << zeros
            if point < self._low + self._width:
                self._low = point
                break
        for _ in range(_TOP // 8):
            self._shift()
        return bytes(self._bytes).rstrip(b"\0")

    def _shift(self) -> None:
        if self._low >> _TOP:
            self._carry()
        self._bytes.append((self._low >> (_TOP - 8)) & 0xFF)
        self._low = (self._low << 8) & _MASK

    def _carry(self) -> None:
        place = len(self._bytes) - 1
        while self._bytes[place] == 0xFF:
            self._bytes[place] = 0
            place -= 1
        self._bytes[place] += 1


class RangeDecoder:
    """Gives the symbols back, one by one, for the same counts."""

    def __init__(self, data: bytes) -> None:
        self._bytes = data
        self._position = _TOP // 8
        # How far the coded point lies above the low end of the interval.
        self._offset = int.from_bytes(data[: self._position].ljust(self._position, b"\0"), "big")
        self._width = _MASK

    def decode(self, counts: list[int]) -> int:
        """The next symbol, which is counted. Raises BitstreamError where no symbol was coded."""
        total = sum(counts)
        step = self._width // total
        share = self._offset // step
        if share >= total:  # an encoder leaves this end of the interval, the rest of a division
            raise BitstreamError("these bytes stand for no symbols")
        symbol = start = 0
        while start + counts[symbol] <= share:
            start += counts[symbol]
            symbol += 1
        self._offset -= step * start
        self._width = step * counts[symbol]
        counts[symbol] += INCREMENT
        while self._width < _BOTTOM:
            self._next_byte()
        return symbol

    def _next_byte(self) -> None:
        following = self._bytes[self._position] if self._position < len(self._bytes) else 0
        self._position += 1
        self._offset = self._offset << 8 | following
        self._width <<= 8
