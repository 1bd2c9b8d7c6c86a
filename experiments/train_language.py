r"""Train a language model over a codec's tokens; run again, it goes on where it left off.

    mkdir -p runs
    l3ac-jax tokens recordings runs/tokens --model stream
    python experiments/train_language.py configs/language.toml --run-dir runs/language \
        --data.train '["runs/tokens"]' --data.evaluation '["runs/held-out-tokens"]'
    python experiments/generate.py runs/language out.wav --prompt clip.wav

Every field of the configuration can be overridden as --section.key VALUE. The run's folder gets the
whole configuration (config.toml), a checkpoint, metrics.jsonl and TensorBoard's files. Ctrl-C and
SIGTERM save and leave; a killed run goes on from its last checkpoint, and comes to the same
parameters as one that was not killed.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from l3ac_jax.cli.run import run_command
from l3ac_jax.config.layers import split_overrides
from l3ac_jax.generation.config import load_language_config
from l3ac_jax.system.memory import keep_freed_memory

PROGRAM = "train_language.py"


@dataclass(frozen=True)
class Options:
    """What is no part of the configuration."""

    config: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="CONFIG")]
    """Configuration file with [model], [data] and [training]."""
    run_dir: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Folder of the run: a new one, or one to go on with."""
    quiet: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Show no progress."""


def train(options: Options, overrides: list[str]) -> int:
    """Train; returns 0, or 128 + the signal that ended it."""
    config = load_language_config(options.config, overrides)
    # Only here: what is wrong so far is said at once.
    from l3ac_jax.generation.training import train_language_model
    from l3ac_jax.system.compilation import keep_compiled_programs

    keep_compiled_programs()
    return train_language_model(config, options.run_dir, options.quiet).exit_code


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code: 2 for mistakes, 128 + the signal that ended training early."""
    words, overrides = split_overrides(sys.argv[1:] if argv is None else argv)

    def run() -> int:
        return train(tyro.cli(Options, prog=PROGRAM, description=__doc__, args=words), overrides)

    return run_command(PROGRAM, run, "nothing was trained")


if __name__ == "__main__":
    keep_freed_memory()  # before libraries start threads
    sys.exit(main())
