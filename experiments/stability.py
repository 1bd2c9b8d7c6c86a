r"""How stable a codec's tokens are: small changes of the audio, and coding again and again.

    python experiments/stability.py base stream recordings --out stability.json \
        --figure stability.png
    python experiments/stability.py 3kbps recordings --out stability.json --clips 10 --generations 3

Of each MODEL, over clips of DATA: the share of tokens that stay the same, and the mean difference
of levels, after shifts of one sample up to a hop, a cut at another place, gains, noise at -40 dB,
resampling and rounding to 16 bits; then, for audio that is coded up to --generations times in a
row, both against the first coding's tokens, and PESQ and STOI against the original.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.box import SIMPLE_HEAD
from rich.table import Table

from l3ac_jax.cli.printing import print_table
from l3ac_jax.cli.run import run_command
from l3ac_jax.errors import ArgumentError

PROGRAM = "stability.py"
MOST_MODELS = 6  # that a figure tells apart


@dataclass(frozen=True)
class Options:
    """What to measure, and where the results go."""

    inputs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="MODEL... DATA")]
    """Names, model folders or files, or training runs; at the end a folder of audio, or a file."""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """Results as JSON."""
    figure: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Where to draw them; .png, .pdf or .svg."""
    clips: int | None = None
    """So many clips, drawn at random from the domains in turn; all by default."""
    generations: int = 10
    """How often audio is coded in a row."""
    seed: int = 0
    """Of the choice of clips, and of the noise."""
    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Replace existing files."""


def measure(options: Options) -> None:
    """Measure, print and write."""
    from l3ac_jax.evaluation.clips import choose_clips, find_clips, read_mono
    from l3ac_jax.plots.figures import check_figure, save_figure
    from l3ac_jax.system.files import check_output, complete_file

    models, data = dict.fromkeys(options.inputs[:-1]), options.inputs[-1]
    if not 1 <= len(models) <= MOST_MODELS:
        raise ArgumentError(
            f"MODEL... DATA: 1 to {MOST_MODELS} models are needed: got {len(models)}"
        )
    if options.generations < 1:
        raise ArgumentError(f"--generations: at least 1 is needed, got {options.generations}")
    check_output(options.out, options.overwrite)
    if options.figure is not None:
        check_figure(options.figure, options.overwrite)
    chosen = choose_clips(find_clips(data), options.clips, options.seed)
    # Only here: what is wrong so far is said at once.
    from l3ac_jax.codec.pretrained import get_model
    from l3ac_jax.evaluation.stability import draw_stability, generations, stability
    from l3ac_jax.system.compilation import keep_compiled_programs

    keep_compiled_programs()
    changes, coded = {}, {}
    for name in models:
        codec = get_model(name)
        clips = [read_mono(clip.path, codec.sample_rate) for clip in chosen]
        seconds = sum(map(len, clips)) / codec.sample_rate
        table = _table(f"{name}: {len(clips)} clips, {seconds:.0f} s", "after", "tokens")
        changes[name] = list(stability(codec, clips, options.seed))
        for row in changes[name]:
            table.add_row(
                row.name, f"{100 * row.equal:.1f} %", f"{row.distance:.3f}", f"{row.tokens}"
            )
        print_table(table)
        table = _table(f"{name}, coded again and again", "times", "PESQ-WB", "STOI")
        coded[name] = []
        for row in generations(codec, clips, options.generations):
            coded[name].append(row)
            table.add_row(
                f"{row.number}",
                f"{100 * row.equal:.1f} %",
                f"{row.distance:.3f}",
                f"{row.pesq:.2f}",
                f"{row.stoi:.3f}",
            )
        print_table(table)
    results = {
        name: {
            "changes": [row._asdict() for row in changes[name]],
            "generations": [row._asdict() for row in coded[name]],
        }
        for name in models
    }
    report = {"data": data, "clips": [clip.name for clip in chosen], "models": results}
    with complete_file(options.out, options.overwrite) as part:
        part.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if options.figure is not None:
        save_figure(draw_stability(changes, coded), options.figure, options.overwrite)


def _table(title: str, first: str, *last: str) -> Table:
    table = Table(first, title=title, title_justify="left", box=SIMPLE_HEAD)
    for heading in ("same tokens", "levels apart", *last):
        table.add_column(heading, justify="right")
    return table


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    return run_command(
        PROGRAM,
        lambda: measure(tyro.cli(Options, prog=PROGRAM, description=__doc__, args=argv)),
        "no file was written",
    )


if __name__ == "__main__":
    sys.exit(main())
