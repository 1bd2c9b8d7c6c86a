"""The commands `l3ac-jax stream`: samples and tokens from standard input to standard output.

Nothing waits for more than the codec does: what has been read is pushed, and what is known then is
written at once.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Literal, cast

import numpy as np
import tyro

from l3ac_jax.audio import pcm
from l3ac_jax.audio.pcm import PcmFormat
from l3ac_jax.audio.resampling import Resampler, resampling_seconds
from l3ac_jax.cli.command import (
    DEFAULT_DEVICE,
    Device,
    Model,
    ModelOrNone,
    loaded,
    note,
    recorded_model,
)
from l3ac_jax.cli.run import CLOSED_PIPE, FAILED, Interrupted, drop_output
from l3ac_jax.config import DEFAULT_MODEL
from l3ac_jax.errors import ArgumentError, AudioError, BitstreamError, StreamingError
from l3ac_jax.tokens.bitstream import raw
from l3ac_jax.tokens.format import check_exchangeable

if TYPE_CHECKING:
    from l3ac_jax.codec.l3ac import L3AC

__all__ = ["app", "check_block", "checked_statistics", "latency_line"]

INPUT = "standard input"
READ_BYTES = 2**16
# Very high quality waits for twice as long.
QUALITY: Literal["HQ"] = "HQ"

Format = Annotated[Literal["s16le", "f32le", "wav"], tyro.conf.arg(metavar="FORMAT")]
Statistics = Annotated[Literal["running"] | None, tyro.conf.arg(metavar="running")]
Rate = Annotated[int | None, tyro.conf.arg(metavar="HZ")]
Channels = Annotated[int | None, tyro.conf.arg(metavar="N")]
Block = Annotated[int, tyro.conf.arg(metavar="TOKENS")]

app = tyro.extras.SubcommandApp()


@app.command
def encode(
    model: Model = DEFAULT_MODEL,
    format: Format = "s16le",
    rate: Rate = None,
    channels: Channels = None,
    block: Block = 1,
    device: Device = DEFAULT_DEVICE,
) -> int:
    """Encode audio on standard input to tokens on standard output, while it comes.

    After a header each token is 4 bytes (l3ac_jax/tokens/bitstream/raw.py); they are those of the
    whole recording. Channels are coded one by one.

    Args:
        model: Name (see `l3ac-jax models`), or model folder or file.
        format: Samples: s16le (16 bits), f32le (32-bit floats), or wav, which says rate and
            channels.
        rate: Of the samples, in Hz; unless given, the model's.
        channels: Of the samples, which follow each other; unless given, 1.
        block: Tokens to compute at a time: more are less work and come later.
        device: How a GPU is used.
    """

    def work() -> int:
        check_block(block)
        with loaded(model, device) as codec:
            source = _Samples(codec, format, rate, channels)
            encoder = codec.streaming_encoder(source.form.channels, block)
            _tell_latency(codec, encoder.latency, source.waiting)
            form = codec.token_format
            header = raw.TokenStreamHeader(
                form, source.form.sample_rate, source.form.channels, codec.name
            )
            _write(header.bytes())
            for samples in source.blocks():
                _write(raw.to_bytes(encoder.push(samples)))
            _write(raw.to_bytes(encoder.finish()))
        return source.code()

    return _filter(work)


@app.command
def decode(
    model: ModelOrNone = None,
    format: Format = "s16le",
    rate: Rate = None,
    block: Block = 1,
    statistics: Statistics = None,
    device: Device = DEFAULT_DEVICE,
) -> int:
    """Decode tokens of `stream encode` on standard input to audio on standard output.

    The audio has the channels that were encoded, and ends with a whole token.

    Args:
        model: As for encode; unless given, the one that the tokens name.
        format: What to write: s16le (16 bits), f32le (32-bit floats), or wav (16 bits).
        rate: Of what is written, in Hz; unless given, that of the audio that was encoded.
        block: Tokens to compute at a time: more are less work and come later.
        statistics: running, for models that norm over the whole clip: take instead what came so
            far, which is an approximation. Other models need nothing.
        device: How a GPU is used.
    """

    def work() -> int:
        check_block(block)
        with _reading():
            header = raw.read_stream_header(sys.stdin.buffer, INPUT)
        with loaded(model or recorded_model(INPUT, header), device) as codec:
            check_exchangeable(header.format, header.model, codec.token_format, codec.name)
            running = checked_statistics(codec, statistics)
            form = _form(format, rate, header.sample_rate, header.channels)
            resampler = _resampler(form.channels, codec.sample_rate, form.sample_rate)
            decoder = codec.streaming_decoder(form.channels, block, running)
            waiting = resampling_seconds(codec.sample_rate, form.sample_rate, QUALITY)
            _tell_latency(codec, decoder.latency, waiting)
            _begin(format, form)
            source = _Pieces(raw.TOKEN_BYTES * form.channels)
            for data in source:
                audio = decoder.push(raw.from_bytes(data, form.channels))
                _write(pcm.to_bytes(resampler.push(audio), form.encoding))
            if source.count == 0:
                raise BitstreamError(f"{INPUT}: holds no tokens")
            _write(pcm.to_bytes(resampler.push(decoder.finish()), form.encoding))
            _write(pcm.to_bytes(resampler.finish(), form.encoding))
        return source.code("a token")

    return _filter(work)


@app.command
def loopback(
    model: Model = DEFAULT_MODEL,
    format: Format = "s16le",
    rate: Rate = None,
    channels: Channels = None,
    block: Block = 1,
    statistics: Statistics = None,
    device: Device = DEFAULT_DEVICE,
) -> int:
    """Encode and decode audio from standard input to standard output, while it comes.

    What comes out has the format, the rate, the channels and the length of what went in.

    Args:
        model: Name (see `l3ac-jax models`), or model folder or file.
        format: Samples: s16le (16 bits), f32le (32-bit floats), or wav, which says rate and
            channels.
        rate: Of the samples, in Hz; unless given, the model's.
        channels: Of the samples, which follow each other; unless given, 1.
        block: Tokens to compute at a time: more are less work and come later.
        statistics: running, for models that norm over the whole clip: take instead what came so
            far, which is an approximation. Other models need nothing.
        device: How a GPU is used.
    """

    def work() -> int:
        from l3ac_jax.codec.streaming.loopback import Loopback

        check_block(block)
        with loaded(model, device) as codec:
            running = checked_statistics(codec, statistics)
            source = _Samples(codec, format, rate, channels)
            form = source.form
            coder = Loopback(codec, form.channels, block, running)
            resampler = _resampler(form.channels, codec.sample_rate, form.sample_rate)
            back = resampling_seconds(codec.sample_rate, form.sample_rate, QUALITY)
            _tell_latency(codec, coder.latency, source.waiting + back)
            _begin(format, form)
            given = 0
            for samples in source.blocks():
                audio = resampler.push(coder.push(samples))
                given += audio.shape[1]
                _write(pcm.to_bytes(audio, form.encoding))
            rest = np.concatenate([resampler.push(coder.finish()), resampler.finish()], axis=1)
            _write(pcm.to_bytes(rest[:, : source.count - given], form.encoding))
        return source.code()

    return _filter(work)


def checked_statistics(
    codec: L3AC, statistics: Literal["running"] | None
) -> Literal["running"] | None:
    """What `streaming_decoder` takes. Raises StreamingError where the option is missing."""
    if codec.config.decoder.norm_statistics != "clip":
        return None
    if statistics is None:
        raise StreamingError(
            f"the decoder of {codec.name} norms by statistics over the whole clip, which a stream "
            "does not know: --statistics running takes those of what came so far, an approximation"
        )
    return statistics


def latency_line(codec: L3AC, samples: int, resampling: float) -> str:
    """In words: of the codec, and what resampling adds to it (in seconds)."""
    line = f"latency {1000 * samples / codec.sample_rate:.1f} ms"
    return f"{line}, and {1000 * resampling:.1f} ms of resampling" if resampling else line


def _tell_latency(codec: L3AC, samples: int, resampling: float) -> None:
    note(f"l3ac-jax: {latency_line(codec, samples, resampling)}")


class _Pieces:
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
        with _reading():
            source = cast(io.BufferedReader, sys.stdin.buffer)
            data = source.read1(READ_BYTES)
            if self._limit is None:
                return data
            wanted = data[: self._limit]
            self._limit -= len(wanted)
            while data and not wanted:
                data = source.read1(READ_BYTES)
        return wanted


class _Samples:
    """Audio from standard input, at the codec's rate."""

    def __init__(self, codec: L3AC, format: str, rate: int | None, channels: int | None):
        limit = None
        self._raw = format != "wav"
        """and nothing was read yet"""
        if format == "wav":
            if rate is not None or channels is not None:
                raise ArgumentError("a WAV file says its own: leave out --rate and --channels")
            with _reading():
                self.form, limit = pcm.read_wav_header(sys.stdin.buffer, INPUT)
        else:
            self.form = _form(format, rate, codec.sample_rate, 1 if channels is None else channels)
        rates = self.form.sample_rate, codec.sample_rate
        self._resampler = _resampler(self.form.channels, *rates)
        self.waiting = resampling_seconds(*rates, QUALITY)
        self._pieces = _Pieces(self.form.frame_bytes, limit)

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


def _form(format: str, rate: int | None, usual_rate: int, channels: int) -> PcmFormat:
    rate = usual_rate if rate is None else rate
    for option, value in (("--rate", rate), ("--channels", channels)):
        if value < 1:
            raise ArgumentError(f"{option} must be at least 1, got {value}")
    return PcmFormat("f32le" if format == "f32le" else "s16le", rate, channels)


def _resampler(channels: int, from_rate: int, to_rate: int) -> Resampler:
    return Resampler(channels, from_rate, to_rate, quality=QUALITY)


def check_block(block: int) -> None:
    if block < 1:
        raise ArgumentError(f"--block must be at least 1, got {block}")


def _begin(format: str, form: PcmFormat) -> None:
    if format == "wav":
        _write(pcm.wav_header(form))


def _write(data: bytes) -> None:
    if data:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, INPUT) from error


def _filter(work: Callable[[], int]) -> int:
    """Do the work; where nobody reads its output any more, end without a word, as filters do."""
    try:
        return work()
    except BrokenPipeError:
        drop_output(sys.stdout)
        return CLOSED_PIPE
    except KeyboardInterrupt:
        raise Interrupted("and the stream with it") from None
