r"""Evaluate codecs on recordings: quality, pitch, tokens and speed, by domain.

    python experiments/evaluate.py 3kbps 1kbps recordings --out runs/evaluation
    python experiments/evaluate.py runs/smoke tests/fixtures --out runs/smoke-evaluation \
        --references codec2:3200 opus --speaker --dnsmos

MODELs are published names, model folders or training runs; DATA is a folder of audio files, whose
first subfolders are the domains. Prints tables with 95 % confidence intervals (bootstrap over
clips) and writes DIR/evaluation.json, DIR/clips.csv and DIR/audio. Run again, it goes on where it
was interrupted. Files that cannot be used are named at the end; the exit code is then 1.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro
from command import FAILED, run_command
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

PROGRAM = "evaluate.py"


@dataclass(frozen=True)
class Options:
    """What to evaluate, and where the results go."""

    inputs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="MODEL... DATA")]
    """Models (published names, model folders, training runs), then a folder of audio files."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Folder for the results: a new one, or one to go on with."""
    references: Annotated[tuple[str, ...], tyro.conf.arg(metavar="CODEC")] = ()
    """Other codecs beside the models: opus and codec2, each at its rates nearest to the models',
    opus:RATE (bit/s) or codec2:MODE. They need opus-tools and codec2 installed."""
    clips: int | None = None
    """At most so many clips, drawn from the domains in turn."""
    seed: int = 0
    """Of the choice of clips and of the confidence intervals."""
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    """Processes that compute scores."""
    speaker: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Similarity of the speakers' voices, by Resemblyzer."""
    dnsmos: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Quality without a reference, by DNSMOS."""
    words: Annotated[str | None, tyro.conf.arg(metavar="WHISPER")] = None
    """Word error rate with this model of faster-whisper, a name or a folder. The truth is the text
    file beside a clip (.txt), without one what is heard in the original."""


def evaluate(options: Options) -> int:
    """Evaluate and print; 1 if there were files that could not be used."""
    if len(options.inputs) < 2:
        raise ValueError(f"MODEL... DATA: two or more are needed, got {len(options.inputs)}")
    *names, data = options.inputs
    if options.workers < 1:
        raise ValueError(f"--workers: at least 1 is needed, got {options.workers}")
    from l3ac_jax.evaluation.clips import choose_clips, find_clips
    from l3ac_jax.evaluation.scoring import Extras

    clips = choose_clips(find_clips(data), options.clips, options.seed)
    extras = Extras(options.speaker, options.dnsmos, options.words)
    extras.check()
    # Only here: what is wrong so far is said at once.
    from l3ac_jax.compilation import keep_compiled_programs
    from l3ac_jax.evaluation.codecs import NeuralCodec, nearest_references
    from l3ac_jax.evaluation.evaluate import Settings
    from l3ac_jax.evaluation.evaluate import evaluate as run_evaluation
    from l3ac_jax.evaluation.tables import report_tables
    from l3ac_jax.pretrained import get_model

    keep_compiled_programs()
    models = [NeuralCodec(name, get_model(name)) for name in dict.fromkeys(names)]
    rates = [model.info.bitrate for model in models]
    codecs = [*models, *nearest_references(options.references, rates)]
    settings = Settings(options.workers, extras, options.seed)
    with _Display() as display:
        report = run_evaluation(codecs, clips, options.out, data, settings, display.update)
    console = Console(soft_wrap=True)
    for table in report_tables(report):
        console.print(table)
    for line in report.failures:
        print(f"{PROGRAM}: left out: {line}", file=sys.stderr)
    return FAILED if report.failures else 0


class _Display:
    """A bar for each thing that is done, on a terminal; nothing elsewhere."""

    def __init__(self):
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._tasks = {}

    def update(self, what: str, done: int, total: int) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=total)
        self._progress.update(self._tasks[what], completed=done)

    def __enter__(self) -> _Display:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


def main(argv: list[str] | None = None) -> int:
    """Returns 0, 1 if clips were left out, 2 for mistakes, 130 when interrupted."""
    return run_command(PROGRAM, Options, __doc__, evaluate, argv)


if __name__ == "__main__":
    sys.exit(main())
