"""Audio files in and out, and sample rate conversion. Arrays are float32, (channels, time)."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, cast

import numpy as np
import soundfile
import soxr
from jaxtyping import Float

from l3ac_jax.errors import AudioError
from l3ac_jax.system.files import check_output, complete_file

# What a name's ending stands for: a container and its usual sample format, as soundfile has them.
FORMATS = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".oga": ("OGG", "VORBIS"),
    ".opus": ("OGG", "OPUS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
}
# Sample formats that mean the same in every container that has them. The others (MP3 inside WAV is
# possible, for one) are kept only where the container stays the same.
PORTABLE_SUBTYPES = {"PCM_U8", "PCM_S8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"}
UNCLIPPED_SUBTYPES = {"FLOAT", "DOUBLE"}
# libsndfile's Vorbis encoder puts a whole write on the stack: long files must come in pieces.
WRITE_BLOCK = 65536
# RIFF counts bytes in 32 bits. RF64, the same with 64, takes its place where that is not enough.
RIFF_BYTES = 2**32 - 2**16
HEAD_BYTES = 256  # what comes before the samples
SAMPLE_BYTES = {"PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}  # the others have at most 2


class SampleFormat(Protocol):
    """How audio is kept: soundfile's names of a container and a sample format (WAV, PCM_16)."""

    @property
    def format(self) -> str: ...

    @property
    def subtype(self) -> str: ...


@dataclass(frozen=True)
class AudioFile:
    """What a file holds, and how: `format` and `subtype` are soundfile's names (WAV, PCM_16)."""

    samples: Float[np.ndarray, "channels time"]
    sample_rate: int
    format: str
    subtype: str


def read_audio(path: str | os.PathLike[str]) -> AudioFile:
    """Read a whole WAV, FLAC, OGG or MP3 file (or what else libsndfile reads).

    Raises AudioError for what is missing, empty, not audio, damaged, or holds NaN or infinity.
    """
    with open_audio(path) as file:
        samples = file.read(dtype="float32", always_2d=True)
        audio = AudioFile(
            np.ascontiguousarray(samples.T), file.samplerate, file.format, file.subtype
        )
    if audio.samples.size == 0:
        raise AudioError(f"{path}: holds no audio (0 samples)")
    if not np.isfinite(audio.samples).all():
        raise AudioError(f"{path}: holds samples that are NaN or infinite")
    return audio


@contextlib.contextmanager
def open_audio(
    path: str | os.PathLike[str], stream: BinaryIO | None = None
) -> Iterator[soundfile.SoundFile]:
    """A file to read from, its format known by its content, whatever it is called.

    With `stream`, that is read, and `path` only says where it comes from. Raises AudioError for
    what is missing, empty or not audio, also when reading shows it inside the `with` block.
    """
    try:
        with contextlib.ExitStack() as stack:
            if stream is None:
                stream = stack.enter_context(_open_existing(Path(path)))
            if isinstance(stream, io.BytesIO):
                file = soundfile.SoundFile(stream)
            else:
                # libsndfile draws conclusions from a name: a descriptor has none.
                file = soundfile.SoundFile(stream.fileno(), closefd=False)
            yield stack.enter_context(file)
    except soundfile.LibsndfileError as error:
        reason = error.error_string.strip().removeprefix("Error : ").rstrip(".")
        raise AudioError(f"{path}: is not an audio file that can be read: {reason}") from error


def _open_existing(path: Path) -> BinaryIO:
    try:
        if not path.exists():
            raise AudioError(f"{path}: does not exist")
        if not path.is_file():
            raise AudioError(f"{path}: is {'a folder' if path.is_dir() else 'not a regular file'}")
        if path.stat().st_size == 0:
            raise AudioError(f"{path}: is an empty file")
        return path.open("rb")
    except OSError as error:
        raise AudioError(f"{path}: cannot be read: {error.strerror or error}") from error


def resample(
    samples: Float[np.ndarray, "channels time"],
    from_rate: int,
    to_rate: int,
    length: int | None = None,
) -> Float[np.ndarray, "channels new_time"]:
    """Convert between sample rates in Hz (soxr, very high quality).

    The result has `length` samples, cut or filled with zeros, or ceil(time * to_rate / from_rate).
    """
    if length is None:
        length = -(-samples.shape[-1] * to_rate // from_rate)
    if from_rate != to_rate:
        samples = soxr.resample(samples.T, from_rate, to_rate, quality="VHQ").T
    samples = samples[:, :length]
    missing = length - samples.shape[-1]
    return np.ascontiguousarray(np.pad(samples, ((0, 0), (0, missing))), dtype=np.float32)


def choose_subtype(path: str | os.PathLike[str], like: SampleFormat | None = None) -> str:
    """The sample format for a file of this name: that of `like` if the container has it.

    Raises AudioError when the name's ending says no container that is known here.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        known = ", ".join(FORMATS)
        raise AudioError(f"{path}: the ending {suffix!r} is no known audio format (known: {known})")
    container, usual = FORMATS[suffix]
    if (
        like is not None
        and suffix != ".opus"
        and (like.format == container or like.subtype in PORTABLE_SUBTYPES)
        and soundfile.check_format(container, like.subtype)
    ):
        return like.subtype
    return usual


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

    def __init__(self, file: soundfile.SoundFile, stream: _Stream, clips: bool):
        self._file, self._stream, self._clips = file, stream, clips

    def write(self, block: Float[np.ndarray, "channels time"]) -> None:
        """Append samples. Raises OSError, as on a full disk."""
        for start in range(0, block.shape[-1], WRITE_BLOCK):
            samples = block[:, start : start + WRITE_BLOCK].T
            self._file.write(np.clip(samples, -1, 1) if self._clips else samples)
            self._stream.check()


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
    try:
        with (
            complete_file(path, overwrite) as temporary,
            temporary.open("w+b") as opened,
            _open_for_writing(
                stream := _Stream(opened), path, channels, sample_rate, subtype, length
            ) as file,
        ):
            stream.check()
            yield AudioWriter(file, stream, clips=subtype not in UNCLIPPED_SUBTYPES)
            file.close()
            stream.check()
            _forget_time(opened)
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
