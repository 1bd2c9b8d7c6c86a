r"""Evaluate codecs on recordings: quality, pitch, tokens and speed, by domain.

    python experiments/evaluate.py 3kbps 1kbps recordings --out runs/evaluation
    python experiments/evaluate.py runs/smoke tests/fixtures --out runs/smoke-evaluation \
        --references codec2:3200 opus --speaker --dnsmos
    python experiments/evaluate.py base music songs --out runs/music --music --references opus:12000

MODELs are names, model folders or files, or training runs; DATA is a folder of audio files, whose
first subfolders are the domains. Codecs of several sample rates are scored at the highest. Prints
tables with 95 % confidence intervals (bootstrap over clips) and writes DIR/evaluation.json,
DIR/clips.csv and DIR/audio. Run again, it goes on where it was interrupted. Files that cannot be
used are named at the end; the exit code is then 1.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from evaluation_options import EvaluationOptions
from progress_display import ProgressDisplay

from l3ac_jax.cli.printing import print_table
from l3ac_jax.cli.run import FAILED, run_command

PROGRAM = "evaluate.py"


@dataclass(frozen=True, kw_only=True)
class Options(EvaluationOptions):
    """What to evaluate, and where the results go."""

    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Folder for the results: a new one, or one to go on with."""
    speaker: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Similarity of the speakers' voices, by Resemblyzer."""
    dnsmos: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Quality without a reference, by DNSMOS."""
    words: Annotated[str | None, tyro.conf.arg(metavar="WHISPER")] = None
    """Word error rate with this model of faster-whisper, a name or a folder. The truth is the text
    file beside a clip (.txt), without one what is heard in the original."""

    music: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Scores of music: ViSQOL in audio mode, distances and correlations by band, chroma, onsets,
    tempo, beats, loudness."""
    notes: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """F-measure of the notes that basic-pitch's model hears (pip install --no-deps basic-pitch)."""


def evaluate(options: Options) -> int:
    """Evaluate and print; 1 if there were files that could not be used."""
    clips = options.chosen_clips()
    from l3ac_jax.evaluation.scoring import Extras

    extras = Extras(options.speaker, options.dnsmos, options.words, options.music, options.notes)
    extras.check()
    # Only here: what is wrong so far is said at once.
    from l3ac_jax.evaluation.evaluate import Settings
    from l3ac_jax.evaluation.evaluate import evaluate as run_evaluation
    from l3ac_jax.evaluation.tables import report_tables

    codecs = options.codecs()
    settings = Settings(options.workers, extras, options.seed)
    with ProgressDisplay() as display:
        report = run_evaluation(codecs, clips, options.out, options.data, settings, display.update)
    for table in report_tables(report):
        print_table(table)
    for line in report.failures:
        print(f"{PROGRAM}: left out: {line}", file=sys.stderr)
    return FAILED if report.failures else 0


def main(argv: list[str] | None = None) -> int:
    """Returns 0, 1 if clips were left out, 2 for mistakes, 130 when interrupted."""
    return run_command(
        PROGRAM,
        lambda: evaluate(tyro.cli(Options, prog=PROGRAM, description=__doc__, args=argv)),
        interrupted="the same command goes on",
    )


if __name__ == "__main__":
    sys.exit(main())
