r"""Train a codec as a configuration file says; run again, it goes on where it left off.

    python experiments/train.py configs/smoke.toml --run-dir runs/smoke
    python experiments/train.py configs/1kbps.toml --run-dir runs/1kbps
    python experiments/train.py configs/1kbps.toml --run-dir runs/low \
        --training.optimizer.peak-rate 2e-4 --training.whisper weights/tiny.en.pt
    python experiments/train.py configs/1kbps.toml --run-dir runs/tuned --fine-tune 1kbps

Every field of the configuration can be overridden as --section.key VALUE. The run's folder gets the
whole configuration (config.toml), checkpoints/, metrics.jsonl and TensorBoard's files; the codec
takes it as a model: l3ac-jax reconstruct IN OUT --model runs/smoke.

Ctrl-C and SIGTERM save and leave; a killed run goes on from its last checkpoint, and comes to the
same parameters as one that was not killed.

On a CPU, a process that had to compile for long saves after its first steps and begins anew with
the compiled programs, which is faster.

All devices of the machine are used. For several processes, start the same command in each with
--coordinator HOST:PORT --processes N --process I, or under Slurm or Open MPI with --distributed.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from l3ac_jax.cli.run import run_command
from l3ac_jax.config import load_config
from l3ac_jax.config.layers import split_overrides
from l3ac_jax.errors import ArgumentError
from l3ac_jax.system.memory import keep_freed_memory

PROGRAM = "train.py"

# So much compilation is worth a new process.
LONG_COMPILATION_SECONDS = 20.0
BEGUN_ANEW = "L3AC_JAX_BEGUN_ANEW"  # set in a process that began anew


@dataclass(frozen=True)
class Options:
    """What is no part of the configuration."""

    config: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="CONFIG")]
    """Configuration file with [model], [data] and [training]."""
    run_dir: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Folder of the run: a new one, or one to go on with."""
    fine_tune: Annotated[str | None, tyro.conf.arg(metavar="MODEL")] = None
    """Begin a new run with the parameters of a published model, a model folder or file, a
    checkpoint or another run."""
    partly: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """With --fine-tune: layers that MODEL does not have in the same shapes begin at random, and are
    named."""
    fresh: Annotated[tuple[str, ...], tyro.conf.arg(metavar="LAYER ...")] = ()
    """With --fine-tune: layers that begin at random although MODEL has them, as decoder.output or
    quantizer."""
    coordinator: Annotated[str | None, tyro.conf.arg(metavar="HOST:PORT")] = None
    """Address of process 0, for several processes."""
    processes: int | None = None
    """How many there are."""
    process: int | None = None
    """Which one this is, from 0."""
    distributed: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Several processes, described by the environment."""
    quiet: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Show no progress."""


def train(options: Options, overrides: list[str], is_command: bool) -> int:
    """Train; returns 0, or 128 + the signal that ended it."""
    for name in ("partly", "fresh"):
        if getattr(options, name) and options.fine_tune is None:
            raise ArgumentError(f"--{name}: needs --fine-tune MODEL, whose layers it takes")
    config = load_config(options.config, overrides)
    # Only here: what is wrong so far is said at once.
    from l3ac_jax.system.compilation import CompilationTime, keep_compiled_programs
    from l3ac_jax.training.beginnings import Beginning
    from l3ac_jax.training.devices import connect_processes
    from l3ac_jax.training.trainer import train as run_training

    keep_compiled_programs()
    several = (options.coordinator, options.processes, options.process)
    if options.distributed or any(value is not None for value in several):
        connect_processes(*several)
    beginning = None
    if options.fine_tune is not None:
        beginning = Beginning(options.fine_tune, options.partly, options.fresh)
    with CompilationTime() as compiling:

        def took_long() -> bool:
            may = is_command and BEGUN_ANEW not in os.environ and _alone_on_cpu()
            return may and compiling.seconds >= LONG_COMPILATION_SECONDS

        outcome = run_training(config, options.run_dir, beginning, options.quiet, took_long)
    if took_long() and outcome.step < outcome.total and not outcome.exit_code:
        _begin_anew(compiling.seconds, options.quiet)
    return outcome.exit_code


def _alone_on_cpu() -> bool:
    import jax

    return jax.default_backend() == "cpu" and jax.process_count() == 1


def _begin_anew(seconds: float, quiet: bool) -> None:
    """Replace this process by a new one with the same command; once, whatever that one does.

    Compilation leaves the heap in pieces, and with freed memory kept in one heap (system/memory.py)
    every step waits for the search through them. A process that finds the programs in the
    persistent cache is faster.
    """
    if not quiet:
        print(
            f"compiled for {seconds:.0f} s, once for all runs with these settings; a new process "
            "goes on, as that is faster",
            file=sys.stderr,
        )
    os.environ[BEGUN_ANEW] = "1"
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def main(argv: list[str] | None = None) -> int:
    """Returns 0, 1 for training that failed, 2 for mistakes, 128 + the signal that ended it."""
    keep_freed_memory()

    def work() -> int:
        own, overrides = split_overrides(sys.argv[1:] if argv is None else argv)
        options = tyro.cli(Options, prog=PROGRAM, description=__doc__, args=own)
        return train(options, overrides, is_command=argv is None)

    return run_command(PROGRAM, work, interrupted="nothing was saved")


if __name__ == "__main__":
    sys.exit(main())
