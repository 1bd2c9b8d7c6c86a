"""Audio files block by block, so that memory does not grow with their length.

All blocks together are what `read_audio` and `resample` give at once.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import numpy as np
import soundfile
import soxr
from jaxtyping import Float

from l3ac_jax.audio.files import open_audio
from l3ac_jax.errors import AudioError

__all__ = ["AudioReader", "Resampler", "open_reader"]

BLOCK = 65536  # samples a channel: at 44.1 kHz 1.5 s


class Resampler:
    """Converts audio that comes in blocks between sample rates in Hz (soxr, very high quality).

    All that comes out has `length` samples, cut or filled with zeros, or
    ceil(time * to_rate / from_rate) of the time that went in.
    """

    def __init__(self, channels: int, from_rate: int, to_rate: int, length: int | None = None):
        self._rates = from_rate, to_rate
        self._length = length
        self._pushed = self._given = 0
        self._channels = channels
        self._stream = None
        if from_rate != to_rate:
            self._stream = soxr.ResampleStream(from_rate, to_rate, channels, quality="VHQ")

    def push(self, block: Float[np.ndarray, "C T"]) -> Float[np.ndarray, "C T2"]:
        """What is known now and was not before."""
        self._pushed += block.shape[1]
        return self._cut(self._converted(block, last=False))

    def finish(self) -> Float[np.ndarray, "C T2"]:
        """What is left, after the last block."""
        rest = self._cut(self._converted(np.zeros((self._channels, 0), np.float32), last=True))
        from_rate, to_rate = self._rates
        length = self._length
        if length is None:
            length = -(-self._pushed * to_rate // from_rate)
        return np.pad(rest, ((0, 0), (0, length - self._given)))

    def _converted(self, block: np.ndarray, last: bool) -> np.ndarray:
        if self._stream is None:
            return block
        interleaved = np.ascontiguousarray(block.T, dtype=np.float32)
        return np.ascontiguousarray(self._stream.resample_chunk(interleaved, last=last).T)

    def _cut(self, block: np.ndarray) -> np.ndarray:
        if self._length is not None:
            block = block[:, : self._length - self._given]
        self._given += block.shape[1]
        return block


class AudioReader:
    """An open audio file: `format` and `subtype` are soundfile's names (WAV, PCM_16)."""

    def __init__(self, file: soundfile.SoundFile, name: str):
        self._file = file
        self._name = name
        self.sample_rate: int = file.samplerate
        self.channels: int = file.channels
        self.format: str = file.format
        self.subtype: str = file.subtype
        self.samples = 0  # a channel, read so far

    @property
    def expected_samples(self) -> int:
        """Samples a channel as the file's header has them."""
        return self._file.frames

    def blocks(self, rate: int | None = None) -> Iterator[Float[np.ndarray, "C T"]]:
        """The audio from the first sample to the last, float32, at `rate` Hz or as it is.

        Raises AudioError where there is no audio, where it is damaged, or NaN or infinite.
        """
        rate = rate or self.sample_rate
        resampler = Resampler(self.channels, self.sample_rate, rate)
        while True:
            block = self._file.read(BLOCK, dtype="float32", always_2d=True)
            if len(block) == 0:
                break
            if not np.isfinite(block).all():
                raise AudioError(f"{self._name}: holds samples that are NaN or infinite")
            self.samples += len(block)
            converted = resampler.push(np.ascontiguousarray(block.T))
            if converted.size:
                yield converted
        if self.samples == 0:
            raise AudioError(f"{self._name}: holds no audio (0 samples)")
        rest = resampler.finish()
        if rest.size:
            yield rest


@contextlib.contextmanager
def open_reader(
    path: str | os.PathLike[str], stream: BinaryIO | None = None
) -> Iterator[AudioReader]:
    """An audio file to read block by block.

    With `stream`, that is read from its start, and `path` only says where it comes from.

    Raises AudioError for what is missing, empty or not audio, also from within the `with` block.
    """
    if stream is not None:
        stream.seek(0)  # it may have been read before
    with open_audio(path, stream) as file:
        yield AudioReader(file, str(path))


def joined(blocks: Iterable[Float[np.ndarray, "C T"]]) -> Float[np.ndarray, "C T"]:
    """All blocks in one array."""
    return np.concatenate(list(blocks), axis=1)
