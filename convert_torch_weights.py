"""Official PyTorch weights -> a model folder, and back.

    python convert_torch_weights.py 3kbps models/3kbps               # from the hub
    python convert_torch_weights.py downloads/3kbps.v1 models/3kbps  # from five .pt files
    python convert_torch_weights.py models/3kbps out/3kbps.v1 --to-torch

The .pt files are read without executing anything in them; every value is kept bit for bit.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import tyro

from l3ac_jax.cli.run import run_command
from l3ac_jax.errors import ArgumentError

PROGRAM = "convert_torch_weights.py"


def convert(
    source: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE")],
    target: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="TARGET")],
    config: Annotated[str | None, tyro.conf.arg(metavar="NAME_OR_TOML")] = None,
    to_torch: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
) -> None:
    """Convert, and say what was written.

    Args:
        source: folder with the five .pt files, or a published name; with --to-torch a model folder
        target: folder to make
        config: published name or TOML file, ours or official; by default what SOURCE says
        to_torch: write the five .pt files for the official package
        overwrite: replace what a conversion wrote before
    """
    # JAX takes a second to import, which help and mistakes do without.
    from l3ac_jax.weights.convert import convert_from_torch, convert_to_torch

    if to_torch:
        if config is not None:
            raise ArgumentError(
                "--config goes with .pt files; a model folder has its own config.toml"
            )
        converted = convert_to_torch(source, target, overwrite).model
        written = "five .pt files and the official config.toml"
    else:
        converted = convert_from_torch(source, target, config, overwrite).model
        written = "a model folder"
    print(
        f"{target}: {written}, {converted.bitrate:.0f} bit/s at {converted.sample_rate} Hz, "
        f"{converted.frame_rate:.2f} tokens/s"
    )


def main(argv: list[str] | None = None) -> int:
    """Run the command line. Returns 0, 2 for mistakes in what was given, 130 when interrupted."""
    return run_command(
        PROGRAM, lambda: tyro.cli(convert, prog=PROGRAM, description=__doc__, args=argv)
    )


if __name__ == "__main__":
    sys.exit(main())
