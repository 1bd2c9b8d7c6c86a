"""The command `l3ac-jax`: audio files and folders to tokens and back.

What needs JAX is imported inside the commands, so that help and mistakes answer at once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.table import Table

from l3ac_jax import __version__
from l3ac_jax.cli import files as cli_files
from l3ac_jax.cli import folders as cli_folders
from l3ac_jax.cli.command import (
    DEFAULT_DEVICE,
    Device,
    Input,
    Model,
    ModelOrNone,
    Output,
    Overwrite,
)
from l3ac_jax.cli.live import live
from l3ac_jax.cli.page import page
from l3ac_jax.cli.printing import print_table
from l3ac_jax.cli.run import run_command
from l3ac_jax.cli.stream import app as stream_app
from l3ac_jax.cli.tokens import tokens
from l3ac_jax.config import BUNDLED, DEFAULT_MODEL, NAMED, named_config
from l3ac_jax.tokens.bitstream.files import Entropy
from l3ac_jax.weights.hub import missing_weights, weights_folder

DESCRIPTION = """L3AC, a neural audio codec: audio files and folders to tokens and back.

--version, in place of a command, prints the version."""

Format = Annotated[
    Literal["wav", "flac", "ogg", "opus", "mp3"] | None, tyro.conf.arg(metavar="FORMAT")
]

app = tyro.extras.SubcommandApp()


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns 0; 1 when a part of the work failed; 2 for mistakes in what was given; or 130 when
    interrupted.
    """

    def work() -> int | None:
        words = sys.argv[1:] if argv is None else argv
        if list(words) == ["--version"]:  # of which tyro knows nothing
            print(f"l3ac-jax {__version__}")
            return 0
        return app.cli(prog="l3ac-jax", description=DESCRIPTION, args=words)

    return run_command("l3ac-jax", work)


@app.command
def models() -> None:
    """List the models by name: what --model takes, beside model folders and files."""
    table = Table("model", "bit/s", "tokens/s", "codebook", "hop", "window", "weights")
    for name in NAMED:
        config = named_config(name).model
        table.add_row(
            name,
            f"{config.bitrate:.0f}",
            f"{config.frame_rate:.2f}",
            f"{config.codebook_size}",
            f"{config.hop_length}",
            f"{config.window_seconds:.2f} s",
            _weights(name),
        )
    print_table(table)


def _weights(name: str) -> str:
    if name in BUNDLED:
        return "bundled"
    return "to be downloaded" if missing_weights(name) else str(weights_folder(name))


@app.command
def reconstruct(
    input: Input,
    output: Output,
    /,
    model: Model = DEFAULT_MODEL,
    format: Format = None,
    overwrite: Overwrite = False,
    device: Device = DEFAULT_DEVICE,
) -> int:
    """Encode and decode audio: a file, or all files below a folder.

    The output has the rate, length and channels of the input; channels are coded one by one. Of a
    folder the same tree is made under OUT; what is there already is skipped, so that the command
    can be stopped and run again.

    Args:
        input: WAV, FLAC, OGG or MP3 file at any sample rate, a folder, or - (standard input).
        output: Where to write; of a file, the ending says the format. - is standard output.
        model: Name (see `l3ac-jax models`), hf://OWNER/NAME, or model folder or file.
        format: wav, flac, ogg, opus or mp3. Unless given, a folder's files keep theirs, - is wav.
        overwrite: Replace what is there already.
        device: How a GPU is used.
    """
    if input.is_dir():
        return cli_folders.reconstruct_folder(input, output, model, format, overwrite, device)
    return cli_files.reconstruct_single(input, output, model, format, overwrite, device)


@app.command
def encode(
    input: Input,
    output: Output,
    /,
    model: Model = DEFAULT_MODEL,
    entropy: Entropy = "plain",
    overwrite: Overwrite = False,
    device: Device = DEFAULT_DEVICE,
) -> int:
    """Encode audio to tokens, in .l3ac files: a file, or all files below a folder.

    Channels are coded one by one, and audio of any length in memory that does not grow with it.
    Of a folder the same tree is made under OUT: a/b.wav becomes a/b.l3ac, or a/b.wav.l3ac where
    there is also, for example, a/b.flac. What is there already is skipped, so that the command can
    be stopped and run again.

    Args:
        input: WAV, FLAC, OGG or MP3 file at any sample rate, a folder, or - (standard input).
        output: Where to write: a name that ends with .l3ac, a folder, or - (standard output).
        model: Name (see `l3ac-jax models`), hf://OWNER/NAME, or model folder or file.
        entropy: Tokens at their nominal rate (plain), or usually smaller, and slower (adaptive).
        overwrite: Replace what is there already.
        device: How a GPU is used.
    """
    if input.is_dir():
        return cli_folders.encode_folder(input, output, model, entropy, overwrite, device)
    return cli_files.encode_single(input, output, model, entropy, overwrite, device)


@app.command
def decode(
    input: Input,
    output: Output,
    /,
    model: ModelOrNone = None,
    format: Format = None,
    overwrite: Overwrite = False,
    device: Device = DEFAULT_DEVICE,
) -> int:
    """Decode .l3ac files to audio with the rate, length and channels that were encoded.

    Of a folder the same tree is made under OUT; what is there already is skipped. A file that is
    cut off is decoded as far as it goes, and the exit code is then 1.

    Args:
        input: A file that `l3ac-jax encode` wrote, a folder, or - (standard input).
        output: Where to write; of a file, the ending says the format. - is standard output.
        model: As for encode; unless given, the one that the tokens name.
        format: wav (unless given), flac, ogg, opus or mp3, for a folder and for -.
        overwrite: Replace what is there already.
        device: How a GPU is used.
    """
    if input.is_dir():
        return cli_folders.decode_folder(input, output, model, format, overwrite, device)
    return cli_files.decode_single(input, output, model, format, overwrite, device)


app.command(tokens)
app.command(
    stream_app,
    name="stream",
    help="Encode and decode from standard input to standard output, while it comes.",
)
app.command(live)
app.command(page)


@app.command
def demo(
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("l3ac-demo"),
    model: Model = DEFAULT_MODEL,
    device: Device = DEFAULT_DEVICE,
) -> int:
    """Reconstruct a few recordings, to listen to and to look at.

    Speech in two languages and music, which come with the package, are encoded to files and
    decoded again. A table tells what that takes; spectrograms and a page to listen to are made
    where the packages of `pip install 'l3ac-jax[train]'` are there.

    Args:
        out: Folder to make. It may be there already if an earlier demo made it.
        model: Name (see `l3ac-jax models`), hf://OWNER/NAME, or model folder or file.
        device: How a GPU is used.
    """
    from l3ac_jax.cli.demo import run_demo

    return run_demo(out, model, device)
