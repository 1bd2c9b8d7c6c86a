r"""The same weights with a finer quantizer: what rounding costs, without training.

    python experiments/finer_levels.py base base_31.safetensors --levels 31
    python experiments/evaluate.py base base_31.safetensors recordings --out runs/levels --music

Each dimension of MODEL's quantizer gets --levels steps in the place of its own; all else stays. The
decoder was not trained for what lies between the old steps, though noise in training
(quantizer.noise_rate) has shown it some of that: where the finer one is no better, more levels are
not what is missing.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from l3ac_jax.cli.run import run_command
from l3ac_jax.config import CodecConfig
from l3ac_jax.errors import ArgumentError

PROGRAM = "finer_levels.py"


@dataclass(frozen=True)
class Options:
    """Which model, and where the other one goes."""

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
    """A name, a model folder or file, or a training run."""
    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT.safetensors")]
    """The same with finer levels."""
    levels: int = 31
    """Steps of each dimension."""
    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Replace an existing file."""


def run(options: Options) -> None:
    """Read, change the levels, write."""
    from l3ac_jax.system.files import check_output
    from l3ac_jax.weights.file import save_model_file
    from l3ac_jax.weights.sources import load_params

    check_output(options.out, options.overwrite)
    config, params = load_params(options.model)
    finer = with_levels(config, options.levels)
    save_model_file(options.out, finer, params, "float32", options.overwrite)
    print(f"{options.out}: {config.bitrate:.0f} bit/s became {finer.bitrate:.0f}")


def with_levels(config: CodecConfig, levels: int) -> CodecConfig:
    """The configuration with so many levels in each dimension. Raises ArgumentError."""
    dimensions = len(config.quantizer.levels)
    if levels <= max(config.quantizer.levels):
        raise ArgumentError(
            f"--levels: more than the model's {max(config.quantizer.levels)} are needed: {levels}"
        )
    table = config.model_dump()
    table["quantizer"]["levels"] = (levels,) * dimensions
    try:
        return CodecConfig.model_validate(table)
    except ValueError:
        most = int((2**31 - 1) ** (1 / dimensions))
        raise ArgumentError(
            f"--levels: at most {most} in each of {dimensions} dimensions (tokens are 32 bits): "
            f"{levels}"
        ) from None


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    return run_command(
        PROGRAM, lambda: run(tyro.cli(Options, prog=PROGRAM, description=__doc__, args=argv))
    )


if __name__ == "__main__":
    sys.exit(main())
