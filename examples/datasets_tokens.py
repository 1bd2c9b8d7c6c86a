"""Tokens of audio files as a column of a Hugging Face dataset, which is computed once.

    pip install l3ac-jax datasets
    python examples/datasets_tokens.py recordings --model small

`map` finds what an earlier run has made by a fingerprint of the function and of what it refers to.
A codec is pickled as configuration, parameters and name: the same in each process, other with other
weights. So a second run reads tokens from the cache, and another model makes them anew.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from datasets import Dataset

import l3ac_jax


def add_tokens(row: dict, codec: l3ac_jax.L3AC) -> dict:
    """The tokens of each channel of a file."""
    return {"tokens": codec.encode_file(row["path"]).tokens.tolist()}


def main() -> None:
    """Encode all WAV and FLAC files of a folder."""
    parser = argparse.ArgumentParser(description="Tokens of audio files as a column of a dataset.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="small")
    options = parser.parse_args()
    paths = sorted(path for path in options.folder.rglob("*") if path.suffix in (".wav", ".flac"))
    if not paths:
        raise SystemExit(f"{options.folder}: has no WAV and no FLAC files")
    # The size and time of change, so that a file which was replaced is encoded again.
    stats = [path.stat() for path in paths]
    columns = {
        "path": [str(path.resolve()) for path in paths],
        "size": [stat.st_size for stat in stats],
        "changed": [stat.st_mtime_ns for stat in stats],
    }
    files = Dataset.from_dict(columns)
    codec = l3ac_jax.get_model(options.model)
    # Beside the files: what was made in memory has no folder of its own to be found in.
    cache = options.folder / ".tokens"
    cache.mkdir(exist_ok=True)
    task = partial(add_tokens, codec=codec)
    name = str(cache / f"{fingerprint(files, task)}.arrow")
    tokens = files.map(task, cache_file_name=name)
    print(f"{len(tokens)} files, {sum(len(row[0]) for row in tokens['tokens'])} tokens")


def fingerprint(files: Dataset, task: partial) -> str:
    """Other for other files, code or weights, and the same in each process."""
    from datasets.fingerprint import Hasher

    return Hasher.hash([files.to_dict(), task])


if __name__ == "__main__":
    main()
