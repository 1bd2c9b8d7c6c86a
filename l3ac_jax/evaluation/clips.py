"""The recordings that an evaluation runs over: audio files below a folder."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from l3ac_jax.audio.endings import AUDIO_ENDINGS
from l3ac_jax.audio.reading import read_audio
from l3ac_jax.audio.resampling import resample
from l3ac_jax.errors import ArgumentError, TreeError
from l3ac_jax.system.trees import find_files

__all__ = ["EvaluationClip", "choose_clips", "find_clips", "read_mono"]


@dataclass(frozen=True)
class EvaluationClip:
    """One file. `name` is its path below the data's folder, `domain` the first part of that.

    A text file beside it with the ending .txt is its transcript.
    """

    name: str
    domain: str
    path: Path

    @property
    def transcript(self) -> str | None:
        """The words that are spoken, None where nobody wrote them down."""
        path = self.path.with_suffix(".txt")
        return path.read_text(encoding="utf-8").strip() if path.is_file() else None

    def checksum(self) -> str:
        """SHA-256 of the file. Raises OSError."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def find_clips(data: str | os.PathLike[str]) -> list[EvaluationClip]:
    """The audio files below a folder, by name, hidden ones left out; or the one file given.

    The domain is the first folder below `data`; that of files directly in it is its own name.
    Raises TreeError if there are none, or a folder cannot be read.
    """
    data = Path(data)
    if data.is_file():
        return [EvaluationClip(data.name, data.resolve().parent.name, data)]
    if not data.is_dir():
        raise TreeError(f"{data}: is neither a folder nor a file")
    found = find_files(data, AUDIO_ENDINGS)
    if found.unreadable:
        raise found.unreadable[0]
    own = data.resolve().name
    clips = [
        EvaluationClip(file.as_posix(), file.parts[0] if len(file.parts) > 1 else own, data / file)
        for file in found.files
    ]
    return sorted(clips, key=lambda clip: clip.name)


def choose_clips(
    clips: Sequence[EvaluationClip], count: int | None, seed: int
) -> list[EvaluationClip]:
    """`count` of the clips, drawn at random from the domains in turn; all of them for None."""
    if count is None or count >= len(clips):
        return list(clips)
    if count < 1:
        raise ArgumentError(f"at least 1 clip is needed: got {count}")
    random = np.random.default_rng(seed)
    domains: dict[str, list[EvaluationClip]] = {}
    for index in random.permutation(len(clips)):
        domains.setdefault(clips[index].domain, []).append(clips[index])
    queues = [domains[name] for name in sorted(domains)]
    chosen: list[EvaluationClip] = []
    while len(chosen) < count:
        chosen += [queue.pop() for queue in queues if queue][: count - len(chosen)]
    return sorted(chosen, key=lambda clip: clip.name)


def read_mono(
    path: str | os.PathLike[str], sample_rate: int, length: int | None = None
) -> Float[np.ndarray, " time"]:
    """The mean of a file's channels at a sample rate, float32. Raises AudioError.

    With `length` it has so many samples, cut or filled with zeros: between rates, a decoded clip
    may come out a sample longer or shorter than its original.
    """
    audio = read_audio(path)
    mono = audio.samples.mean(axis=0, keepdims=True, dtype=np.float32)
    return resample(mono, audio.sample_rate, sample_rate, length)[0]
