r"""A page to listen to codecs: originals and reconstructions, spectrograms, scores.

    python experiments/listen.py 3kbps 1kbps recordings --out page.html
    python experiments/listen.py runs/smoke recordings --clips 6 --out smoke.html \
        --references opus:6000 --keep runs/smoke-listening

MODELs are published names, model folders or training runs; DATA is a folder of audio files, whose
first subfolders are the domains, or one file. The page is one HTML file, which browsers open
without a network. It holds all audio: each second takes about 40 kB for each model, and as much for
the original, so 12 clips of 10 s with two models make 15 MB. Files that cannot be used are named at
the end, and in the page; the exit code is then 1.
"""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro
from command import FAILED, run_command
from rich.console import Console

PROGRAM = "listen.py"


@dataclass(frozen=True)
class Options:
    """What goes into the page, and where it goes."""

    # One field: as two, all words go to the first.
    inputs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="MODEL... DATA")]
    """What to listen to, and the audio files, which come last."""
    out: Annotated[Path, tyro.conf.arg(metavar="PAGE.html")]
    """The page."""
    references: Annotated[tuple[str, ...], tyro.conf.arg(metavar="CODEC")] = ()
    """Other codecs beside the models: opus and codec2, each at its rates nearest to the models',
    opus:RATE (bit/s) or codec2:MODE. They need opus-tools and codec2 installed."""
    clips: int | None = None
    """At most so many clips, drawn from the domains in turn."""
    seed: int = 0
    """Of the choice of clips and of the confidence intervals."""
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    """Processes that compute scores."""
    keep: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Keep scores and decoded audio here, as evaluate.py does, and go on from what is there."""
    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Replace a page that exists."""


def listen(options: Options) -> int:
    """Write the page; 1 if there were files that could not be used."""
    if len(options.inputs) < 2:
        raise ValueError("MODEL and DATA are needed: at least one model, then the audio files")
    *names, data = options.inputs
    if options.workers < 1:
        raise ValueError(f"--workers: at least 1 is needed, got {options.workers}")
    from l3ac_jax.evaluation.clips import choose_clips, find_clips, read_mono
    from l3ac_jax.evaluation.listening_page import check_listening_page, write_listening_page

    check_listening_page(options.out, options.overwrite)
    clips = choose_clips(find_clips(data), options.clips, options.seed)
    # Only here: what is wrong so far is said at once.
    from l3ac_jax.compilation import keep_compiled_programs
    from l3ac_jax.evaluation.codecs import NeuralCodec, nearest_references
    from l3ac_jax.evaluation.evaluate import Settings, audio_path, evaluate
    from l3ac_jax.pretrained import get_model

    keep_compiled_programs()
    models = [NeuralCodec(name, get_model(name)) for name in dict.fromkeys(names)]
    rates = [model.info.bitrate for model in models]
    codecs = [*models, *nearest_references(options.references, rates)]
    sample_rate = models[0].info.sample_rate
    settings = Settings(options.workers, seed=options.seed)
    paths = {clip.name: clip.path for clip in clips}
    with ExitStack() as stack:
        folder = options.keep or stack.enter_context(tempfile.TemporaryDirectory())
        status = stack.enter_context(Console(stderr=True).status("loading"))
        report = evaluate(
            codecs,
            clips,
            folder,
            data,
            settings,
            lambda what, done, total: status.update(f"{what}: {done} of {total} clips"),
        )
        for line in report.failures:
            print(f"{PROGRAM}: left out: {line}", file=sys.stderr)
        status.update("writing the page")
        size = write_listening_page(
            options.out,
            report,
            lambda clip: read_mono(paths[clip], sample_rate),
            lambda codec, clip: read_mono(audio_path(folder, codec, clip), sample_rate),
            sample_rate,
            options.overwrite,
        )
    heard = len({scores.clip for scores in report.clips})
    print(f"{options.out}: clips: {heard}, codecs: {len(codecs)}, {size / 1e6:.1f} MB")
    return FAILED if report.failures else 0


def main(argv: list[str] | None = None) -> int:
    """Returns 0, 1 if clips were left out, 2 for mistakes, 130 when interrupted."""
    return run_command(PROGRAM, Options, __doc__, listen, argv)


if __name__ == "__main__":
    sys.exit(main())
