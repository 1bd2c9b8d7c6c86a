"""Tokens of clips in a file, to be compared with what another machine or setting makes of them.

A NumPy archive (.npz): an array of (tokens, dimensions) for each codec and clip.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from l3ac_jax.errors import SourceError
from l3ac_jax.evaluation.tokenizers import Tokens
from l3ac_jax.system.files import complete_file

__all__ = ["load_tokens", "save_tokens"]

Clips = Mapping[str, Tokens]


def save_tokens(
    path: str | os.PathLike[str], tokens: Mapping[str, Clips], overwrite: bool = False
) -> None:
    """Of each codec by name, of each clip by name. Raises OutputError."""
    arrays = {
        _key(codec, clip): values
        for codec, clips in tokens.items()
        for clip, values in clips.items()
    }
    with complete_file(path, overwrite) as part, part.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def load_tokens(path: str | os.PathLike[str], codec: str, clips: Sequence[str]) -> list[Tokens]:
    """A codec's, of `clips` in turn. Raises SourceError: no such file, no tokens, one missing."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            keys = [_key(codec, clip) for clip in clips]
            found = {key: archive[key] for key in keys if key in archive}
    except FileNotFoundError:
        raise SourceError(f"{path}: no such file") from None
    # Whatever NumPy makes of another file.
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error):
        raise SourceError(f"{path}: no tokens, which --keep-tokens writes") from None
    for clip in clips:
        if _key(codec, clip) not in found:
            raise SourceError(
                f"{path}: no tokens of {codec} of the clip {clip}: the same models and clips are "
                "needed, and the same --clips and --seed"
            )
    return [found[key] for key in keys]


def _key(codec: str, clip: str) -> str:
    return f"{codec}: {clip}"
