r"""How well machines still understand decoded audio: words, voices, sounds, notes, captions.

    python experiments/applications.py base small recordings --application words \
        --out words.json --references opus codec2
    python experiments/applications.py base speakers --application voices --out voices.json \
        --clips-each 6
    python experiments/applications.py base samples --application sounds --out sounds.json
    python experiments/applications.py base songs --application notes --out notes.json
    python experiments/applications.py base sounds --application captions --captioner MODEL \
        --out captions.json

words: the error rate of a recognizer (PocketSphinx with its English model, or --words WHISPER)
against the .txt file beside a clip, and the words that are others than in the original. voices: the
equal error rate of Resemblyzer, which knows speakers (the folders of DATA) by originals and is
tested with decoded clips. sounds: the accuracy of a classifier of the folders of DATA that is
trained on originals. notes: the F-measure of a transcription against that of the original; its
model comes with `pip install --no-deps basic-pitch`. captions: the words that a description by
--captioner, a model of transformers, shares with the .txt file beside a clip, and with what it says
of the original. Nothing is downloaded but what --words and --captioner name.

Prints a table with 95 % bootstrap intervals, and writes it, with the values of all clips, as JSON.
Files that cannot be read are named at the end; the exit code is then 1.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from evaluation_options import EvaluationOptions
from progress_display import ProgressDisplay
from rich.console import Console

from l3ac_jax.cli.printing import print_table
from l3ac_jax.cli.run import FAILED, run_command
from l3ac_jax.errors import ArgumentError

if TYPE_CHECKING:
    from l3ac_jax.evaluation.applications.application import Application

PROGRAM = "applications.py"


@dataclass(frozen=True, kw_only=True)
class Options(EvaluationOptions):
    """What to measure, on what, and where the results go."""

    application: Literal["words", "voices", "sounds", "notes", "captions"]
    """What machines do with the audio."""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE.json")]
    """Where the results go."""
    words: Annotated[str | None, tyro.conf.arg(metavar="WHISPER")] = None
    """Words by this model of faster-whisper, a name or a folder, instead of PocketSphinx."""
    captioner: Annotated[str | None, tyro.conf.arg(metavar="WHISPER")] = None
    """Captions by this model, a name or a folder: one of the Whisper family trained for them."""
    prompt: str = ""
    """What the captioner's text begins with, if it was trained with one: "clotho > caption: "."""
    clips_each: int | None = None
    """At most so many clips of each folder, drawn at random."""
    seconds: float | None = None
    """Only so much of each clip, from its beginning."""
    workers: int = field(default_factory=lambda: min(2, os.cpu_count() or 1))
    """Processes that listen."""
    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Replace an existing file."""


def measure(options: Options) -> int:
    """Measure, print and write; 1 if there were files that could not be read."""
    from l3ac_jax.evaluation.applications.measuring import Settings, limit_each
    from l3ac_jax.evaluation.applications.measuring import measure as run_application
    from l3ac_jax.evaluation.applications.report import report_table, write_report
    from l3ac_jax.system.files import check_output

    if options.words is not None and options.application != "words":
        raise ArgumentError("--words: is a model for --application words")
    if (options.captioner is not None) != (options.application == "captions"):
        raise ArgumentError("--captioner: is needed for --application captions, and for it alone")
    if options.prompt and options.captioner is None:
        raise ArgumentError("--prompt: is for a --captioner")
    settings = Settings(options.workers, options.seconds, options.seed)
    check_output(options.out, options.overwrite)
    clips = limit_each(options.chosen_clips(), options.clips_each, options.seed)
    application = _application(options)
    application.choose(clips)
    application.check()
    # Only here: what is wrong so far is said at once.
    codecs = options.codecs()
    with ProgressDisplay() as display:
        report = run_application(application, codecs, clips, options.data, settings, display.update)
    write_report(options.out, report, options.overwrite)
    console = Console(soft_wrap=True)
    print_table(report_table(report, application.metrics))
    for line in report.remarks:
        console.print(line, highlight=False, markup=False)
    for line in report.failures:
        print(f"{PROGRAM}: left out: {line}", file=sys.stderr)
    return FAILED if report.failures else 0


def _application(options: Options) -> Application:
    from l3ac_jax.evaluation.applications.captions import Captions
    from l3ac_jax.evaluation.applications.notes import Notes
    from l3ac_jax.evaluation.applications.sounds import Sounds
    from l3ac_jax.evaluation.applications.voices import Voices
    from l3ac_jax.evaluation.applications.words import Words

    if options.captioner is not None:
        return Captions(options.captioner, options.prompt)
    if options.application == "words":
        return Words(options.words)
    if options.application == "sounds":
        return Sounds(options.seed)
    return Voices() if options.application == "voices" else Notes()


def main(argv: list[str] | None = None) -> int:
    """Returns 0, 1 if clips were left out, 2 for mistakes, 130 when interrupted."""
    return run_command(
        PROGRAM,
        lambda: measure(tyro.cli(Options, prog=PROGRAM, description=__doc__, args=argv)),
    )


if __name__ == "__main__":
    sys.exit(main())
