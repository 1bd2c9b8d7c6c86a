"""Audio files out, complete or not at all. Arrays are float32, (channels, time), in WAV's order."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import soundfile
from jaxtyping import Float

from l3ac_jax.audio.channels import vorbis_order
from l3ac_jax.audio.decoding import Decoder
from l3ac_jax.audio.formats import FORMATS, UNCLIPPED_SUBTYPES, check_limits, choose_subtype
from l3ac_jax.errors import AudioError
from l3ac_jax.system.files import check_output, complete_file

__all__ = ["AudioWriter", "check_audio_format", "check_audio_output", "open_writer", "write_audio"]

# libsndfile's Vorbis encoder puts a whole write on the stack: long files must come in pieces.
WRITE_BLOCK = 65536  # values of all channels
# RIFF counts bytes in 32 bits. RF64, the same with 64, takes its place where that is not enough.
RIFF_BYTES = 2**32 - 2**16
HEAD_BYTES = 256  # what comes before the samples
SAMPLE_BYTES = {"PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}  # the others have at most 2


def check_audio_output(
    path: str | os.PathLike[str], channels: int, sample_rate: int, subtype: str, overwrite: bool
) -> None:
    """Find out before the work whether write_audio can succeed. Raises AudioError, OutputError."""
    check_output(path, overwrite)
    check_audio_format(path, channels, sample_rate, subtype)


def check_audio_format(
    path: str | os.PathLike[str], channels: int, sample_rate: int, subtype: str
) -> None:
    """Raise AudioError where the format of the name's ending cannot hold such audio."""
    check_limits(path, channels, sample_rate, subtype)
    try:
        with _open_for_writing(io.BytesIO(), path, channels, sample_rate, subtype):
            pass
    except soundfile.LibsndfileError as error:
        raise _cannot_write(path, channels, sample_rate, subtype, error) from error


def write_audio(
    path: str | os.PathLike[str],
    samples: Float[np.ndarray, "channels time"],
    sample_rate: int,
    subtype: str | None = None,
    overwrite: bool = False,
) -> None:
    """Write a file in the format of its name's ending, complete or not at all.

    What cannot hold values beyond [-1, 1] gets them clipped. Raises AudioError, OutputError.
    """
    channels, length = samples.shape
    with open_writer(path, channels, sample_rate, length, subtype, overwrite) as writer:
        writer.write(samples)


class AudioWriter:
    """An audio file that is being written; values that it cannot hold are clipped."""

    def __init__(self, file: soundfile.SoundFile, stream: _Stream):
        self._file, self._stream = file, stream
        self._clips = file.subtype not in UNCLIPPED_SUBTYPES
        self._order = vorbis_order(file.format, file.subtype, file.channels)
        self.samples = 0  # a channel, written so far

    def write(self, block: Float[np.ndarray, "channels time"]) -> None:
        """Append samples. Raises OSError, as on a full disk."""
        if self._order is not None:
            block = block[self._order]
        step = max(1, WRITE_BLOCK // len(block))
        for start in range(0, block.shape[-1], step):
            samples = block[:, start : start + step].T
            self._file.write(np.clip(samples, -1, 1) if self._clips else samples)
            self._stream.check()
        self.samples += block.shape[-1]


class _Stream:
    """What libsndfile writes to. Errors in its callbacks would be printed, and nothing more."""

    def __init__(self, stream: BinaryIO):
        self._stream = stream
        self._error: OSError | None = None

    def check(self) -> None:
        """Raise the first error that there was."""
        if self._error is not None:
            raise self._error

    def write(self, data: bytes) -> int:
        with self._keeping_errors():
            self._stream.write(data)
        return len(data)

    def read(self, size: int) -> bytes:
        with self._keeping_errors():
            return self._stream.read(size)
        return bytes(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        with self._keeping_errors():
            self._stream.seek(offset, whence)
        return self.tell()

    def tell(self) -> int:
        with self._keeping_errors():
            return self._stream.tell()
        return 0

    @contextlib.contextmanager
    def _keeping_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._error = self._error or error


@contextlib.contextmanager
def open_writer(
    path: str | os.PathLike[str],
    channels: int,
    sample_rate: int,
    length: int,
    subtype: str | None = None,
    overwrite: bool = False,
) -> Iterator[AudioWriter]:
    """A file for `length` samples a channel, which is there when the block ends well.

    Its format is that of its name's ending; otherwise as `write_audio`.
    """
    subtype = subtype or choose_subtype(path)
    check_limits(path, channels, sample_rate, subtype)
    try:
        with (
            complete_file(path, overwrite) as temporary,
            temporary.open("w+b") as opened,
            _open_for_writing(
                stream := _Stream(opened), path, channels, sample_rate, subtype, length
            ) as file,
        ):
            stream.check()
            writer = AudioWriter(file, stream)
            yield writer
            file.close()
            stream.check()
            _forget_time(opened)
            _check_length(opened, path, writer.samples)
    except soundfile.LibsndfileError as error:
        raise _cannot_write(path, channels, sample_rate, subtype, error) from error


def _open_for_writing(
    stream: BinaryIO | _Stream,
    path: str | os.PathLike[str],
    channels: int,
    sample_rate: int,
    subtype: str,
    length: int = 0,
) -> soundfile.SoundFile:
    container, _ = FORMATS[Path(path).suffix.lower()]
    if container == "WAV" and length * channels * SAMPLE_BYTES.get(subtype, 2) > RIFF_BYTES:
        container = "RF64"
    return soundfile.SoundFile(
        cast(BinaryIO, stream), "w", sample_rate, channels, format=container, subtype=subtype
    )


def _forget_time(stream: BinaryIO) -> None:
    """Clear when a WAV file was written: the same audio makes the same file.

    libsndfile gives files of floating-point samples a PEAK chunk: version, time, peaks.
    """
    stream.seek(0)
    head = stream.read(HEAD_BYTES)
    place = head.find(b"PEAK")
    if head[:4] in (b"RIFF", b"RF64") and place >= 0:
        stream.seek(place + 12)
        stream.write(bytes(4))


def _check_length(stream: BinaryIO, path: str | os.PathLike[str], samples: int) -> None:
    """What was written is what will be read."""
    if samples == 0:
        return
    decoder = Decoder(stream)
    decoder.close()
    if decoder.expected_samples != samples:
        raise AudioError(
            f"{path}: would hold {decoder.expected_samples} samples instead of {samples}: "
            "another format may do"
        )


def _cannot_write(
    path: str | os.PathLike[str],
    channels: int,
    sample_rate: int,
    subtype: str,
    error: soundfile.LibsndfileError,
) -> AudioError:
    reason = error.error_string.strip().removeprefix("Error : ").rstrip(".")
    what = f"{channels} channels at {sample_rate} Hz as {subtype}"
    return AudioError(f"{path}: cannot hold {what}: {reason}")
