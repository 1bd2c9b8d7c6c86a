"""Folders of tokens that no codec wrote."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from l3ac_jax.tokens.dataset.index import Form, describe
from l3ac_jax.tokens.dataset.writer import TokenWriter
from l3ac_jax.tokens.format import EncodedAudio, TokenFormat

HOP, RATE = 6, 1000  # samples for a token, and in a second


def write_tokens(
    folder: Path,
    rows: Sequence[np.ndarray],
    levels: tuple[int, ...],
    form: Form,
    paths: Sequence[str] | None = None,
) -> None:
    """A recording for each row of tokens; `paths` are theirs, or numbers."""
    format = TokenFormat("00" * 8, "ff" * 8, RATE, HOP, levels)
    folder.mkdir(parents=True)
    writer = TokenWriter(folder, describe("small", format, form), 100, "inputs")
    paths = paths or [f"{number:02}.wav" for number in range(len(rows))]
    for path, row in sorted(zip(paths, rows, strict=True), key=lambda pair: pair[0]):
        encoded = EncodedAudio(row[None].astype(np.int32), HOP * len(row), RATE, "small", format)
        writer.add(path, encoded)
    writer.finish()
