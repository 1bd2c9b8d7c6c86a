"""Folders of tokens that no codec wrote."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from l3ac_jax.tokens.dataset.index import Form, describe
from l3ac_jax.tokens.dataset.writer import TokenWriter
from l3ac_jax.tokens.format import EncodedAudio, TokenFormat

HOP, RATE = 6, 1000  # samples for a token, and in a second


def write_tokens(
    folder: Path, rows: Sequence[np.ndarray], levels: tuple[int, ...], form: Form
) -> None:
    """A recording for each row of tokens."""
    format = TokenFormat("00" * 8, "ff" * 8, RATE, HOP, levels)
    folder.mkdir(parents=True)
    writer = TokenWriter(folder, describe("small", format, form), 100, "inputs")
    for number, row in enumerate(rows):
        encoded = EncodedAudio(row[None].astype(np.int32), HOP * len(row), RATE, "small", format)
        writer.add(f"{number:02}.wav", encoded)
    writer.finish()
