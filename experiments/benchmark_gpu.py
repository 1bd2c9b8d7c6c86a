"""Everything that is promised of a GPU, measured in one command within eight minutes.

    exactness     tokens and audio against the official code in float64
    inference     encode and decode by batch and length, exact and fast, beside PyTorch
    steps         training steps of all kinds in each precision, beside PyTorch; compiling, memory
    compilation   what a user waits for, with empty caches
    resume        a run that is killed and goes on, and what deterministic operations cost
    data          batches by number of workers
    precision     short training runs in each precision: losses and scores

Results are printed as they come and kept in DIR/results.json, which is complete at every moment:
what was planned and not done is there, with its reason at the end. Each measurement is a process of
its own (its log is in DIR/logs). Several compile side by side, so that their seconds are upper
bounds; nothing is timed while anything else runs. Without an accelerator, or with --tiny, sizes are
tiny: to see that everything works.

Example: python experiments/benchmark_gpu.py --out runs/gpu --whisper weights/tiny.en.pt
         python experiments/benchmark_gpu.py --out runs/precision --sections precision \
             --data prepared --train-config configs/small.toml --train-steps 1000 --minutes 60
"""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import tyro
from gpu_benchmark.bars import summary
from gpu_benchmark.job import run_job
from gpu_benchmark.material import has_torch
from gpu_benchmark.plan import Measurement, Settings
from gpu_benchmark.record import FAILED as JOB_FAILED
from gpu_benchmark.record import LEFT_OUT, RESULTS_FILE, Record
from gpu_benchmark.scheduler import Scheduler
from gpu_benchmark.sections import (
    LIMITS,
    SECTIONS,
    Section,
    first_jobs,
    machine,
    make_plan,
)

from l3ac_jax.cli.printing import print_table
from l3ac_jax.cli.run import FAILED, run_command
from l3ac_jax.errors import ArgumentError

PROGRAM = "benchmark_gpu.py"
# Of the time given, what remains to end processes and to print tables.
RESERVE_SECONDS = 5.0


@dataclass(frozen=True)
class Options:
    """What to measure."""

    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Folder for results.json and logs, without results so far."""
    sections: tuple[Section, ...] = SECTIONS
    """Which ones; always in this order, that of their importance, the lesser steps last."""
    minutes: float = 8.0
    """After which what is not done is left out."""
    at_once: int | None = None
    """How many processes prepare side by side; one for every three cores, at most 6."""
    tiny: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Tiny sizes, as there are without an accelerator."""
    whisper: Path | None = None
    """Weights of Whisper tiny.en under OpenAI's names, .pt or .safetensors; random ones without."""
    data: Path | None = None
    """Prepared corpus (prepare_data.py); recordings of the package without."""
    train_config: Path | None = None
    """What `precision` trains; configs/smoke.toml."""
    train_steps: int = 100
    """How long it does."""


def measure(options: Options) -> int:
    """Returns 0, or 1 where something failed."""
    deadline = time.monotonic() + 60 * options.minutes - RESERVE_SECONDS
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    at_once = options.at_once or min(6, max(1, len(os.sched_getaffinity(0)) // 3))
    about = {"command": sys.argv[1:], "prepared_at_once": at_once}
    record = Record(_new_folder(options), about, _say)
    limits = {name: 60 * options.minutes * share for name, share in LIMITS.items()}
    with TemporaryDirectory(prefix="benchmark_gpu.") as work:
        settings = _settings(options, work, options.tiny)

        def carry_out(plan: list[Measurement], at_once: int) -> None:
            record.add(plan)
            Scheduler(_possible(plan, record), record, settings, deadline, at_once, limits).run()

        try:
            carry_out([machine()], 1)
            tiny = options.tiny or record.figure(*machine().keys[0], "backend") in (None, "cpu")
            settings = _settings(options, work, tiny)
            plan = make_plan(options.sections, tiny)
            record.add(plan)
            carry_out(first_jobs(options.sections, settings.data), 2)
            carry_out(plan, at_once)
        finally:
            record.finish()
    for table in summary(record, with_bars=not tiny):
        print_table(table, 160)
    return FAILED if any(entry.status == JOB_FAILED for entry in record) else 0


def _say(text: str) -> None:
    print(text, flush=True)


def _new_folder(options: Options) -> Path:
    """Raises ArgumentError for what cannot be measured; makes the folder."""
    for path in (options.whisper, options.data, options.train_config):
        if path is not None and not path.exists():
            raise ArgumentError(f"{path}: does not exist")
    if options.minutes <= 0 or options.train_steps < 1 or (options.at_once or 1) < 1:
        raise ArgumentError("--minutes, --train-steps and --at-once must be above 0")
    if (options.out / RESULTS_FILE).exists():
        raise ArgumentError(f"{options.out}: holds results already; give a new folder")
    options.out.mkdir(parents=True, exist_ok=True)
    return options.out


def _settings(options: Options, work: str, tiny: bool) -> Settings:
    paths = [options.whisper, options.data, options.train_config]
    whisper, data, train_config = (None if p is None else str(p.absolute()) for p in paths)
    return Settings(tiny, work, whisper, data, train_config, options.train_steps)


def _possible(plan: list[Measurement], record: Record) -> list[Measurement]:
    """Without the official code, if it is not installed: that is said."""
    if has_torch():
        return plan
    reason = "PyTorch and the official code are not installed: the extra `torch`"
    for measurement in plan:
        for job, key in zip(measurement.jobs, measurement.keys, strict=True):
            if job.official:
                record.close(record.entries[key], LEFT_OUT, reason)
    return [measurement.without_official() for measurement in plan]


def main(argv: list[str] | None = None) -> int:
    """Returns 0, 1 if something failed, 2 for mistakes, 130 when interrupted."""
    words = sys.argv[1:] if argv is None else argv
    if words[:1] == ["--job"]:  # the benchmark's own processes
        run_job(words[1])
    return run_command(
        PROGRAM,
        lambda: measure(tyro.cli(Options, prog=PROGRAM, description=__doc__, args=words)),
        interrupted="what was measured so far is in the results",
    )


if __name__ == "__main__":
    sys.exit(main())
