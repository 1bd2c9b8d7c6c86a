"""The commands `l3ac-jax stream`: samples and tokens from standard input to standard output.

Nothing waits for more than the codec does: what has been read is pushed, and what is known then is
written at once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import tyro

from l3ac_jax.audio import pcm
from l3ac_jax.audio.pcm import PcmFormat
from l3ac_jax.audio.resampling import resampling_seconds
from l3ac_jax.cli.command import (
    DEFAULT_DEVICE,
    Device,
    Model,
    ModelOrNone,
    loaded,
    note,
    recorded_model,
)
from l3ac_jax.cli.run import CLOSED_PIPE, Interrupted, drop_output
from l3ac_jax.cli.standard_input import (
    INPUT,
    QUALITY,
    Pieces,
    Samples,
    pcm_form,
    rate_converter,
    reading,
)
from l3ac_jax.config import DEFAULT_STREAMING_MODEL
from l3ac_jax.errors import ArgumentError, BitstreamError, StreamingError
from l3ac_jax.tokens.bitstream import raw
from l3ac_jax.tokens.format import check_exchangeable

if TYPE_CHECKING:
    from l3ac_jax.codec.l3ac import L3AC

__all__ = ["app", "check_block", "checked_statistics", "latency_line"]

Format = Annotated[Literal["s16le", "f32le", "wav"], tyro.conf.arg(metavar="FORMAT")]
Statistics = Annotated[Literal["running"] | None, tyro.conf.arg(metavar="running")]
Rate = Annotated[int | None, tyro.conf.arg(metavar="HZ")]
Channels = Annotated[int | None, tyro.conf.arg(metavar="N")]
Block = Annotated[int, tyro.conf.arg(metavar="TOKENS")]

app = tyro.extras.SubcommandApp()


@app.command
def encode(
    model: Model = DEFAULT_STREAMING_MODEL,
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
        model: Name (see `l3ac-jax models`), hf://OWNER/NAME, or model folder or file.
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
            source = Samples(codec, format, rate, channels)
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
        with reading():
            header = raw.read_stream_header(sys.stdin.buffer, INPUT)
        with loaded(model or recorded_model(INPUT, header), device) as codec:
            check_exchangeable(header.format, header.model, codec.token_format, codec.name)
            running = checked_statistics(codec, statistics)
            form = pcm_form(format, rate, header.sample_rate, header.channels)
            resampler = rate_converter(form.channels, codec.sample_rate, form.sample_rate)
            decoder = codec.streaming_decoder(form.channels, block, running)
            waiting = resampling_seconds(codec.sample_rate, form.sample_rate, QUALITY)
            _tell_latency(codec, decoder.latency, waiting)
            _begin(format, form)
            source = Pieces(raw.TOKEN_BYTES * form.channels)
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
    model: Model = DEFAULT_STREAMING_MODEL,
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
        model: Name (see `l3ac-jax models`), hf://OWNER/NAME, or model folder or file.
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
            source = Samples(codec, format, rate, channels)
            form = source.form
            coder = Loopback(codec, form.channels, block, running)
            resampler = rate_converter(form.channels, codec.sample_rate, form.sample_rate)
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


def check_block(block: int) -> None:
    """Raises ArgumentError for a block that has no token."""
    if block < 1:
        raise ArgumentError(f"--block must be at least 1, got {block}")


def _begin(format: str, form: PcmFormat) -> None:
    if format == "wav":
        _write(pcm.wav_header(form))


def _write(data: bytes) -> None:
    if data:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


def _filter(work: Callable[[], int]) -> int:
    """Do the work; where nobody reads its output any more, end without a word, as filters do."""
    try:
        return work()
    except BrokenPipeError:
        drop_output(sys.stdout)
        return CLOSED_PIPE
    except KeyboardInterrupt:
        raise Interrupted("and the stream with it") from None
