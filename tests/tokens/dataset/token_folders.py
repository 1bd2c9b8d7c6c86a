"""Datasets of tokens from a stand-in for the codec: without JAX, and quick.

As a program, it writes one and kills itself at a certain moment, for each moment there is.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from l3ac_jax.errors import AudioError
from l3ac_jax.tokens.dataset.encoding import plan_dataset
from l3ac_jax.tokens.dataset.index import Index
from l3ac_jax.tokens.format import EncodedAudio, TokenFormat

FORMAT = TokenFormat("configuration", "weights", 16000, 6, (5, 4, 3))


@dataclass(frozen=True)
class StandIn:
    """What the writer needs to know of a codec."""

    name: str = "stand-in"
    token_format: TokenFormat = FORMAT


def write_sources(folder: Path, recordings: dict[str, tuple[int, int]]) -> Path:
    """A folder of "recordings", of so many channels and frames; without channels they fail."""
    for number, (name, (channels, frames)) in enumerate(recordings.items()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{channels} {frames} {number}")
    return folder


def content(path: Path) -> EncodedAudio:
    """What the stand-in encodes a file to."""
    channels, frames, seed = map(int, path.read_text().split())
    tokens = np.random.default_rng(seed).integers(0, 60, (channels, frames)).astype(np.int32)
    return EncodedAudio(tokens, 6 * frames, 16000, "stand-in", FORMAT)


def encode(
    paths: list[Path], on_damage: Callable[[Path, str], None], backwards: bool = False
) -> Iterator[tuple[Path, EncodedAudio | Exception]]:
    """As `batches.encode_files`, in one order or the other."""
    for path in reversed(paths) if backwards else paths:
        if path.read_text().startswith("0"):
            yield path, AudioError(f"{path}: is no recording")
        else:
            yield path, content(path)


def write(
    source: Path,
    target: Path,
    form="tokens",
    shard_tokens: int = 100,
    overwrite: bool = False,
    codec: StandIn | None = None,
    backwards: bool = False,
) -> Index:
    """Write the dataset, or go on with it."""
    plan = plan_dataset(source, target, {".wav"}, form, shard_tokens, overwrite)
    codec = codec or StandIn()
    return plan.write(
        codec.name, codec.token_format, partial(encode, backwards=backwards), lambda done: None
    )


def files_of(folder: Path) -> dict[str, bytes]:
    """All that is in a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _kill_at(moment: int) -> None:
    """Before the first file is put in its place, after it, before the second..."""
    replace = os.replace
    moments = iter(range(1000))

    def replace_or_die(*paths) -> None:
        if next(moments) == moment:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(*paths)
        if next(moments) == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    os.replace = replace_or_die


if __name__ == "__main__":
    source, targets = map(Path, sys.argv[1:])
    for moment in range(1000):
        child = os.fork()
        if child == 0:
            _kill_at(moment)
            write(source, targets / f"killed-{moment:02d}")
            os._exit(0)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != -signal.SIGKILL:
            break  # it came to its end
