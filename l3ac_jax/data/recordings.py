"""Recordings as publishers ship them -> pieces of 16-bit mono at the rate of the corpus."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Float, Int16

from l3ac_jax.audio.damage import OnDamage, warn_of_damage
from l3ac_jax.audio.reading import open_reader
from l3ac_jax.audio.resampling import Resampler
from l3ac_jax.config.data import Split
from l3ac_jax.data.clip import FULL_SCALE
from l3ac_jax.errors import AudioError, SourceError
from l3ac_jax.system.remote import fetched_file


@dataclass(frozen=True)
class Recording:
    """One file of a corpus, or one member of an uncompressed tar archive.

    `bytes` is its size, from `offset` on in `path`, None if there was no such file when the corpus
    was listed; an `id` is unique in its corpus; `source` is the place in the publisher's layout. A
    `path` that is text is a URL.
    """

    id: str
    split: Split
    source: str
    path: Path | str
    bytes: int | None
    offset: int | None = None
    text: str | None = None


@dataclass(frozen=True)
class Cut:
    """How recordings become clips. Lengths in seconds, levels relative to full scale.

    A recording longer than `piece_seconds` becomes consecutive pieces of that length; a rest that
    would be shorter than `min_seconds` stays with the piece before it, so that nothing is lost.
    Shorter clips, and clips that never exceed `silence`, are not used.
    """

    sample_rate: int
    min_seconds: float
    silence: float
    piece_seconds: float | None = None


class UnusableError(ValueError):
    """Why a recording or a piece is not used."""


def read_pieces(
    recording: Recording, cut: Cut, on_damage: OnDamage = warn_of_damage
) -> list[Int16[np.ndarray, " time"]]:
    """The pieces of a recording: channels averaged, resampled by soxr VHQ, rounded to 16 bits.

    A piece whose peak exceeds full scale (lossy formats overshoot) is scaled to it. Of a recording
    that is not whole, what can be decoded is used, and `on_damage` is told what is missing. Raises
    UnusableError with the reason, SourceError if the fault is not the recording's; memory is that
    of the pieces.
    """
    pieces: list[np.ndarray] = []
    pending: list[np.ndarray] = []
    held = 0
    least = max(1, round(cut.min_seconds * cut.sample_rate))
    length = round(cut.piece_seconds * cut.sample_rate) if cut.piece_seconds else None
    try:
        for block in _resampled_blocks(recording, cut.sample_rate, on_damage):
            pending.append(block)
            held += len(block)
            while length and held >= length + least:
                joined = np.concatenate(pending)
                pieces.append(_to_int16(joined[:length]))
                pending = [joined[length:]]
                held -= length
    except AudioError as error:
        if isinstance(error.__cause__, OSError):
            raise SourceError(str(error)) from error
        # The message begins with the path, which the list of skipped files has in its own column.
        raise UnusableError(str(error).removeprefix(f"{recording.path}: ")) from None
    if held < least:
        seconds = held / cut.sample_rate
        reason = "holds no audio" if held == 0 else f"too short: {seconds:.3f} s"
        raise UnusableError(reason)
    pieces.append(_to_int16(np.concatenate(pending)))
    return pieces


def is_silent(samples: Int16[np.ndarray, " time"], cut: Cut) -> bool:
    return int(np.abs(samples.astype(np.int32)).max()) <= cut.silence * FULL_SCALE


def _resampled_blocks(
    recording: Recording, sample_rate: int, on_damage: OnDamage
) -> Iterator[Float[np.ndarray, " time"]]:
    """All of a recording: its channels are averaged before their rate is converted."""
    path = recording.path
    with _stream(recording) as stream, open_reader(path, stream, on_damage) as reader:
        resampler = Resampler(1, reader.sample_rate, sample_rate)
        for block in reader.blocks():
            yield resampler.push(block.mean(axis=0, keepdims=True))[0]
        yield resampler.finish()[0]


def _stream(recording: Recording) -> BinaryIO:
    """The content of a file, or of a member of an archive."""
    if recording.bytes is None:
        raise UnusableError("does not exist")
    if recording.bytes == 0:
        raise UnusableError("is an empty file")
    if isinstance(recording.path, str):
        return fetched_file(recording.path)
    try:
        file = recording.path.open("rb")
        if recording.offset is None:
            return file
        with file:
            file.seek(recording.offset)
            content = file.read(recording.bytes)
    except PermissionError:
        raise UnusableError("may not be read") from None
    except OSError as error:
        raise SourceError(f"{recording.path}: cannot be read: {error.strerror}") from error
    if len(content) < recording.bytes:
        raise SourceError(f"{recording.path}: has become shorter")
    return io.BytesIO(content)


def _to_int16(samples: Float[np.ndarray, " time"]) -> Int16[np.ndarray, " time"]:
    """Exact for what was 16-bit before."""
    scaled = samples.astype(np.float64) * FULL_SCALE
    peak = np.abs(scaled).max()
    if peak > FULL_SCALE:
        scaled *= (FULL_SCALE - 1) / peak
    return np.clip(np.rint(scaled), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
