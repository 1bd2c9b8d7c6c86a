"""Training sequences of one length out of a dataset of tokens."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from functools import cached_property
from typing import Protocol

import numpy as np
from jaxtyping import Int64, Shaped

from l3ac_jax.errors import ArgumentError
from l3ac_jax.tokens.dataset.index import Index

__all__ = ["TokenWindows"]

Window = Shaped[np.ndarray, "length ..."]


class Rows(Protocol):
    """What windows need of a dataset."""

    @property
    def index(self) -> Index:
        """What the values mean."""
        ...

    @cached_property
    def row_frames(self) -> Int64[np.ndarray, " rows"]:
        """The length of each row."""
        ...

    def values(self, row: int) -> Shaped[np.ndarray, "frames ..."]:
        """The tokens, or levels, of a row."""
        ...


class TokenWindows:
    """Windows of `length` frames: made by `TokenDataset.windows`.

    A window is an array of its own, (length,) and int32 for tokens, (length, dimensions) and uint8
    for levels. `len` and indexing go in the order of the dataset: what the samplers of PyTorch and
    Grain take. `epoch` gives them in the order of the seed, and can begin anywhere, so that the
    epoch and the number of windows taken are all that a checkpoint of training needs.
    """

    def __init__(
        self,
        dataset: Rows,
        length: int,
        seed: int | None,
        joined: bool,
        separator: int | None,
    ):
        if operator.index(length) < 1:
            raise ArgumentError(f"windows must be at least 1 frame long, got {length}")
        if seed is not None and operator.index(seed) < 0:
            raise ArgumentError(f"seed must be at least 0, got {seed}")
        if separator is not None:
            _check_separator(dataset, joined, separator)
        self._dataset, self._length, self._seed = dataset, length, seed
        self._joined, self._separator = joined, separator
        self._process, self._processes = 0, 1
        frames = dataset.row_frames
        if joined:
            self._ends = np.cumsum(frames + (separator is not None))
            self._total = int(self._ends[-1]) // length if len(frames) else 0
        else:
            self._ends = np.cumsum(frames // length)
            self._total = int(self._ends[-1]) if len(frames) else 0

    def shard(self, process: int, processes: int) -> TokenWindows:
        """The part of one of several processes: all get as many, and none the same.

        Up to `processes` - 1 windows are left out, in each epoch others if they are shuffled.
        Raises ValueError unless 0 <= process < processes.
        """
        if not 0 <= process < processes:
            raise ArgumentError(f"process must be 0 to {processes - 1}, got {process}")
        if self._processes != 1:
            raise ArgumentError("these windows are a part already")
        part = object.__new__(TokenWindows)
        part.__dict__.update(self.__dict__, _process=process, _processes=processes)
        return part

    def __len__(self) -> int:
        return self._total // self._processes

    def __getitem__(self, number: int) -> Window:
        """A window, in the order of the dataset. Raises IndexError."""
        position = operator.index(number)
        if not -len(self) <= position < len(self):
            raise IndexError(f"window {position} of {len(self)}")
        return self._window(position % len(self) * self._processes + self._process)

    def epoch(self, epoch: int = 0, start: int = 0) -> Iterator[Window]:
        """All windows of an epoch but for the first `start`. Raises ValueError.

        The order depends on seed and epoch only; with another number of processes they share the
        same order differently.
        """
        if epoch < 0 or not 0 <= start <= len(self):
            raise ArgumentError(
                f"epoch must be at least 0 and start 0 to {len(self)}, got {epoch} and {start}"
            )
        order = np.arange(self._total)
        if self._seed is not None:
            order = np.random.default_rng((self._seed, epoch)).permutation(self._total)
        mine = order[self._process :: self._processes][start : len(self)]
        return (self._window(int(number)) for number in mine)

    def _window(self, number: int) -> Window:
        if self._joined:
            return self._joined_window(number * self._length)
        row = int(np.searchsorted(self._ends, number, side="right"))
        first = int(self._ends[row - 1]) if row else 0
        begin = (number - first) * self._length
        return self._dataset.values(row)[begin : begin + self._length].copy()

    def _joined_window(self, begin: int) -> Window:
        row = int(np.searchsorted(self._ends, begin, side="right"))
        pieces = []
        missing = self._length
        skipped = begin - (int(self._ends[row - 1]) if row else 0)
        while missing:
            values = self._dataset.values(row)
            for part in (values, self._separator_frame(values)):
                piece = part[skipped : skipped + missing]
                skipped = max(0, skipped - len(part))
                missing -= len(piece)
                pieces.append(piece)
            row += 1
        return np.concatenate(pieces)

    def _separator_frame(self, values: np.ndarray) -> np.ndarray:
        if self._separator is None:
            return values[:0]
        return np.full((1, *values.shape[1:]), self._separator, values.dtype)


def _check_separator(dataset: Rows, joined: bool, separator: int) -> None:
    if not joined:
        raise ArgumentError("a separator stands between joined rows: give joined=True")
    most = np.iinfo(np.int32 if dataset.index.form == "tokens" else np.uint8).max
    least = dataset.index.vocabulary_size
    if not least <= operator.index(separator) <= most:
        raise ArgumentError(f"separator must be {least} to {most}, got {separator}")
