"""A file that is looked at from its start to its end, in blocks."""

from __future__ import annotations

from typing import BinaryIO

__all__ = ["Window"]

BLOCK_BYTES = 2**20


class Window:
    """Bytes by their position in `source`, from `start` up to `end`; positions mostly grow."""

    def __init__(self, source: BinaryIO, start: int, end: int):
        self._source, self.start, self.end = source, start, end
        self._base, self._data = start, b""

    def at(self, position: int, count: int) -> bytes:
        """`count` bytes from there, fewer where it ends before."""
        count = min(count, self.end - position)
        begin = position - self._base
        if not (begin >= 0 and begin + count <= len(self._data)):
            self._load(position, max(count, BLOCK_BYTES))
            begin = 0
        return self._data[begin : begin + max(0, count)]

    def find(self, pattern: bytes, position: int) -> int:
        """Where the pattern begins next; `end` if nowhere."""
        while position < self.end:
            begin = position - self._base
            if not 0 <= begin <= len(self._data) - len(pattern):
                self._load(position, BLOCK_BYTES)
                begin = 0
                if len(self._data) < len(pattern):
                    return self.end
            found = self._data.find(pattern, begin)
            if found >= 0:
                return self._base + found
            position = self._base + len(self._data) - len(pattern) + 1
        return self.end

    def _load(self, position: int, count: int) -> None:
        self._source.seek(position)
        self._base = position
        self._data = self._source.read(max(0, min(count, self.end - position)))
