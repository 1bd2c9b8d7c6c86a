r"""Losses and scores of training runs, drawn by step.

    python experiments/curves.py runs/small --figure curves.png
    python experiments/curves.py runs/one runs/other --figure curves.png --names loss stoi pesq

RUN is the folder of a training run, finished or not. A panel for each name that metrics.jsonl has;
what was logged in training is averaged, what was evaluated is drawn as it is.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from l3ac_jax.cli.run import run_command
from l3ac_jax.errors import ArgumentError

PROGRAM = "curves.py"
MOST_RUNS = 6  # lines that can be told apart


@dataclass(frozen=True)
class Options:
    """What to draw."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN ...")]
    """Folders of training runs, up to six."""
    figure: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """Where to draw; .png, .pdf or .svg."""
    names: tuple[str, ...] = ("loss", "mel", "waveform", "stoi", "pesq", "codebook_entropy")
    """What to draw, as metrics.jsonl calls it."""
    width: int = 20
    """How many logged values of training to average."""
    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Replace an existing figure."""


def run(options: Options) -> None:
    """Reads and draws."""
    if not 1 <= len(options.runs) <= MOST_RUNS:
        raise ArgumentError(f"give 1 to {MOST_RUNS} runs, not {len(options.runs)}")
    if not options.names or options.width < 1:
        raise ArgumentError("give --names, and a --width of 1 or more")
    from l3ac_jax.plots.figures import check_figure, save_figure
    from l3ac_jax.training.curves import draw_curves, read_curves

    check_figure(options.figure, options.overwrite)
    curves = {str(folder): read_curves(folder) for folder in options.runs}
    figure = draw_curves(curves, options.names, options.width)
    save_figure(figure, options.figure, options.overwrite)


def main(argv: list[str] | None = None) -> int:
    """Returns 0, 2 for mistakes, 130 when interrupted."""
    return run_command(
        PROGRAM, lambda: run(tyro.cli(Options, prog=PROGRAM, description=__doc__, args=argv))
    )


if __name__ == "__main__":
    sys.exit(main())
