r"""Train and evaluate a set of configurations under one budget and from the same seeds.

    python experiments/ablate.py configs/0k75bps.toml configs/ablations/window_*.toml \
        --data recordings --out runs/windows --steps 20000 --seeds 0 1 2

The first configuration is the baseline. Every one is trained from each seed, then the best
checkpoints are evaluated on the audio files below --data. OUT gets a folder for each run,
ablation.json and ablation.csv with all scores, and ablation.png. Ended at any moment, the same
command goes on; finished runs are kept, and more configurations or seeds can be added.

Every field can be overridden for all of them as --section.key VALUE. With --base, the changes of
the files are laid over another model; so, in minutes on two cores, over a small one:

    python experiments/prepare_data.py folder recordings/train runs/miniature-data
    python experiments/ablate.py configs/miniature.toml configs/ablations/tpooling_off.toml \
        configs/ablations/noise_0.toml --base configs/miniature.toml \
        --data recordings/held-out --clips 12 --out runs/miniature --steps 150 --seeds 0 1

The budget is one of steps, not of time: the learning rate's schedule is laid over them. With
--fine-tune every run begins with a trained model, so that few steps say more; --fresh has the
layers that a variant changes begin at random in all of them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.console import Console

from l3ac_jax.cli.printing import print_table
from l3ac_jax.cli.run import FAILED, run_command
from l3ac_jax.config.layers import split_overrides
from l3ac_jax.errors import ArgumentError, OutputError, UserError

if TYPE_CHECKING:
    from l3ac_jax.evaluation.ablation import AblationRun, Variant
    from l3ac_jax.evaluation.clips import EvaluationClip
    from l3ac_jax.evaluation.report import Report

PROGRAM = "ablate.py"


@dataclass(frozen=True)
class Options:
    """What to train and how to compare it."""

    configs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="CONFIG ...")]
    """Configuration files, the baseline first. Results are named after them."""
    data: Annotated[Path, tyro.conf.arg(metavar="FOLDER")]
    """Recordings to evaluate on, none of which were trained on."""
    out: Annotated[Path, tyro.conf.arg(metavar="OUT")]
    """Folder for everything: a new one, or one to go on with."""
    base: Annotated[Path | None, tyro.conf.arg(metavar="CONFIG")] = None
    """Lay each file over this one instead of over the base that it names."""
    steps: int | None = None
    """Steps of training of each run; as the files say, unless given."""
    seeds: tuple[int, ...] = (0,)
    """Seeds of parameters and data: one run of each configuration for each."""
    fine_tune: Annotated[str | None, tyro.conf.arg(metavar="MODEL")] = None
    """Begin every run with the parameters of MODEL, as train.py does."""
    partly: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """With --fine-tune: layers that do not fit begin at random."""
    fresh: Annotated[tuple[str, ...], tyro.conf.arg(metavar="LAYER ...")] = ()
    """With --fine-tune: layers that begin at random although MODEL has them."""
    clips: int | None = None
    """Evaluate on at most so many recordings, drawn from the domains in turn."""
    seed: int = 0
    """Of the choice of recordings and of the confidence intervals."""
    metrics: tuple[str, ...] = ("pesq", "stoi", "estoi", "si_sdr", "mel", "usage")
    """Scores for the table and the figure; the files have all of them."""
    music: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Also the scores of music (the extra `music`), as evaluate.py has them."""
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    """Processes that score."""


def ablate(options: Options, overrides: list[str]) -> int:
    """Trains, evaluates and compares; returns 1 if a run failed."""
    from l3ac_jax.evaluation.ablation import plan_runs, read_variants
    from l3ac_jax.evaluation.clips import choose_clips, find_clips
    from l3ac_jax.plots.figures import new_figure
    from l3ac_jax.system.locks import FolderInUseError, exclusive

    _check(options)
    variants = read_variants(options.configs, overrides, options.base, options.steps)
    runs = plan_runs(variants, options.seeds, options.out, _beginning(options))
    clips = choose_clips(find_clips(options.data), options.clips, options.seed)
    new_figure()  # is matplotlib there?
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        with exclusive(options.out / ".lock"):
            return _run_all(options, variants, runs, clips)
    except FolderInUseError:
        raise OutputError(f"{options.out}: another ablation is running there") from None


def _check(options: Options) -> None:
    from l3ac_jax.evaluation.report import METRICS
    from l3ac_jax.evaluation.scoring import Extras
    from l3ac_jax.metrics.music import MUSIC_SCORES

    if not options.configs:
        raise ArgumentError("CONFIG: at least one configuration file is needed")
    if options.workers < 1:
        raise ArgumentError(f"--workers: at least 1 is needed, got {options.workers}")
    if options.steps is not None and options.steps < 1:
        raise ArgumentError(f"--steps: at least 1 is needed, got {options.steps}")
    if not options.seeds or min(options.seeds) < 0:
        raise ArgumentError(f"--seeds: one or more numbers from 0: got {options.seeds}")
    if not options.metrics:
        raise ArgumentError(f"--metrics: at least one of {', '.join(METRICS)}")
    for name in options.metrics:
        if name not in METRICS:
            raise ArgumentError(f"--metrics: {name!r} is none of {', '.join(METRICS)}")
        if name in MUSIC_SCORES and not options.music:
            raise ArgumentError(f"--metrics: {name} is a score of music: it needs --music")
    for name in ("partly", "fresh"):
        if getattr(options, name) and options.fine_tune is None:
            raise ArgumentError(f"--{name}: needs --fine-tune MODEL, whose layers it takes")
    Extras(music=options.music).check()  # training comes before they are needed, and takes long


def _beginning(options: Options) -> list[str]:
    """The options of train.py that say it."""
    if options.fine_tune is None:
        return []
    partly = ["--partly"] if options.partly else []
    return [
        *partly,
        "--fine-tune",
        options.fine_tune,
        *(["--fresh"] if options.fresh else []),
        *options.fresh,
    ]


def _run_all(
    options: Options,
    variants: Sequence[Variant],
    runs: Sequence[AblationRun],
    clips: Sequence[EvaluationClip],
) -> int:
    console = Console(stderr=True, highlight=False, markup=False)
    failures: list[str] = []
    trained: list[AblationRun] = []
    # All training comes first: evaluation takes the device into this process, and keeps it.
    for number, run in enumerate(runs, 1):
        if not run.is_trained:
            console.print(
                f"{number}/{len(runs)} {run.name}: training, see {run.log}", soft_wrap=True
            )
            if code := _train(run):
                failures.append(f"{run.name}: training ended with exit code {code}: {_end(run)}")
                console.print(failures[-1], soft_wrap=True)
                continue
        trained.append(run)
    reports = _evaluate_all(trained, options, clips, console, failures)
    by_variant = {
        variant.name: [reports[run] for run in reports if variant.name in run.variants]
        for variant in variants
    }
    _show(options, by_variant, runs, failures)
    return FAILED if failures else 0


def _train(run: AblationRun) -> int:
    """Train in a process of its own, whose memory is free afterwards; returns its exit code."""
    from l3ac_jax.evaluation.ablation import begin

    begin(run)
    script = Path(__file__).with_name("train.py")
    command = [sys.executable, script, run.experiment, "--run-dir", run.training, "--quiet"]
    command += run.beginning
    with (
        run.log.open("a", encoding="utf-8") as log,
        # In a group of its own it gets one signal, not Ctrl-C and then another one: after the first
        # it saves and leaves, after the second it only leaves.
        subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, process_group=0) as process,
    ):
        try:
            return process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise


def _end(run: AblationRun) -> str:
    lines = run.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def _evaluate_all(
    runs: Sequence[AblationRun],
    options: Options,
    clips: Sequence[EvaluationClip],
    console: Console,
    failures: list[str],
) -> dict[AblationRun, Report]:
    from l3ac_jax.evaluation.ablation import evaluate_run
    from l3ac_jax.evaluation.evaluate import Settings
    from l3ac_jax.evaluation.scoring import Extras
    from l3ac_jax.system.compilation import keep_compiled_programs

    keep_compiled_programs()
    extras = Extras(music=options.music)
    settings = Settings(workers=options.workers, extras=extras, seed=options.seed)
    reports: dict[AblationRun, Report] = {}
    for number, run in enumerate(runs, 1):
        with console.status("") as status:

            def show(what: str, done: int, total: int, status=status, number=number) -> None:
                status.update(f"{number}/{len(runs)} {what}: {done} of {total} clips")

            try:
                report = evaluate_run(run, clips, str(options.data), settings, show)
            except (UserError, OSError) as error:
                failures.append(f"{run.name}: evaluation failed: {error}")
                continue
        reports[run] = report
        failures += [f"{run.name}: {line}" for line in report.failures]
    return reports


def _show(
    options: Options,
    reports: dict[str, list[Report]],
    runs: Sequence[AblationRun],
    failures: list[str],
) -> None:
    from l3ac_jax.evaluation.ablation_table import (
        draw_rows,
        make_rows,
        make_table,
        write_csv,
        write_json,
    )
    from l3ac_jax.plots.figures import save_figure

    rows = make_rows(reports, next(iter(reports)), options.seed)
    about = {
        "data": str(options.data),
        "steps": runs[0].steps,
        "seeds": options.seeds,
        "failures": failures,
    }
    write_json(options.out / "ablation.json", rows, about)
    if rows:
        write_csv(options.out / "ablation.csv", rows)
        save_figure(draw_rows(rows, options.metrics), options.out / "ablation.png")
        print_table(make_table(rows, options.metrics))
    for line in failures:
        print(f"failed: {line}", file=sys.stderr)


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code: 1 if a run failed, and what run_command says."""

    def work() -> int:
        own, overrides = split_overrides(sys.argv[1:] if argv is None else argv)
        options = tyro.cli(Options, prog=PROGRAM, description=__doc__, args=own)
        return ablate(options, overrides)

    return run_command(PROGRAM, work, interrupted="the same command goes on")


if __name__ == "__main__":
    sys.exit(main())
