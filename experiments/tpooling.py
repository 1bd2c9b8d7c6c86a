r"""TPooling of a recording, drawn: spectrum, waveform with its trends, and a zoom.

    python experiments/tpooling.py l3ac_jax/assets/cmu_arctic_a0007.wav --figure tpooling.png
    python experiments/tpooling.py music.flac --figure music.pdf --kernels 45 161 \
        --start 1.5 --length 0.1

TPooling(x, K) is the average over K samples of the largest |x| in K samples, so that one value
depends on 2K - 1 samples; K = 1 is the waveform itself. The published encoders see kernels 1, 5,
11, 21 and 45; K = 81 sees 10 ms. Printed for each kernel is how well it follows the level of the
waveform: the correlation with the RMS over 10 ms.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.box import SIMPLE_HEAD
from rich.table import Table

from l3ac_jax.cli.printing import print_table
from l3ac_jax.cli.run import run_command
from l3ac_jax.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from l3ac_jax.plots.trends import Trend

PROGRAM = "tpooling.py"
SAMPLE_RATE = 16000
MOST_KERNELS = 6  # lines that can be told apart


@dataclass(frozen=True)
class Options:
    """What to draw."""

    audio: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="AUDIO")]
    """WAV, FLAC, OGG or MP3 file; the mean of its channels is taken, at 16 kHz."""
    figure: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """Where to draw; .png, .pdf or .svg."""
    kernels: tuple[int, ...] = (5, 21, 45, 81)
    """Odd numbers of samples, up to six."""
    start: float | None = None
    """Where the zoom begins, in seconds; by default where the level varies most."""
    length: float = 0.1
    """Length of the zoom, in seconds."""
    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Replace an existing figure."""


def run(options: Options) -> None:
    """Reads, prints and draws."""
    from l3ac_jax.evaluation.clips import read_mono
    from l3ac_jax.plots.figures import check_figure, save_figure

    check_figure(options.figure, options.overwrite)
    _check_kernels(options.kernels)
    audio = read_mono(options.audio, SAMPLE_RATE)
    seconds = len(audio) / SAMPLE_RATE
    if not 1 / SAMPLE_RATE <= options.length <= seconds:
        raise ArgumentError(
            f"--length: must be above 0, up to {seconds:g} s, got {options.length:g}"
        )
    last = seconds - options.length
    if options.start is not None and not 0 <= options.start <= last:
        raise ArgumentError(f"--start: must be 0 to {last:g} s, got {options.start:g}")

    from l3ac_jax.plots.trends import draw_trends, liveliest, trends

    found = trends(audio, options.kernels, SAMPLE_RATE)
    start = options.start
    if start is None:
        length = round(options.length * SAMPLE_RATE)
        start = liveliest(audio, length, SAMPLE_RATE) / SAMPLE_RATE
    zoom = (start, start + options.length)
    figure = draw_trends(audio, found, SAMPLE_RATE, zoom, options.audio.name)
    save_figure(figure, options.figure, options.overwrite)
    _print(found)


def _check_kernels(kernels: Sequence[int]) -> None:
    if not 1 <= len(kernels) <= MOST_KERNELS:
        raise ArgumentError(f"--kernels: give 1 to {MOST_KERNELS}, got {len(kernels)}")
    for kernel in kernels:
        if kernel < 1 or kernel % 2 == 0:
            raise ArgumentError(f"--kernels: must be odd and 1 or more, got {kernel}")


def _print(found: Sequence[Trend]) -> None:
    table = Table(box=SIMPLE_HEAD, show_edge=False)
    for column in ("kernel", "depends on samples", "ms", "correlation with 10 ms RMS"):
        table.add_column(column, justify="right")
    for trend in found:
        milliseconds = 1000 * trend.span / SAMPLE_RATE
        table.add_row(
            f"{trend.kernel}", f"{trend.span}", f"{milliseconds:.1f}", f"{trend.correlation:.3f}"
        )
    print_table(table)


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    return run_command(
        PROGRAM, lambda: run(tyro.cli(Options, prog=PROGRAM, description=__doc__, args=argv))
    )


if __name__ == "__main__":
    sys.exit(main())
