r"""How stable a codec's tokens are: small changes of the audio, and coding again and again.

    python experiments/stability.py base stream recordings --out stability.json \
        --figure stability.png
    python experiments/stability.py 3kbps recordings --out stability.json --clips 10 --generations 3
    python experiments/stability.py base recordings --out cpu.json --keep-tokens cpu.npz
    python experiments/stability.py base recordings --out gpu.json --beside cpu.npz

Of each MODEL, over clips of DATA: the share of tokens that stay the same, and the mean difference
of levels, after shifts of one sample up to a hop, a cut at another place, gains, noise at -40 dB,
resampling and rounding to 16 bits; then, for audio that is coded up to --generations times in a
row, both against the first coding's tokens, and PESQ and STOI against the original. With --beside,
first of all against the tokens of the same clips that another machine, precision or version made.
Of codecs of others it is the first codebook's.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from rich.box import SIMPLE_HEAD
from rich.table import Table

from l3ac_jax.cli.printing import print_table
from l3ac_jax.cli.run import run_command
from l3ac_jax.errors import ArgumentError

if TYPE_CHECKING:
    from l3ac_jax.evaluation.codecs import CodecUnderTest
    from l3ac_jax.evaluation.tokenizers import Tokenizer
    from l3ac_jax.model.precision import Precision

PROGRAM = "stability.py"
MOST_CODECS = 6  # that a figure tells apart
LIKELY_BITRATE = 3000.0  # what references without one are asked for is the nearest to it


@dataclass(frozen=True)
class Options:
    """What to measure, and where the results go."""

    inputs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="MODEL... DATA")]
    """Names, model folders or files, or training runs; at the end a folder of audio, or a file."""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """Results as JSON."""
    figure: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Where to draw them; .png, .pdf or .svg."""
    references: Annotated[tuple[str, ...], tyro.conf.arg(metavar="CODEC")] = ()
    """Codecs of others beside the models: encodec, dac, mimi, snac, with :RATE and @WEIGHTS, as
    evaluate.py takes them (the extra `references`)."""
    precision: Literal["exact", "fast"] = "exact"
    """Of the models on an accelerator."""
    keep_tokens: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Write the clips' tokens to a file, for --beside."""
    beside: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FILE ...")] = ()
    """Compare with the tokens of these files, too: of the same models and clips."""
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
    from l3ac_jax.evaluation.kept_tokens import load_tokens, save_tokens
    from l3ac_jax.evaluation.published_networks import FAMILIES
    from l3ac_jax.plots.figures import check_figure, save_figure
    from l3ac_jax.system.files import check_output, complete_file

    models, data = dict.fromkeys(options.inputs[:-1]), options.inputs[-1]
    if not 1 <= len(models) + len(options.references) <= MOST_CODECS:
        raise ArgumentError(
            f"MODEL... DATA: 1 to {MOST_CODECS} codecs are needed: got "
            f"{len(models) + len(options.references)}"
        )
    for word in options.references:
        if re.split("[:@]", word)[0] not in FAMILIES:
            raise ArgumentError(f"--references: {word}: tokens are had of {', '.join(FAMILIES)}")
    if options.generations < 1:
        raise ArgumentError(f"--generations: at least 1 is needed, got {options.generations}")
    for path in filter(None, (options.out, options.keep_tokens)):
        check_output(path, options.overwrite)
    if options.figure is not None:
        check_figure(options.figure, options.overwrite)
    chosen = choose_clips(find_clips(data), options.clips, options.seed)
    names = [clip.name for clip in chosen]
    # Only here: what is wrong so far is said at once.
    from l3ac_jax.evaluation.references import nearest_references

    references = nearest_references(options.references, [LIKELY_BITRATE])
    for name in (*models, *(codec.info.name for codec in references)):
        for path in options.beside:
            load_tokens(path, name, names)
    from l3ac_jax.evaluation.stability import draw_stability, generations, stability
    from l3ac_jax.system.compilation import keep_compiled_programs

    keep_compiled_programs()
    changes, coded, kept = {}, {}, {}
    for name, tokenizer in _tokenizers(models, references, options.precision):
        clips = [read_mono(clip.path, tokenizer.sample_rate) for clip in chosen]
        seconds = sum(map(len, clips)) / tokenizer.sample_rate
        table = _table(f"{name}: {len(clips)} clips, {seconds:.0f} s", "after", "tokens")
        if options.keep_tokens is not None:
            kept[name] = dict(zip(names, map(tokenizer.tokens, clips), strict=True))
        elsewhere = {
            f"beside {path.name}": load_tokens(path, name, names) for path in options.beside
        }
        changes[name] = list(stability(tokenizer, clips, options.seed, elsewhere))
        for row in changes[name]:
            table.add_row(
                row.name, f"{100 * row.equal:.1f} %", _distance(row.distance), f"{row.tokens}"
            )
        print_table(table)
        table = _table(f"{name}, coded again and again", "times", "PESQ-WB", "STOI")
        coded[name] = []
        for row in generations(tokenizer, clips, options.generations):
            coded[name].append(row)
            table.add_row(
                f"{row.number}",
                f"{100 * row.equal:.1f} %",
                _distance(row.distance),
                f"{row.pesq:.2f}",
                f"{row.stoi:.3f}",
            )
        print_table(table)
    results = {
        name: {
            "changes": [_finite(row._asdict()) for row in changes[name]],
            "generations": [_finite(row._asdict()) for row in coded[name]],
        }
        for name in changes
    }
    report = {"data": data, "clips": names, "models": results}
    with complete_file(options.out, options.overwrite) as part:
        part.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if options.keep_tokens is not None:
        save_tokens(options.keep_tokens, kept, options.overwrite)
    if options.figure is not None:
        save_figure(draw_stability(changes, coded), options.figure, options.overwrite)


def _tokenizers(
    models: Iterable[str], references: Iterable[CodecUnderTest], precision: Precision
) -> Iterator[tuple[str, Tokenizer]]:
    """By name: models, each loaded when it is its turn, and references."""
    from l3ac_jax.codec.pretrained import get_model
    from l3ac_jax.evaluation.published_networks import PublishedCodec
    from l3ac_jax.evaluation.tokenizers import FirstCodebook, Levels

    for name in models:
        yield name, Levels(get_model(name, precision))
    for codec in references:
        assert isinstance(codec, PublishedCodec)  # as the words were checked
        yield codec.info.name, FirstCodebook(codec)


def _distance(levels: float) -> str:
    """Nothing where there are no levels."""
    return "" if isnan(levels) else f"{levels:.3f}"


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    """As JSON has it: null for NaN."""
    return {
        key: None if isinstance(value, float) and isnan(value) else value
        for key, value in row.items()
    }


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
