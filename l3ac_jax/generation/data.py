"""Batches of tokens out of folders of them, each batch known by its step alone."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Int32, Shaped

from l3ac_jax.errors import ConfigError, TokenDatasetError
from l3ac_jax.model.levels import levels_to_tokens
from l3ac_jax.tokens.dataset.index import Description
from l3ac_jax.tokens.dataset.reader import TokenDataset, TokenRow, open_tokens
from l3ac_jax.tokens.dataset.windows import TokenWindows

__all__ = ["Batch", "Batches", "RecordingBatches", "WindowBatches", "kept_levels"]


class Batch(NamedTuple):
    """Rows of tokens; of labelled recordings also each one's label, and which tokens are its own.

    What lies behind a recording's end is not its own, and counts nowhere.
    """

    tokens: Int32[np.ndarray, "*batch length"]
    label: Int32[np.ndarray, "*batch"] | None = None
    exists: Bool[np.ndarray, "*batch length"] | None = None


def stacked(rows: Sequence[Batch]) -> Batch:
    """Single rows as one batch."""
    return jax.tree.map(lambda *values: np.stack(values), *rows)


def kept_levels(levels: Sequence[int], dimensions: int | None) -> tuple[int, ...]:
    """Those of the first `dimensions`, or all. Raises ConfigError where there are not so many."""
    if dimensions is not None and dimensions > len(levels):
        raise ConfigError(
            f"data.dimensions: {dimensions}, and the codec's quantizer has {len(levels)}"
        )
    return tuple(levels[:dimensions])


class Batches(ABC):
    """Rows of `length` tokens out of folders of tokens, one codec's, in batches.

    Rows of all folders are shuffled together, in each epoch anew; batch number n is the same
    wherever training was stopped. Of tokens, `dimensions` of the quantizer are kept, its first
    ones, or all. Raises TokenDatasetError for folders of several codecs, and where there is less
    than a batch; ConfigError for more dimensions than there are.
    """

    what: str
    """what a row is, as a message has it"""

    def __init__(
        self,
        folders: Sequence[str],
        length: int,
        batch_size: int,
        seed: int,
        dimensions: int | None = None,
    ):
        self._opened: list[TokenDataset] = [open_tokens(folder) for folder in folders]
        self.description: Description = self._opened[0].index.description
        for folder, data in zip(folders, self._opened, strict=True):
            if data.index.format != self.description.format:
                raise TokenDatasetError(
                    f"{folder}: holds tokens of another codec ({data.index.model}) than "
                    f"{folders[0]} ({self.description.model})"
                )
        self.levels = kept_levels(self.description.format.levels, dimensions)
        self._length, self._batch_size, self._seed = length, batch_size, seed
        self._ends = np.cumsum([self._rows_of(data) for data in self._opened])
        if len(self) < batch_size:
            raise TokenDatasetError(
                f"{', '.join(folders)}: {len(self)} {self.what.format(length)}, and a batch needs "
                f"{batch_size}"
            )

    @abstractmethod
    def _rows_of(self, data: TokenDataset) -> int:
        """How many rows a folder has."""

    @abstractmethod
    def _row(self, folder: int, number: int) -> Batch:
        """A row of a folder, without a batch's axis."""

    def __len__(self) -> int:
        """Rows, of all folders."""
        return int(self._ends[-1])

    def __getitem__(self, number: int) -> Batch:
        """A row, in the order of the folders, without a batch's axis."""
        folder = int(np.searchsorted(self._ends, number, side="right"))
        return self._row(folder, number - (int(self._ends[folder - 1]) if folder else 0))

    def batches(self, start: int = 0) -> Iterator[Batch]:
        """Without end, from batch number `start` on."""
        in_epoch = len(self) // self._batch_size
        while True:
            epoch, first = divmod(start, in_epoch)
            order = np.random.default_rng((self._seed, epoch)).permutation(len(self))
            for number in range(first, in_epoch):
                chosen = order[number * self._batch_size : (number + 1) * self._batch_size]
                yield stacked([self[int(row)] for row in chosen])
            start = (epoch + 1) * in_epoch

    def _tokens(self, values: Shaped[np.ndarray, "n ..."]) -> Int32[np.ndarray, " n"]:
        """Tokens of the dimensions that are kept, out of a dataset's tokens or levels."""
        if values.ndim == 2:
            values = levels_to_tokens(values.astype(np.int32), self.description.format.levels)
        # The first dimension counts single steps of the index (see `levels_to_tokens`).
        return (values % math.prod(self.levels)).astype(np.int32)


class WindowBatches(Batches):
    """Rows are windows, of recordings that are joined, so that none is too short."""

    what = "windows of {} tokens"

    def _rows_of(self, data: TokenDataset) -> int:
        return len(self._windows(data))

    def _row(self, folder: int, number: int) -> Batch:
        return Batch(self._tokens(self._windows(self._opened[folder])[number]))

    def _windows(self, data: TokenDataset) -> TokenWindows:
        return data.windows(self._length, joined=True)


class RecordingBatches(Batches):
    """Rows are recordings from their beginning on, cut to `length`, each with a label.

    A label is the folder that a recording lies in, below the one that was encoded. Raises
    TokenDatasetError for recordings in no folder.
    """

    what = "recordings"

    @cached_property
    def labels(self) -> list[str]:
        """Those that there are; a row has the number of its own."""
        return sorted({label for own in self._labels for label in own})

    def number_as(self, labels: Sequence[str]) -> None:
        """Let rows have the numbers of other data's labels. Raises TokenDatasetError for more."""
        if others := [label for label in self.labels if label not in labels]:
            folders = ", ".join(str(data.folder) for data in self._opened)
            raise TokenDatasetError(
                f"{folders}: has labels that the training does not have: {', '.join(others)}"
            )
        self.labels = list(labels)

    def usual_tokens(self) -> Mapping[str, int]:
        """For each label, the median length of its recordings, cut to the context."""
        lengths: dict[str, list[int]] = {label: [] for label in self.labels}
        for data, own in zip(self._opened, self._labels, strict=True):
            for frames, label in zip(data.row_frames, own, strict=True):
                lengths[label].append(min(int(frames), self._length))
        return {label: int(np.median(found)) for label, found in lengths.items()}

    @cached_property
    def _labels(self) -> list[list[str]]:
        """Of each recording, by folder."""
        return [[_label_of(row, data.folder) for row in data] for data in self._opened]

    def _rows_of(self, data: TokenDataset) -> int:
        return len(data)

    def _row(self, folder: int, number: int) -> Batch:
        tokens = self._tokens(self._opened[folder].values(number)[: self._length])
        padding = (0, self._length - len(tokens))
        label = self.labels.index(self._labels[folder][number])
        return Batch(
            np.pad(tokens, padding),
            np.asarray(label, np.int32),
            np.pad(np.ones(len(tokens), bool), padding),
        )


def _label_of(row: TokenRow, folder: Path) -> str:
    label = PurePosixPath(row.path).parent.as_posix()
    if label == ".":
        raise TokenDatasetError(
            f"{folder}: {row.path}: has no label: labelled recordings lie in folders below the one "
            "that is encoded, and each folder is a label"
        )
    return label
