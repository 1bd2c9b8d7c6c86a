"""The commands of `l3ac-jax` on single files, and on standard input and output."""

from __future__ import annotations

import contextlib
import io
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from rich.console import Console
from rich.progress import Progress

from l3ac_jax.audio.formats import SampleFormat, choose_subtype
from l3ac_jax.audio.reading import open_reader
from l3ac_jax.audio.writing import check_audio_format, check_audio_output
from l3ac_jax.cli.command import STANDARD, DeviceOptions, loaded, note, recorded_model
from l3ac_jax.cli.run import FAILED
from l3ac_jax.errors import AudioError, OutputError
from l3ac_jax.tokens.bitstream.files import Entropy, check_save, read_encoded, save, write_encoded
from l3ac_jax.tokens.bitstream.files import load as load_encoded
from l3ac_jax.tokens.format import EncodedAudio

STANDARD_INPUT, STANDARD_OUTPUT = "standard input", "standard output"


def encode_single(
    input: Path, output: Path, model: str, entropy: Entropy, overwrite: bool, device: DeviceOptions
) -> int:
    """An audio file to an `.l3ac` file; `-` is standard input or output.

    Returns 1 when only a part of the audio could be decoded.
    """
    from l3ac_jax.codec.files import encode_file

    damage: list[str] = []
    if output != STANDARD:
        check_save(output, overwrite)
    with _input(input) as (name, stream):
        with open_reader(name, stream):
            pass  # that it is audio is known before the model is loaded
        with loaded(model, device) as codec, _progress("encoding") as report:
            encoded = encode_file(codec, name, stream, report, damage.append)
    _warn_of(damage)
    if output == STANDARD:
        buffer = io.BytesIO()
        size = write_encoded(buffer, encoded, entropy)
        buffer.seek(0)
        _to_standard_output(buffer)
    else:
        size = save(output, encoded, entropy, overwrite)
    note(f"{_shown(output)}: {describe(encoded)}, with {model}: {size}")
    return FAILED if damage else 0


def decode_single(
    input: Path,
    output: Path,
    model: str | None,
    format: str | None,
    overwrite: bool,
    device: DeviceOptions,
) -> int:
    """An `.l3ac` file to an audio file. Returns 1 when only a part of it was there."""
    from l3ac_jax.codec.files import decode_file

    damage: list[str] = []
    if input == STANDARD:
        with _reading_standard_input():
            encoded = read_encoded(sys.stdin.buffer, STANDARD_INPUT, damage.append)
    else:
        encoded = load_encoded(input, damage.append)
    _warn_of(damage)
    _check_output(output, format, encoded.tokens.shape[0], encoded.sample_rate, None, overwrite)
    with (
        loaded(model or recorded_model(_shown(input, "input"), encoded), device) as codec,
        _output(output, format) as target,
        _progress("decoding") as report,
    ):
        decode_file(codec, encoded, target, None, overwrite, report, name=_shown(input, "input"))
    note(f"{_shown(output)}: {describe(encoded)}")
    return FAILED if damage else 0


def reconstruct_single(
    input: Path,
    output: Path,
    model: str,
    format: str | None,
    overwrite: bool,
    device: DeviceOptions,
) -> int:
    """An audio file through the codec. Returns 1 when only a part of it could be decoded."""
    from l3ac_jax.codec.files import reconstruct_file

    damage: list[str] = []
    with _input(input) as (name, stream):
        with open_reader(name, stream) as reader:
            _check_output(output, format, reader.channels, reader.sample_rate, reader, overwrite)
        with (
            loaded(model, device) as codec,
            _output(output, format) as target,
            _progress("reconstructing") as report,
        ):
            encoded = reconstruct_file(
                codec, name, target, stream, overwrite, report, damage.append
            )
    _warn_of(damage)
    note(f"{_shown(output)}: {describe(encoded)} through {model}")
    return FAILED if damage else 0


def _warn_of(damage: list[str]) -> None:
    for line in damage:
        note(f"l3ac-jax: warning: {line}")


def describe(encoded: EncodedAudio) -> str:
    """Length, channels and rate in words."""
    channels = encoded.tokens.shape[0]
    plural = "" if channels == 1 else "s"
    return f"{encoded.seconds:.2f} s, {channels} channel{plural} at {encoded.sample_rate} Hz"


@contextlib.contextmanager
def _input(path: Path) -> Iterator[tuple[str, BinaryIO | None]]:
    """What to call it in messages, and a file where it is no path."""
    if path != STANDARD:
        yield str(path), None
        return
    # Most formats are not read from first to last: a pipe is not enough.
    with tempfile.TemporaryFile() as file:
        with _reading_standard_input():
            shutil.copyfileobj(sys.stdin.buffer, file)
        if file.tell() == 0:
            raise AudioError(f"{STANDARD_INPUT}: is empty")
        yield STANDARD_INPUT, file


@contextlib.contextmanager
def _reading_standard_input() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, STANDARD_INPUT) from error


def _check_output(
    path: Path,
    format: str | None,
    channels: int,
    sample_rate: int,
    like: SampleFormat | None,
    overwrite: bool,
) -> None:
    if path == STANDARD:
        name = Path(f"{STANDARD_OUTPUT}.{format or 'wav'}")
        check_audio_format(name, channels, sample_rate, choose_subtype(name, like))
        return
    if format is not None and path.suffix.lower() != f".{format}":
        raise AudioError(f"{path}: its ending says the format, and --format {format} another one")
    subtype = choose_subtype(path, like)
    check_audio_output(path, channels, sample_rate, subtype, overwrite)


@contextlib.contextmanager
def _output(path: Path, format: str | None) -> Iterator[Path]:
    """Where to write: for standard output a temporary file, copied when the block ends well."""
    if path != STANDARD:
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"output.{format or 'wav'}"
        yield file
        with file.open("rb") as stream:
            _to_standard_output(stream)


def _to_standard_output(stream: BinaryIO) -> None:
    try:
        shutil.copyfileobj(stream, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    except OSError as error:
        raise OutputError(f"{STANDARD_OUTPUT}: cannot be written: {error.strerror}") from error


def _shown(path: Path, what: str = "output") -> str:
    return f"standard {what}" if path == STANDARD else str(path)


@contextlib.contextmanager
def _progress(what: str) -> Iterator[Callable[[float], None]]:
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=1.0)
        yield lambda share: progress.update(task, completed=share)
