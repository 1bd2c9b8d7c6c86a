"""Rows of numbers that are too many for memory, in a temporary file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float32

from l3ac_jax.errors import SpoolError

__all__ = ["Spool"]

BLOCK_BYTES = 2**22


class Spool:
    """Written once from first to last, then read once. Its file has no name, and ends with it."""

    def __init__(self) -> None:
        try:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115
        except OSError as error:
            raise _cannot(error) from error
        self._width = 0

    def write(self, rows: Float32[np.ndarray, "n width"]) -> None:
        """Append rows, all of one width. Raises SpoolError, for example on a full disk."""
        self._width = rows.shape[1]
        try:
            self._file.write(np.ascontiguousarray(rows, np.float32).data)
        except OSError as error:
            raise _cannot(error) from error

    def read(self) -> Iterator[Float32[np.ndarray, "n width"]]:
        """All rows, in blocks of some megabytes."""
        try:
            self._file.seek(0)  # which also writes what is buffered
            row = 4 * self._width
            while block := self._file.read(max(1, BLOCK_BYTES // row) * row):
                yield np.frombuffer(block, np.float32).reshape(-1, self._width)
        except OSError as error:
            raise _cannot(error) from error

    def close(self) -> None:
        """Give its space back."""
        self._file.close()


def _cannot(error: OSError) -> SpoolError:
    return SpoolError(
        f"{tempfile.gettempdir()}: cannot hold the temporary files of a long recording "
        f"({error.strerror or error}): TMPDIR names another folder"
    )
