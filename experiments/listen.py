r"""A page to listen to codecs: originals and reconstructions, spectrograms, scores.

    python experiments/listen.py 3kbps 1kbps recordings --out page.html
    python experiments/listen.py runs/smoke recordings --clips 6 --out smoke.html \
        --references opus:6000 --keep runs/smoke-listening

MODELs are names, model folders or files, or training runs; DATA is a folder of audio files, whose
first subfolders are the domains, or one file. The page is one HTML file, which browsers open
without a network. It holds all audio: each second takes about 40 kB for each model, and as much for
the original, so 12 clips of 10 s with two models make 15 MB. Files that cannot be used are named at
the end, and in the page; the exit code is then 1.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import tyro
from evaluation_options import EvaluationOptions
from numpy.typing import NDArray
from rich.console import Console

from l3ac_jax.cli.run import FAILED, run_command

if TYPE_CHECKING:
    from l3ac_jax.evaluation.report import Report

PROGRAM = "listen.py"


@dataclass(frozen=True, kw_only=True)
class Options(EvaluationOptions):
    """What goes into the page, and where it goes."""

    out: Annotated[Path, tyro.conf.arg(metavar="PAGE.html")]
    """The page."""
    figure: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Draw the spectrograms too: a column for each clip, a row for each codec; .png, .pdf, .svg."""
    keep: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Keep scores and decoded audio here, as evaluate.py does, and go on from what is there."""
    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Replace a page that exists."""


def listen(options: Options) -> int:
    """Write the page; 1 if there were files that could not be used."""
    clips = options.chosen_clips()
    from l3ac_jax.evaluation.clips import read_mono
    from l3ac_jax.evaluation.listening_page import check_listening_page, write_listening_page
    from l3ac_jax.evaluation.spectrogram_figure import draw_spectrograms
    from l3ac_jax.plots.figures import check_figure, save_figure

    check_listening_page(options.out, options.overwrite)
    if options.figure is not None:
        check_figure(options.figure, options.overwrite)
    # Only here: what is wrong so far is said at once.
    from l3ac_jax.evaluation.evaluate import Settings, audio_path, evaluate, scoring_rate

    codecs = options.codecs()
    sample_rate = scoring_rate([codec.info for codec in codecs])
    settings = Settings(options.workers, seed=options.seed)
    paths = {clip.name: clip.path for clip in clips}

    def original(clip: str) -> NDArray[np.float32]:
        return read_mono(paths[clip], sample_rate)

    with ExitStack() as stack:
        folder = options.keep or stack.enter_context(tempfile.TemporaryDirectory())
        status = stack.enter_context(Console(stderr=True).status("loading"))
        report = evaluate(
            codecs,
            clips,
            folder,
            options.data,
            settings,
            lambda what, done, total: status.update(f"{what}: {done} of {total} clips"),
        )
        for line in report.failures:
            print(f"{PROGRAM}: left out: {line}", file=sys.stderr)
        status.update("writing the page")

        def decoded(codec: str, clip: str) -> NDArray[np.float32]:
            return read_mono(audio_path(folder, codec, clip), sample_rate, len(original(clip)))

        size = write_listening_page(
            options.out, report, original, decoded, sample_rate, options.overwrite
        )
        whole = _coded_by_all(report)
        if options.figure is not None and whole:
            rows = _short([codec.name for codec in report.codecs])
            pictures = {
                name: {"original": original(clip)}
                | {row: decoded(codec, clip) for codec, row in rows.items()}
                for clip, name in _short(whole).items()
            }
            title = f"{options.data}, {sample_rate} Hz"
            save_figure(
                draw_spectrograms(pictures, sample_rate, title), options.figure, options.overwrite
            )
    heard = len({scores.clip for scores in report.clips})
    print(f"{options.out}: clips: {heard}, codecs: {len(codecs)}, {size / 1e6:.1f} MB")
    return FAILED if report.failures else 0


def _short(names: list[str]) -> dict[str, str]:
    """What is written beside a picture: the last part of a path, where that is one's own."""
    last = Counter(Path(name).name for name in names)
    return {name: Path(name).name if last[Path(name).name] == 1 else name for name in names}


def _coded_by_all(report: Report) -> list[str]:
    """The clips that have a picture for every codec."""
    coded = Counter(scores.clip for scores in report.clips)
    return [clip for clip, codecs in coded.items() if codecs == len(report.codecs)]


def main(argv: list[str] | None = None) -> int:
    """Returns 0, 1 if clips were left out, 2 for mistakes, 130 when interrupted."""
    return run_command(
        PROGRAM, lambda: listen(tyro.cli(Options, prog=PROGRAM, description=__doc__, args=argv))
    )


if __name__ == "__main__":
    sys.exit(main())
