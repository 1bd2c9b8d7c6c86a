r"""Stereo through a codec of one channel: left and right, or mid and side.

    python experiments/music_evaluation.py recordings/stereo --rate 16000 --stereo
    python experiments/stereo.py base recordings/stereo --out stereo.json

Each clip of DATA that has two channels is coded as left and right, as mid and side (the same bits),
and as mid alone (half of them). Prints means, and mid and side against left and right clip by clip
with 95 % intervals (bootstrap over clips): SI-SDR and mel distance of the channels, by how much
wider the decoded audio is, by how much the channels' levels moved against each other, and the side
signal against its error.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import tyro
from rich.box import SIMPLE_HEAD
from rich.table import Table

from l3ac_jax.cli.printing import print_table
from l3ac_jax.cli.run import run_command
from l3ac_jax.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from l3ac_jax.evaluation.stereo import StereoScores

PROGRAM = "stereo.py"


@dataclass(frozen=True)
class Options:
    """What to code, and where the results go."""

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
    """A name, a model folder or file, or a training run."""
    data: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DATA")]
    """A folder of stereo recordings, or a file."""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """Results as JSON."""
    clips: int | None = None
    """So many clips, drawn at random; all by default."""
    seed: int = 0
    """Of the choice of clips, and of the intervals."""
    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Replace an existing file."""


def measure(options: Options) -> None:
    """Measure, print and write."""
    from l3ac_jax.audio.reading import read_audio
    from l3ac_jax.audio.resampling import resample
    from l3ac_jax.evaluation.clips import choose_clips, find_clips
    from l3ac_jax.system.files import check_output, complete_file

    check_output(options.out, options.overwrite)
    chosen = choose_clips(find_clips(options.data), options.clips, options.seed)
    recordings = [(clip.name, read_audio(clip.path)) for clip in chosen]
    stereo = [(name, audio) for name, audio in recordings if len(audio.samples) == 2]
    if not stereo:
        raise ArgumentError(f"{options.data}: none of {len(recordings)} recordings is stereo")
    # Only here: what is wrong so far is said at once.
    from l3ac_jax.codec.pretrained import get_model
    from l3ac_jax.evaluation.stereo import code_stereo
    from l3ac_jax.system.compilation import keep_compiled_programs

    keep_compiled_programs()
    codec = get_model(options.model)
    clips = [
        (name, resample(audio.samples, audio.sample_rate, codec.sample_rate))
        for name, audio in stereo
    ]
    scores = list(code_stereo(codec, clips))
    seconds = sum(samples.shape[1] for _, samples in clips) / codec.sample_rate
    left_out = len(recordings) - len(stereo)
    print(f"{options.model}: {len(clips)} stereo clips, {seconds:.0f} s", end="")
    print(f"; {left_out} of other channels left out" if left_out else "")
    print_table(comparison(scores, codec.bitrate, options.seed))
    report = {
        "model": options.model,
        "data": str(options.data),
        "clips": [row._asdict() for row in scores],
    }
    with complete_file(options.out, options.overwrite) as part:
        part.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


HEADINGS = {
    "si_sdr": "SI-SDR, dB",
    "mel": "mel distance",
    "width": "wider by, dB",
    "level_difference": "levels moved, dB",
    "image_sdr": "side / its error, dB",
}


def comparison(scores: Sequence[StereoScores], bitrate: float, seed: int) -> Table:
    """Means by way, and the difference of the two ways of equal rate."""
    from l3ac_jax.evaluation.report import confidence_interval
    from l3ac_jax.evaluation.stereo import WAYS

    by_way = {way: [row for row in scores if row.way == way] for way in WAYS}
    table = Table("", *WAYS, "second less first", box=SIMPLE_HEAD)
    table.add_row("bit/s", *(f"{way.streams * bitrate:.0f}" for way in WAYS.values()), "")
    for name, heading in HEADINGS.items():
        values = [[getattr(row, name) for row in rows] for rows in by_way.values()]
        first, second, _ = values
        found = confidence_interval((b - a for a, b in zip(first, second, strict=True)), seed)
        difference = f"{found.mean:+.2f} [{found.low:+.2f}, {found.high:+.2f}]" if found else "-"
        table.add_row(heading, *map(_mean, values), difference)
    return table


def _mean(values: Sequence[float]) -> str:
    """Of those that exist: the image of mono, and one that is gone, have none."""
    finite = [value for value in values if np.isfinite(value)]
    return f"{np.mean(finite):.2f}" if finite else "-"


def main(argv: list[str] | None = None) -> int:
    """Returns 0, 2 for mistakes, 130 when interrupted."""
    return run_command(
        PROGRAM,
        lambda: measure(tyro.cli(Options, prog=PROGRAM, description=__doc__, args=argv)),
        interrupted="nothing was written",
    )


if __name__ == "__main__":
    sys.exit(main())
