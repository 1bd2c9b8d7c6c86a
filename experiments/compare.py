r"""Rate, quality and complexity of the codecs evaluated here, beside published figures.

    python experiments/compare.py runs/eval --figure compare.png
    python experiments/compare.py runs/eval runs/ablation/evaluation.json --domain all \
        --metric pesq --csv compare.csv

EVALUATION is what experiments/evaluate.py wrote: evaluation.json, or its folder. Without one, there
are the published figures alone: those of the L3AC paper's chart, on Codec-SUPERB speech, which is
another test set than yours. Filled bubbles are measured here, dashed ones are published. A bubble's
area is the complexity: multiply-accumulates for a second of audio, for L3AC counted by formula (the
published count is some twenty times too low, see complexity.py), for other codecs as published.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from l3ac_jax.cli.printing import print_table
from l3ac_jax.cli.run import run_command
from l3ac_jax.errors import ArgumentError
from l3ac_jax.system.files import check_output

if TYPE_CHECKING:
    from l3ac_jax.evaluation.comparison import ComparisonRow

PROGRAM = "compare.py"


@dataclass(frozen=True)
class Options:
    """What to compare."""

    evaluations: Annotated[
        tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="EVALUATION ...")
    ] = ()
    """evaluation.json files, or their folders."""
    domain: str = "speech"
    """Whose scores to take of the evaluations: a domain, or "all"; the published are of speech."""
    metric: tuple[Literal["pesq", "stoi", "visqol", "mel"], ...] = ("pesq", "stoi")
    """Scores to show and draw; the published are pesq and stoi."""
    figure: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Draw the bubble chart; .png, .pdf or .svg."""
    csv: Annotated[Path | None, tyro.conf.arg(metavar="FILE.csv")] = None
    """Write the table, with test sets and sources."""
    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Replace existing files."""


def run(options: Options) -> None:
    """Reads, prints and draws."""
    from l3ac_jax.evaluation.comparison import measured_rows, published_rows, write_rows
    from l3ac_jax.evaluation.comparison_figure import draw_comparison
    from l3ac_jax.plots.figures import check_figure, save_figure

    if not options.metric:
        raise ArgumentError("--metric: give pesq, stoi, visqol or mel, or several of them")
    if options.csv is not None:
        check_output(options.csv, options.overwrite)
    if options.figure is not None:
        check_figure(options.figure, options.overwrite)
    rows = measured_rows(options.evaluations, options.domain) + published_rows()
    _print(rows, options.metric)
    if options.csv is not None:
        write_rows(options.csv, rows, options.overwrite)
    if options.figure is not None:
        save_figure(draw_comparison(rows, options.metric), options.figure, options.overwrite)


def _print(rows: Sequence[ComparisonRow], metrics: Sequence[str]) -> None:
    from l3ac_jax.evaluation.report import METRICS

    titles = [METRICS[metric].title for metric in metrics]
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, pad_edge=False)
    for column in (
        "from",
        "model",
        "bit/s",
        "token/s",
        "wait",
        *titles,
        "GMAC/s",
        "publ.",
        "codes",
    ):
        words = column in ("from", "model", "codes")
        table.add_column(column, justify="left" if words else "right", no_wrap=column != "model")
    for number, row in enumerate(rows):
        scores = (
            f"{score.mean:.{METRICS[metric].decimals if row.measured else 2}f}"
            if (score := row.scores.get(metric))
            else ""
            for metric in metrics
        )
        counts = (
            "" if count is None else f"{count:.2f}" for count in (row.gmac, row.gmac_published)
        )
        table.add_row(
            "here" if row.measured else "paper",
            row.point,
            f"{row.bitrate:,.0f}",
            "" if row.tokens is None else f"{row.tokens:.0f}",
            _latency(row.latency_ms),
            *scores,
            *counts,
            row.quantizers or "",
            end_section=[next_row.codec for next_row in rows[number + 1 : number + 2]]
            != [row.codec],
        )
    console = Console()
    print_table(table)
    console.print(
        "wait: from a sample to the same one decoded, other than for computing; clip: for its end. "
        "GMAC/s by formula, publ. as published. codes: quantizers."
    )
    for words, measured in (("measured here", True), ("published", False)):
        for test_set, source in dict.fromkeys(
            (row.test_set, row.source) for row in rows if row.measured == measured
        ):
            console.print(f"{words}: {test_set}; {source}", highlight=False)


def _latency(milliseconds: float | None) -> str:
    if milliseconds is None:
        return ""
    return "clip" if math.isinf(milliseconds) else f"{milliseconds:.0f} ms"


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    return run_command(
        PROGRAM, lambda: run(tyro.cli(Options, prog=PROGRAM, description=__doc__, args=argv))
    )


if __name__ == "__main__":
    sys.exit(main())
