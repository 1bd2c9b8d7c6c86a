"""Windows of tokens as batches, each known by its step alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Int32

from l3ac_jax.errors import ConfigError, TokenDatasetError
from l3ac_jax.model.levels import levels_to_tokens
from l3ac_jax.tokens.dataset.index import Description
from l3ac_jax.tokens.dataset.reader import open_tokens
from l3ac_jax.tokens.dataset.windows import TokenWindows

__all__ = ["WindowBatches", "kept_levels"]


def kept_levels(levels: Sequence[int], dimensions: int | None) -> tuple[int, ...]:
    """Those of the first `dimensions`, or all. Raises ConfigError where there are not so many."""
    if dimensions is not None and dimensions > len(levels):
        raise ConfigError(
            f"data.dimensions: {dimensions}, and the codec's quantizer has {len(levels)}"
        )
    return tuple(levels[:dimensions])


class WindowBatches:
    """Batches of windows of `length` tokens out of folders of tokens, one codec's.

    Windows of all folders are shuffled together, in each epoch anew; batch number n is the same
    wherever training was stopped. Recordings are joined, so that none is too short. Of tokens,
    `dimensions` of the quantizer are kept, its first ones, or all. Raises TokenDatasetError for
    folders of several codecs, and where there is less than a batch; ConfigError for more dimensions
    than there are.
    """

    def __init__(
        self,
        folders: Sequence[str],
        length: int,
        batch_size: int,
        seed: int,
        dimensions: int | None = None,
    ):
        opened = [open_tokens(folder) for folder in folders]
        self.description: Description = opened[0].index.description
        for folder, data in zip(folders, opened, strict=True):
            if data.index.format != self.description.format:
                raise TokenDatasetError(
                    f"{folder}: holds tokens of another codec ({data.index.model}) than "
                    f"{folders[0]} ({self.description.model})"
                )
        self.levels = kept_levels(self.description.format.levels, dimensions)
        self._windows: list[TokenWindows] = [data.windows(length, joined=True) for data in opened]
        self._ends = np.cumsum([len(windows) for windows in self._windows])
        self._batch_size, self._seed = batch_size, seed
        if len(self) < batch_size:
            raise TokenDatasetError(
                f"{', '.join(folders)}: {len(self)} windows of {length} tokens, and a batch needs "
                f"{batch_size}"
            )

    def __len__(self) -> int:
        """Windows, of all folders."""
        return int(self._ends[-1])

    def batches(self, start: int = 0) -> Iterator[Int32[np.ndarray, "batch length"]]:
        """Without end, from batch number `start` on."""
        in_epoch = len(self) // self._batch_size
        while True:
            epoch, first = divmod(start, in_epoch)
            order = np.random.default_rng((self._seed, epoch)).permutation(len(self))
            for number in range(first, in_epoch):
                chosen = order[number * self._batch_size : (number + 1) * self._batch_size]
                yield np.stack([self[int(window)] for window in chosen])
            start = (epoch + 1) * in_epoch

    def __getitem__(self, number: int) -> Int32[np.ndarray, " length"]:
        """A window as tokens, in the order of the folders."""
        folder = int(np.searchsorted(self._ends, number, side="right"))
        window = self._windows[folder][number - (int(self._ends[folder - 1]) if folder else 0)]
        if window.ndim == 2:
            window = levels_to_tokens(window.astype(np.int32), self.description.format.levels)
        # The first dimension counts single steps of the index (see `levels_to_tokens`).
        return (window % math.prod(self.levels)).astype(np.int32)
