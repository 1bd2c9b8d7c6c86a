r"""What a GPU's compiler makes of a configuration, on a machine without a GPU: time and memory.

    python experiments/gpu_programs.py configs/1kbps.toml
    python experiments/gpu_programs.py configs/mine.toml --programs generator --data.batch-size 48
    python experiments/gpu_programs.py configs/3kbps.toml --target a100_sxm_80.txtpb --out FILE.json

To know whether a run fits a card before renting one, and what its first minutes are spent on. The
programs of training (generator, discriminators, evaluation) and of the codec (encode, decode) are
compiled for an H200 with the lowerings of an accelerator, and are not run. It needs JAX's plugin
for CUDA (pip install 'jax[cuda13]'), and no GPU. --target cpu needs no plugin: there the count of
instructions says how large a program is, and nothing is like on a GPU but what it is given.

With a card, XLA also times alternatives for products and convolutions. Memory is that of the
program, and not what CUDA and its libraries take. Every field of the configuration can be
overridden as --section.key VALUE.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from rich.console import Console
from rich.table import Table

from l3ac_jax.cli.printing import print_table
from l3ac_jax.cli.run import run_command
from l3ac_jax.config import ExperimentConfig, load_config
from l3ac_jax.config.layers import split_overrides
from l3ac_jax.errors import ArgumentError
from l3ac_jax.system.files import check_output, complete_file

if TYPE_CHECKING:
    from ahead_of_time.compiling import Compiled
    from ahead_of_time.programs import ToCompile

PROGRAM = "gpu_programs.py"
Name = Literal["generator", "discriminators", "evaluation", "encode", "decode"]
OF_CODEC: tuple[Name, ...] = ("encode", "decode")


@dataclass(frozen=True)
class Options:
    """What to compile, and for what."""

    config: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="CONFIG")]
    """Configuration file; without [data] and [training] only the codec's programs are there."""
    programs: tuple[Name, ...] = ()
    """Which; all that the configuration has."""
    target: str = "h200"
    """The GPU: h200, one of XLA's descriptions (a file .txtpb), or cpu."""
    stage: int = 1
    """Which stage of training, from 1: its terms and batches."""
    precision: Literal["exact", "fast"] = "exact"
    """Of the codec; that of training is in the configuration."""
    clips: int = 1
    """How many the codec takes at a time."""
    seconds: float = 10.0
    """How long they are."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE.json")] = None
    """Write all figures as JSON."""
    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Replace an existing file."""


def run(options: Options, overrides: list[str]) -> None:
    """Compiles, prints and writes."""
    if options.out is not None:
        check_output(options.out, options.overwrite)
    if options.clips < 1 or not 0 < options.seconds < float("inf"):
        raise ArgumentError("--clips and --seconds must be above 0")
    config = load_config(options.config, overrides)
    import jax

    jax.config.update("jax_platforms", "cpu")  # nothing is run, not even where there is a GPU
    from ahead_of_time.compiling import compiled
    from ahead_of_time.target import named_target

    target = named_target(options.target)
    console, found = Console(), []
    with console.status("") as status:
        for program in _chosen(options, config):
            status.update(f"compiling {program.name} for {target.name}")
            found.append(compiled(program, target))
    print_table(_table(target.name, found))
    if options.out is not None:
        with complete_file(options.out, options.overwrite) as part:
            content = {"target": target.name, "programs": [asdict(one) for one in found]}
            part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _chosen(options: Options, config: ExperimentConfig) -> list[ToCompile]:
    """Raises ArgumentError for what the configuration does not have."""
    found = {program.name: program for program in _programs(options, config)}
    absent = [name for name in options.programs if name not in found]
    if absent:
        raise ArgumentError(
            f"--programs {' '.join(absent)}: {options.config} has {', '.join(found)}; for training "
            "it needs [data] and [training], for discriminators an adversarial term in this stage"
        )
    return [found[name] for name in options.programs or found]


def _programs(options: Options, config: ExperimentConfig) -> Iterator[ToCompile]:
    from ahead_of_time.programs import codec_programs, training_programs

    if config.data is not None and config.training is not None:
        stages = config.stages
        if not 1 <= options.stage <= len(stages):
            raise ArgumentError(f"--stage {options.stage}: {options.config} has 1 to {len(stages)}")
        if not options.programs or set(options.programs) - set(OF_CODEC):
            yield from training_programs(config, stages[options.stage - 1])
    yield from codec_programs(config.model, options.precision, options.clips, options.seconds)


def _table(target: str, found: list[Compiled]) -> Table:
    table = Table(title=f"compiled for {target}, not run")
    for column in ("program", "lowering", "compiling", "of all cores", "steps", "instructions"):
        table.add_column(column, justify="left" if column == "program" else "right")
    table.add_column("memory", justify="right")
    table.add_column("most steps are")
    for one in found:
        kinds = ", ".join(f"{count} {kind}" for kind, count in list(one.steps.items())[:3])
        table.add_row(
            one.name,
            *(f"{seconds:.1f} s" for seconds in (one.lower_s, one.compile_s, one.compile_cpu_s)),
            f"{sum(one.steps.values()):,}",
            f"{one.instructions:,}",
            f"{one.memory_gib:.2f} GiB",
            kinds,
        )
    return table


def main(argv: list[str] | None = None) -> int:
    """Returns 0, 2 for mistakes, 130 when interrupted."""

    def command() -> None:
        words, overrides = split_overrides(sys.argv[1:] if argv is None else argv)
        run(tyro.cli(Options, prog=PROGRAM, description=__doc__, args=words), overrides)

    return run_command(PROGRAM, command)


if __name__ == "__main__":
    sys.exit(main())
