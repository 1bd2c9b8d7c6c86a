"""Samples in pipes: raw PCM, and WAV whose length nobody knows. Arrays are (channels, time)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO, Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Float

from l3ac_jax.errors import AudioError

__all__ = ["Encoding", "PcmFormat", "from_bytes", "read_wav_header", "to_bytes", "wav_header"]

Encoding = Literal["s16le", "f32le"]
"""16 bits, signed, or 32-bit floats; little-endian. Names as in ffmpeg."""

WAVE_PCM, WAVE_FLOAT, WAVE_EXTENSIBLE = 1, 3, 0xFFFE
UNKNOWN_SIZE = 2**32 - 1  # as ffmpeg writes it where it cannot go back
MAX_CHANNELS = 1024
CHUNK_LIMIT = 2**24  # bytes of what comes before the samples
FULL_SCALE = 32768
TYPES = {"s16le": "<i2", "f32le": "<f4"}
TAGS: dict[tuple[int, int], Encoding] = {(WAVE_PCM, 16): "s16le", (WAVE_FLOAT, 32): "f32le"}


class PcmFormat(NamedTuple):
    """How samples are written: their rate is in Hz, those of all channels follow each other."""

    encoding: Encoding
    sample_rate: int
    channels: int

    @property
    def frame_bytes(self) -> int:
        """Of a sample of each channel."""
        return np.dtype(TYPES[self.encoding]).itemsize * self.channels


def from_bytes(data: bytes, form: PcmFormat) -> Float[np.ndarray, "channels time"]:
    """Samples of whole frames, in [-1, 1] where they are integers (float32)."""
    values = np.frombuffer(data, TYPES[form.encoding]).reshape(-1, form.channels).T
    scale = FULL_SCALE if form.encoding == "s16le" else 1
    return np.ascontiguousarray(values, np.float32) / np.float32(scale)


def to_bytes(samples: Float[np.ndarray, "channels time"], encoding: Encoding) -> bytes:
    """Inverse of `from_bytes`; what lies beyond the integers is clipped."""
    values = samples.T
    if encoding == "s16le":
        values = np.clip(np.rint(values * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1)
    return values.astype(TYPES[encoding]).tobytes()


def wav_header(form: PcmFormat) -> bytes:
    """What comes before the samples of a WAV file that ends when the pipe does."""
    tag, bits = next(key for key, encoding in TAGS.items() if encoding == form.encoding)
    rate, size = form.sample_rate, form.frame_bytes
    return (
        struct.pack("<4sI4s", b"RIFF", UNKNOWN_SIZE, b"WAVE")
        + struct.pack("<4sIHHIIHH", b"fmt ", 16, tag, form.channels, rate, rate * size, size, bits)
        + struct.pack("<4sI", b"data", UNKNOWN_SIZE)
    )


def read_wav_header(stream: BinaryIO, name: str) -> tuple[PcmFormat, int | None]:
    """The format and the bytes of the samples, which follow; None where it says none.

    Raises AudioError, which calls it `name`.
    """
    head = stream.read(12)
    if not head:
        raise AudioError(f"{name}: is empty")
    if head[:4] != b"RIFF" or head[8:] != b"WAVE":
        raise AudioError(f"{name}: is no WAV file; of raw samples, --format says which")
    form: PcmFormat | None = None
    for kind, size in _chunks(stream):
        if kind == b"data":
            if form is None:
                raise AudioError(f"{name}: its samples come before their format")
            return form, None if size in (0, UNKNOWN_SIZE) else size
        if size > CHUNK_LIMIT:
            raise AudioError(f"{name}: is damaged in its header")
        content = stream.read(size + size % 2)
        if kind == b"fmt ":
            form = _format(content, name)
    raise AudioError(f"{name}: ends before its samples")


def _chunks(stream: BinaryIO) -> Iterator[tuple[bytes, int]]:
    while len(head := stream.read(8)) == 8:
        yield head[:4], int.from_bytes(head[4:], "little")


def _format(content: bytes, name: str) -> PcmFormat:
    if len(content) < 16:
        raise AudioError(f"{name}: is damaged in its header")
    tag, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", content)
    if tag == WAVE_EXTENSIBLE and len(content) >= 26:
        tag = int.from_bytes(content[24:26], "little")
    if (tag, bits) not in TAGS:
        raise AudioError(
            f"{name}: WAV in a pipe has to hold {' or '.join(get_args(Encoding))}: got {bits} bits "
            f"with tag {tag}; ffmpeg -i IN -f wav - converts it"
        )
    if not 1 <= channels <= MAX_CHANNELS or rate < 1:
        raise AudioError(f"{name}: makes no sense: {channels} channels at {rate} Hz")
    return PcmFormat(TAGS[tag, bits], rate, channels)
