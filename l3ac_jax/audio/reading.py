"""Audio files in, whole or block by block: one reader, so that either gives the same.

Arrays are float32, (channels, time); channels are in WAV's order.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Float

from l3ac_jax.audio.damage import Damage, OnDamage, describe_damage, refuse_damage, warn_of_damage
from l3ac_jax.audio.decoding import Decoder
from l3ac_jax.audio.resampling import Resampler
from l3ac_jax.errors import AudioError

__all__ = ["AudioFile", "AudioReader", "joined", "open_reader", "read_audio"]


@dataclass(frozen=True)
class AudioFile:
    """What a file holds, and how: `format` and `subtype` are soundfile's names (WAV, PCM_16)."""

    samples: Float[np.ndarray, "channels time"]
    sample_rate: int
    format: str
    subtype: str


def read_audio(path: str | os.PathLike[str], strict: bool = False) -> AudioFile:
    """Read a whole WAV, FLAC, OGG or MP3 file (or what else libsndfile reads).

    All that can be decoded is, whatever its headers say of the length. Where something is missing,
    an AudioDamageWarning says how much and where; with `strict` it is a DamagedAudioError. Raises
    AudioError for what is missing, empty, not audio, or holds NaN or infinity.
    """
    with open_reader(path, on_damage=refuse_damage if strict else warn_of_damage) as reader:
        samples = joined(reader.blocks())
        return AudioFile(samples, reader.sample_rate, reader.format, reader.subtype)


MOST_CONVERTED = 2**22  # samples of all channels at once


class AudioReader:
    """An open audio file: `format` and `subtype` are soundfile's names (WAV, PCM_16)."""

    def __init__(self, decoder: Decoder, name: str, on_damage: OnDamage):
        self._decoder, self._name, self._on_damage = decoder, name, on_damage
        self.sample_rate: int = decoder.sample_rate
        self.channels: int = decoder.channels
        self.format: str = decoder.format
        self.subtype: str = decoder.subtype
        self.samples = 0  # a channel, read so far

    @property
    def expected_samples(self) -> int:
        """Samples a channel as the file's header has them: no more than an estimate."""
        return self._decoder.expected_samples

    @property
    def damage(self) -> list[Damage]:
        """What is known to be missing, all of it after the last block."""
        return self._decoder.damage

    def blocks(self, rate: int | None = None) -> Iterator[Float[np.ndarray, "C T"]]:
        """The audio from the first sample to the last, float32, at `rate` Hz or as it is.

        After the last block, what is missing is told. Raises AudioError where there is no audio,
        where it is NaN or infinite, and where the rate cannot be converted.
        """
        rate = rate or self.sample_rate
        with _naming(self._name):
            resampler = Resampler(self.channels, self.sample_rate, rate)
        # At 1 Hz, which any header can claim, a block would become gigabytes at once.
        step = max(1, MOST_CONVERTED * self.sample_rate // (rate * self.channels))
        for block in self._decoded():
            if not np.isfinite(block).all():
                raise AudioError(f"{self._name}: holds samples that are NaN or infinite")
            self.samples += len(block)
            for start in range(0, len(block), step):
                converted = resampler.push(np.ascontiguousarray(block[start : start + step].T))
                if converted.size:
                    yield converted
        if self.samples == 0:
            raise AudioError(f"{self._name}: {self._why_empty()}")
        rest = resampler.finish()
        if rest.size:
            yield rest
        if self.damage:
            self._on_damage(f"{self._name}: {self._description()}")

    def _decoded(self) -> Iterator[np.ndarray]:
        blocks = self._decoder.blocks()
        while True:
            with _naming(self._name):
                block = next(blocks, None)
            if block is None:
                return
            yield block

    def _why_empty(self) -> str:
        if not self.damage:
            return "holds no audio (0 samples)"
        return f"none of its audio can be decoded ({self.damage[0].cause})"

    def _description(self) -> str:
        seconds = self.samples / self.sample_rate
        return describe_damage(self.damage, seconds, self._decoder.missing_seconds)


@contextlib.contextmanager
def open_reader(
    path: str | os.PathLike[str],
    stream: BinaryIO | None = None,
    on_damage: OnDamage = warn_of_damage,
) -> Iterator[AudioReader]:
    """An audio file to read block by block, its format known by its content alone.

    With `stream`, which can seek, that is read, and `path` only says where it comes from.
    `on_damage` gets a sentence where audio is missing; unless given, it gives an
    AudioDamageWarning.

    Raises AudioError for what is missing, empty or not audio, also from within the `with` block.
    """
    with contextlib.ExitStack() as stack:
        with _naming(str(path)):
            if stream is None:
                stream = stack.enter_context(_open_existing(Path(path)))
            decoder = stack.enter_context(contextlib.closing(Decoder(stream)))
        yield AudioReader(decoder, str(path), on_damage)


def joined(blocks: Iterable[Float[np.ndarray, "C T"]]) -> Float[np.ndarray, "C T"]:
    """All blocks in one array."""
    return np.concatenate(list(blocks), axis=1)


@contextlib.contextmanager
def _naming(name: str) -> Iterator[None]:
    """Errors begin with the name; one of the system becomes the cause of an AudioError."""
    try:
        yield
    except AudioError as error:
        raise AudioError(f"{name}: {error}") from error.__cause__
    except OSError as error:
        raise AudioError(f"{name}: cannot be read: {error.strerror or error}") from error


def _open_existing(path: Path) -> BinaryIO:
    if not path.exists():
        raise AudioError("does not exist")
    if not path.is_file():
        raise AudioError(f"is {'a folder' if path.is_dir() else 'not a regular file'}")
    if path.stat().st_size == 0:
        raise AudioError("is an empty file")
    return path.open("rb")
