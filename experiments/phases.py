r"""Up to which frequency a codec keeps phases: the correlation of waveforms, band by band.

    python experiments/phases.py base music recordings --references opus:6000 --out phases.json

A tone that comes back as noise of the same spectrum has a correlation of 0 in its band, and one
that comes back as it was has 1; distances of spectra tell them apart badly or not at all. MODELs
are names, model folders or files, or training runs; DATA is a folder of audio files, or one file.
Prints means over clips. Each codec works at its own sample rate: what is past half of it has no
correlation, nor has a band in which a recording has nothing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import tyro
from evaluation_options import CodingOptions
from rich.box import SIMPLE_HEAD
from rich.table import Table

from l3ac_jax.cli.printing import print_table
from l3ac_jax.cli.run import run_command
from l3ac_jax.errors import ArgumentError

if TYPE_CHECKING:
    from l3ac_jax.evaluation.clips import EvaluationClip
    from l3ac_jax.evaluation.codecs import CodecUnderTest

PROGRAM = "phases.py"


@dataclass(frozen=True, kw_only=True)
class Options(CodingOptions):
    """Which bands, and where the results go."""

    edges: tuple[float, ...] = (0, 250, 500, 750, 1000, 1500, 2000, 3000, 4000, 6000, 8000, 12000)
    """Where bands begin and end, in Hz."""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """Results as JSON: for each codec and clip, the correlation of each band (null: none)."""
    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Replace an existing file."""


def measure(options: Options) -> None:
    """Measure, print and write."""
    from l3ac_jax.system.files import check_output, complete_file

    edges = options.edges
    if len(edges) < 2 or edges[0] < 0 or any(low >= high for low, high in pairwise(edges)):
        given = " ".join(f"{edge:g}" for edge in edges)
        raise ArgumentError(f"--edges: two or more that rise from 0 or above, got: {given}")
    check_output(options.out, options.overwrite)
    clips = options.chosen_clips()
    found: dict[str, dict[str, list[float]]] = {}
    for codec in options.codecs():
        found[codec.info.name] = dict(of_codec(codec, clips, edges))
    print_table(means(found, edges))
    report = {
        "data": options.data,
        "edges": edges,
        "correlation": {
            name: {clip: [None if np.isnan(v) else v for v in row] for clip, row in rows.items()}
            for name, rows in found.items()
        },
    }
    with complete_file(options.out, options.overwrite) as part:
        part.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def of_codec(
    codec: CodecUnderTest, clips: list[EvaluationClip], edges: tuple[float, ...]
) -> Iterator[tuple[str, list[float]]]:
    """The names of the clips, each with the correlation of each band."""
    from l3ac_jax.evaluation.clips import read_mono
    from l3ac_jax.metrics.music import correlations

    rate = codec.info.sample_rate
    # A band that ends past half the rate would be scored by a part of it.
    bands = [(low, high) if high <= rate / 2 else (np.inf, np.inf) for low, high in pairwise(edges)]
    for clip in clips:
        audio = read_mono(clip.path, rate)
        yield clip.name, correlations(audio, codec.code(audio).decoded, rate, bands)


def means(found: dict[str, dict[str, list[float]]], edges: tuple[float, ...]) -> Table:
    """A row for each band, a column for each codec; the mean of the clips that have a value."""
    table = Table("Hz", *found, box=SIMPLE_HEAD)
    for place, (low, high) in enumerate(pairwise(edges)):
        cells = []
        for rows in found.values():
            values = [row[place] for row in rows.values() if np.isfinite(row[place])]
            cells.append(f"{np.mean(values):.3f}" if values else "-")
        table.add_row(f"{low:g} to {high:g}", *cells)
    return table


def main(argv: list[str] | None = None) -> int:
    """Returns 0, 2 for mistakes, 130 when interrupted."""
    return run_command(
        PROGRAM,
        lambda: measure(tyro.cli(Options, prog=PROGRAM, description=__doc__, args=argv)),
        interrupted="nothing was written",
    )


if __name__ == "__main__":
    sys.exit(main())
