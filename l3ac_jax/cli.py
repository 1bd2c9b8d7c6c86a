"""The command `l3ac-jax`: audio files to tokens and back.

What needs JAX is imported inside the commands, so that help and mistakes answer at once.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import numpy as np
import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table

from l3ac_jax.audio import (
    AudioError,
    check_audio_output,
    choose_subtype,
    read_audio,
    resample,
    write_audio,
)
from l3ac_jax.config import PUBLISHED, ConfigError, published_config
from l3ac_jax.files import OutputError
from l3ac_jax.hub import DownloadError, missing_weights, weights_folder
from l3ac_jax.token_file import (
    TokenFile,
    TokenFileError,
    check_token_output,
    fingerprint,
    read_tokens,
    write_tokens,
)

if TYPE_CHECKING:
    from l3ac_jax.codec import L3AC

DESCRIPTION = "L3AC, a neural audio codec: audio files to tokens and back."
USER_ERROR = 2
INTERRUPTED = 130

Input = Annotated[Path, tyro.conf.arg(metavar="IN")]
Output = Annotated[Path, tyro.conf.arg(metavar="OUT")]
Model = Annotated[str, tyro.conf.arg(metavar="NAME_OR_FOLDER")]
ModelOrNone = Annotated[str | None, tyro.conf.arg(metavar="NAME_OR_FOLDER")]
Overwrite = Annotated[bool, tyro.conf.FlagCreatePairsOff]

app = tyro.extras.SubcommandApp()


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns 0, 2 for mistakes in what was given, or 130 when interrupted."""
    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        result = app.cli(prog="l3ac-jax", description=DESCRIPTION, args=argv)
        return 0 if result is None else result
    except SystemExit as end:  # help, or a command line that makes no sense
        return end.code if isinstance(end.code, int) else USER_ERROR
    except KeyboardInterrupt:
        print("l3ac-jax: interrupted, nothing was written", file=sys.stderr)
        return INTERRUPTED
    except _user_errors() as error:
        print(f"l3ac-jax: error: {error}", file=sys.stderr)
        return USER_ERROR
    finally:
        signal.signal(signal.SIGTERM, previous)


@app.command
def models() -> None:
    """List the published models: what --model takes, beside model folders."""
    table = Table("model", "bit/s", "tokens/s", "codebook", "hop", "window", "weights")
    for name in PUBLISHED:
        config = published_config(name).model
        table.add_row(
            name,
            f"{config.bitrate:.0f}",
            f"{config.frame_rate:.2f}",
            f"{config.codebook_size}",
            f"{config.hop_length}",
            f"{config.window_seconds:.2f} s",
            "not here yet" if missing_weights(name) else str(weights_folder(name)),
        )
    Console(soft_wrap=True).print(table)


@app.command
def reconstruct(
    input: Input, output: Output, /, model: Model = "3kbps", overwrite: Overwrite = False
) -> None:
    """Encode and decode an audio file.

    The output has the rate, length and channels of the input; channels are coded one by one.

    Args:
        input: WAV, FLAC, OGG or MP3 file, at any sample rate.
        output: Where to write; the ending decides on the format.
        model: Published name or model folder.
        overwrite: Replace OUT if it exists.
    """
    audio = read_audio(input)
    channels, samples = audio.samples.shape
    subtype = choose_subtype(output, like=audio)
    check_audio_output(output, channels, audio.sample_rate, subtype, overwrite)
    with _loaded(model) as codec:
        results = []
        for channel in _progress(audio.samples, "channels"):
            at_codec_rate = resample(channel[None], audio.sample_rate, codec.sample_rate)
            coded = np.asarray(codec.reconstruct(at_codec_rate))
            results.append(resample(coded, codec.sample_rate, audio.sample_rate, samples))
    write_audio(output, np.concatenate(results), audio.sample_rate, subtype, overwrite)
    _note(f"{output}: {_describe(channels, samples, audio.sample_rate)} through {model}")


@app.command
def encode(
    input: Input, output: Output, /, model: Model = "3kbps", overwrite: Overwrite = False
) -> None:
    """Encode an audio file to tokens, in a NumPy .npz file.

    Args:
        input: WAV, FLAC, OGG or MP3 file, at any sample rate. Channels are coded one by one.
        output: Where to write: a name that ends with .npz.
        model: Published name or model folder.
        overwrite: Replace OUT if it exists.
    """
    audio = read_audio(input)
    channels, samples = audio.samples.shape
    check_token_output(output, overwrite)
    with _loaded(model) as codec:
        at_codec_rate = resample(audio.samples, audio.sample_rate, codec.sample_rate)
        tokens = [
            np.asarray(codec.encode(channel[None]))
            for channel in _progress(at_codec_rate, "channels")
        ]
        content = TokenFile(
            tokens=np.concatenate(tokens),
            samples=samples,
            sample_rate=audio.sample_rate,
            codec_samples=at_codec_rate.shape[1],
            model=model,
            fingerprint=fingerprint(codec.config),
        )
    write_tokens(output, content, overwrite)
    frames = content.tokens.shape[1]
    _note(
        f"{output}: {frames} tokens a channel from "
        f"{_describe(channels, samples, audio.sample_rate)}, with {model}"
    )


@app.command
def decode(
    input: Input, output: Output, /, model: ModelOrNone = None, overwrite: Overwrite = False
) -> None:
    """Decode tokens to an audio file, with the rate, length and channels that were encoded.

    Args:
        input: A file that `l3ac-jax encode` wrote.
        output: Where to write; the ending decides on the format.
        model: Published name or model folder; unless given, the one that the tokens name.
        overwrite: Replace OUT if it exists.
    """
    content = read_tokens(input)
    channels = content.tokens.shape[0]
    subtype = choose_subtype(output)
    check_audio_output(output, channels, content.sample_rate, subtype, overwrite)
    with _loaded(model or _recorded_model(input, content)) as codec:
        _check_match(input, content, codec)
        results = []
        for tokens in _progress(content.tokens, "channels"):
            try:
                decoded = np.asarray(codec.decode(tokens[None]))
            except ValueError as error:  # what the file holds is no token of this model
                raise TokenFileError(f"{input}: {error}") from error
            at_codec_rate = decoded[:, : content.codec_samples]
            results.append(
                resample(at_codec_rate, codec.sample_rate, content.sample_rate, content.samples)
            )
    write_audio(output, np.concatenate(results), content.sample_rate, subtype, overwrite)
    _note(f"{output}: {_describe(channels, content.samples, content.sample_rate)}")


@app.command
def demo() -> int:
    """Reconstruct a recording with this and the official implementation, and compare."""
    from l3ac_jax.compilation import keep_compiled_programs
    from l3ac_jax.demo import run_demo

    keep_compiled_programs()
    return run_demo()


def _user_errors() -> tuple[type[ValueError], ...]:
    errors = [AudioError, ConfigError, DownloadError, OutputError, TokenFileError]
    # Their modules are slow to import, and raise nothing before they are imported.
    for module, name in (("pretrained", "ModelNotFoundError"), ("torch_files", "WeightsError")):
        if loaded := sys.modules.get(f"l3ac_jax.{module}"):
            errors.append(getattr(loaded, name))
    return tuple(errors)


@contextlib.contextmanager
def _loaded(model: str) -> Iterator[L3AC]:
    """The codec, with what it compiles kept between runs and reported while it compiles."""
    if model in PUBLISHED and missing_weights(model):
        _note(f"downloading the weights of {model} into {weights_folder(model)}")
    from l3ac_jax.compilation import CompilationNotice, keep_compiled_programs
    from l3ac_jax.pretrained import get_model

    keep_compiled_programs()
    codec = get_model(model)
    notice = CompilationNotice(lambda line: _note(f"{line} (once: the result is kept)"))
    codec.on_compile = notice
    try:
        yield codec
    finally:
        notice.close()


def _recorded_model(path: Path, content: TokenFile) -> str:
    if content.model not in PUBLISHED and not Path(content.model).is_dir():
        raise TokenFileError(
            f"{path}: its tokens were made with {content.model}, which is not here: give --model"
        )
    return content.model


def _check_match(path: Path, content: TokenFile, codec: L3AC) -> None:
    if content.fingerprint != fingerprint(codec.config):
        raise TokenFileError(
            f"{path}: its tokens were made with {content.model}, whose configuration differs "
            f"from that of {codec.name}"
        )
    codec_samples = -(-content.samples * codec.sample_rate // content.sample_rate)
    frames = -(-content.codec_samples // codec.hop_length)
    if content.codec_samples != codec_samples or content.tokens.shape[1] != frames:
        raise TokenFileError(
            f"{path}: {content.tokens.shape[1]} tokens do not make {content.samples} samples at "
            f"{content.sample_rate} Hz"
        )


def _progress(channels: np.ndarray, unit: str) -> Iterable[Any]:
    console = Console(stderr=True)
    return track(
        channels, description=unit, console=console, transient=True, disable=not console.is_terminal
    )


def _describe(channels: int, samples: int, rate: int) -> str:
    plural = "" if channels == 1 else "s"
    return f"{samples / rate:.2f} s, {channels} channel{plural} at {rate} Hz"


def _note(line: str) -> None:
    print(line, file=sys.stderr)


def _interrupt(*_: Any) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
