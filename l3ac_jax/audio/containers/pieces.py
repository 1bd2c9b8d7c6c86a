"""A file made of pieces of another one, for libsndfile to read."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import BinaryIO

__all__ = ["Piece", "PiecedFile", "size_of"]

# Bytes of their own, or (start, end) in the source.
Piece = bytes | tuple[int, int]
TAG_BYTES = 256


class PiecedFile:
    """Pieces of a source one after another, read-only.

    `claimed` is the size that it says it has, where that is not the size that it has: libsndfile
    takes an estimate of an MPEG stream's length, made from its size, for a limit.
    """

    def __init__(
        self, source: BinaryIO | PiecedFile, pieces: Sequence[Piece], claimed: int | None = None
    ):
        self._source, self._pieces = source, pieces
        self._starts = [0, *accumulate(map(size_of, pieces))]
        self._size = self._starts.pop()
        self._claimed = max(claimed or 0, self._size)
        self._position = 0
        self.error: OSError | None = None  # errors in callbacks would be printed, and no more

    def read(self, count: int = -1) -> bytes:
        """As of any file; at the end of what is claimed, where tags are looked for, zeros."""
        if self._position >= max(self._size, self._claimed - TAG_BYTES):
            zeros = bytes(min(count, max(0, self._claimed - self._position)))
            self._position += len(zeros)
            return zeros
        end = self._size if count < 0 else min(self._size, self._position + count)
        parts = []
        while self._position < end:
            index = bisect_right(self._starts, self._position) - 1
            piece, begin = self._pieces[index], self._position - self._starts[index]
            wanted = min(size_of(piece) - begin, end - self._position)
            if isinstance(piece, bytes):
                part = piece[begin : begin + wanted]
            else:
                part = self._read(piece[0] + begin, wanted)
            if not part:  # the source has become shorter
                break
            parts.append(part)
            self._position += len(part)
        return b"".join(parts)

    def _read(self, start: int, count: int) -> bytes:
        try:
            self._source.seek(start)
            return self._source.read(count)
        except OSError as error:
            self.error = self.error or error
            return b""
        finally:
            if isinstance(self._source, PiecedFile):
                self.error = self.error or self._source.error

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of any file."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._claimed}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        """As of any file."""
        return self._position


def size_of(piece: Piece) -> int:
    """In bytes."""
    return len(piece) if isinstance(piece, bytes) else piece[1] - piece[0]
