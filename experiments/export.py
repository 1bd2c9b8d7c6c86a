r"""Write a model as one file, to share it: a safetensors file with parameters in half precision.

    python experiments/export.py runs/small small.safetensors
    l3ac-jax reconstruct IN OUT --model small.safetensors

MODEL is a training run (its best checkpoint), a model folder or a name. The file holds the
network's configuration and its parameters, and none of the training's state.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from l3ac_jax.cli.run import run_command

PROGRAM = "export.py"


@dataclass(frozen=True)
class Options:
    """What to write, and where."""

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
    """Training run, model folder or name."""
    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE.safetensors")]
    """The file."""
    precision: Literal["float16", "float32"] = "float16"
    """Of the parameters in the file; computing is in float32 either way."""
    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Replace an existing file."""


def export(options: Options) -> None:
    """Write the file."""
    from l3ac_jax.weights.file import check_model_file, save_model_file

    check_model_file(options.out, options.overwrite)
    from l3ac_jax.weights.sources import load_params

    config, params = load_params(options.model)
    save_model_file(options.out, config, params, options.precision, options.overwrite)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB")


def main(argv: list[str] | None = None) -> int:
    """Returns 0, 2 for mistakes, 130 when interrupted."""
    return run_command(
        PROGRAM, lambda: export(tyro.cli(Options, prog=PROGRAM, description=__doc__, args=argv))
    )


if __name__ == "__main__":
    sys.exit(main())
