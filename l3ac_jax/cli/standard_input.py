"""Standard input as a stream: whole units of bytes, and samples at a codec's rate, as they come."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, cast

import numpy as np

from l3ac_jax.audio import pcm
from l3ac_jax.audio.pcm import PcmFormat
from l3ac_jax.audio.resampling import Resampler, resampling_seconds
from l3ac_jax.cli.command import note
from l3ac_jax.cli.run import FAILED
from l3ac_jax.errors import ArgumentError, AudioError

if TYPE_CHECKING:
    from l3ac_jax.codec.l3ac import L3AC

__all__ = ["INPUT", "QUALITY", "Pieces", "Samples", "pcm_form", "rate_converter", "reading"]

INPUT = "standard input"
READ_BYTES = 2**16
# Very high quality waits for twice as long.
QUALITY: Literal["HQ"] = "HQ"


class Pieces:
    """Whole units of so many bytes from standard input, as they come."""

    def __init__(self, unit: int, limit: int | None = None):
        self._unit, self._limit = unit, limit
        self._rest = b""
        self.count = 0
        """units so far"""

    def __iter__(self) -> Iterator[bytes]:
        while data := self._read():
            data = self._rest + data
            whole = len(data) - len(data) % self._unit
            self._rest = data[whole:]
            self.count += whole // self._unit
            if whole:
                yield data[:whole]

    def code(self, what: str) -> int:
        """The exit code, at the end of the stream."""
        if not self._rest:
            return 0
        note(f"l3ac-jax: warning: {INPUT}: ends within {what}, which is dropped")
        return FAILED

    def _read(self) -> bytes:
        """What is there. What comes after the limit is read as well: its writer shall not fail."""
        with reading():
            source = cast(io.BufferedReader, sys.stdin.buffer)
            data = source.read1(READ_BYTES)
            if self._limit is None:
                return data
            wanted = data[: self._limit]
            self._limit -= len(wanted)
            while data and not wanted:
                data = source.read1(READ_BYTES)
        return wanted


class Samples:
    """Audio from standard input, at the codec's rate."""

    def __init__(self, codec: L3AC, format: str, rate: int | None, channels: int | None):
        limit = None
        self._raw = format != "wav"
        """and nothing was read yet"""
        if format == "wav":
            if rate is not None or channels is not None:
                raise ArgumentError("a WAV file says its own: leave out --rate and --channels")
            with reading():
                self.form, limit = pcm.read_wav_header(sys.stdin.buffer, INPUT)
        else:
            self.form = pcm_form(
                format, rate, codec.sample_rate, 1 if channels is None else channels
            )
        rates = self.form.sample_rate, codec.sample_rate
        self._resampler = rate_converter(self.form.channels, *rates)
        self.waiting = resampling_seconds(*rates, QUALITY)
        self._pieces = Pieces(self.form.frame_bytes, limit)

    @property
    def count(self) -> int:
        """Samples of each channel so far, at their own rate."""
        return self._pieces.count

    def blocks(self) -> Iterator[np.ndarray]:
        """As they come. Raises AudioError where there are none."""
        for data in self._pieces:
            if self._raw and data[:4] in (b"RIFF", b"RF64"):
                raise ArgumentError(f"{INPUT}: is a WAV file, not samples alone: --format wav")
            self._raw = False
            yield self._resampler.push(pcm.from_bytes(data, self.form))
        if self.count == 0:
            raise AudioError(f"{INPUT}: is empty")
        yield self._resampler.finish()

    def code(self) -> int:
        """The exit code."""
        return self._pieces.code("a sample")


def pcm_form(format: str, rate: int | None, usual_rate: int, channels: int) -> PcmFormat:
    """How samples are laid out, of what the options say. Raises ArgumentError."""
    rate = usual_rate if rate is None else rate
    for option, value in (("--rate", rate), ("--channels", channels)):
        if value < 1:
            raise ArgumentError(f"{option} must be at least 1, got {value}")
    return PcmFormat("f32le" if format == "f32le" else "s16le", rate, channels)


def rate_converter(channels: int, from_rate: int, to_rate: int) -> Resampler:
    """Of a quality that does not wait for long."""
    return Resampler(channels, from_rate, to_rate, quality=QUALITY)


@contextlib.contextmanager
def reading() -> Iterator[None]:
    """Errors of the system name standard input."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, INPUT) from error
