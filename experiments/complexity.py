r"""What a codec costs: parameters, operations, memory, and seconds of computing.

    python experiments/complexity.py
    python experiments/complexity.py 3kbps runs/small --seconds 1 10 --batch 1 8 \
        --out complexity.json --figure complexity.png
    python experiments/complexity.py configs/1kbps.toml --no-speed

Operations are counted twice for 10 s of audio, by formula and by XLA, and are shown in
multiply-accumulates for each second of audio, part by part, beside the published figures. What each
count is of is said below the table.

Real-time factors (seconds of computing for each second of audio, of all clips together) are medians
on JAX's default device, compilation left out; each is measured in a process of its own. Published
names and TOML files stand for random parameters, on which the speed does not depend.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.console import Console
from rich.table import Table

from l3ac_jax.cli.printing import print_table
from l3ac_jax.cli.run import run_command
from l3ac_jax.config import NAMED, PUBLISHED
from l3ac_jax.errors import ArgumentError
from l3ac_jax.system.files import check_output, complete_file

if TYPE_CHECKING:
    from l3ac_jax.codec.l3ac import L3AC
    from l3ac_jax.evaluation.complexity_figure import ModelResult, Speed

PROGRAM = "complexity.py"
GIGA = 1e9
MIB = 2**20


@dataclass(frozen=True)
class Options:
    """What to measure."""

    models: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="MODEL ...")] = (
        PUBLISHED
    )
    """Names, configuration files, model folders or files, or training runs; the published four
    without."""
    seconds: tuple[float, ...] = (1.0, 10.0, 60.0)
    """Lengths of the clips whose real-time factor is measured."""
    batch: tuple[int, ...] = (1, 4)
    """How many clips at a time."""
    repeats: int = 3
    """Runs of each, of which the median counts."""
    no_speed: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Count only: seconds, instead of some 10 minutes on two cores."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE.json")] = None
    """Write all numbers as JSON."""
    figure: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Draw them; .png, .pdf or .svg."""
    seed: int = 0
    """Of the random parameters."""
    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Replace existing files."""


def run(options: Options) -> None:
    """Counts, measures, prints and writes."""
    _check(options)
    # Memory is measured, and every measurement has a process of its own.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    from l3ac_jax.evaluation.complexity import (
        COUNTED,
        WHY_PUBLISHED_IS_LOWER,
        complexity_of,
        resolve_config,
    )
    from l3ac_jax.evaluation.complexity_figure import ModelResult, draw_complexity
    from l3ac_jax.evaluation.published import published_gmac_per_second
    from l3ac_jax.plots.figures import save_figure

    console = Console()
    configs = {name: resolve_config(name) for name in options.models}
    results = []
    with console.status("counting") as status:
        for name, config in configs.items():
            status.update(f"{name}: counting")
            results.append(
                ModelResult(name, complexity_of(config), published_gmac_per_second(name))
            )
        if not options.no_speed:
            for number, result in enumerate(results):
                speeds = []
                for seconds, batch in _cells(options):
                    status.update(f"{result.name}: {batch} x {seconds:g} s")
                    speeds.append(_measured_apart(result.name, seconds, batch, options))
                results[number] = result._replace(speeds=tuple(speeds))
    for table in _tables(results):
        print_table(table)
    for note in (COUNTED, WHY_PUBLISHED_IS_LOWER):
        console.print(note)
    if options.out is not None:
        with complete_file(options.out, options.overwrite) as part:
            models = [_as_json(result) for result in results]
            content = {"counted": COUNTED, "published": WHY_PUBLISHED_IS_LOWER, "models": models}
            part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if options.figure is not None:
        save_figure(draw_complexity(results), options.figure, options.overwrite)


def _check(options: Options) -> None:
    from l3ac_jax.plots.figures import check_figure

    if not options.no_speed:
        for option, values in (("seconds", options.seconds), ("batch", options.batch)):
            if not values or not all(0 < value < float("inf") for value in values):
                given = " ".join(map(str, values)) or "nothing"
                raise ArgumentError(f"--{option}: must be greater than 0, got {given}")
        if options.repeats < 1:
            raise ArgumentError(f"--repeats: must be at least 1, got {options.repeats}")
    if len(set(options.models)) < len(options.models):
        raise ArgumentError(f"MODEL: given twice: {' '.join(options.models)}")
    if options.out is not None:
        check_output(options.out, options.overwrite)
    if options.figure is not None:
        check_figure(options.figure, options.overwrite)


def _cells(options: Options) -> Iterator[tuple[float, int]]:
    return ((seconds, batch) for batch in options.batch for seconds in options.seconds)


def _measured_apart(model: str, seconds: float, batch: int, options: Options) -> Speed:
    """`measure` in a fresh process; what the machine cannot do is a failure of this one alone."""
    from l3ac_jax.evaluation.complexity_figure import Speed

    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as process:
        arguments = (model, seconds, batch, options.repeats, options.seed)
        future = process.submit(measure, *arguments)
        try:
            return Speed(*future.result())
        except (RuntimeError, MemoryError) as error:  # RuntimeError: XLA's, or the process is gone
            reason = (str(error).splitlines() or ["out of memory"])[0]
            return Speed(seconds, batch, failure=reason)


def measure(model: str, seconds: float, batch: int, repeats: int, seed: int) -> tuple:
    """The fields of a `Speed`, measured in this process."""
    import jax
    import numpy as np
    from measurement import alternating, forget_peak, resident_mib, speech

    from l3ac_jax.system.compilation import keep_compiled_programs

    keep_compiled_programs()
    codec = _codec(model, seed)
    audio = speech(seconds, codec.sample_rate, batch)
    before = resident_mib()
    tokens = np.asarray(codec.encode(audio))
    codec.decode(tokens)
    forget_peak()
    times = alternating((lambda: codec.encode(audio), lambda: codec.decode(tokens)), repeats)
    encode, decode = np.median(times, axis=0) / (seconds * batch)
    device = jax.devices()[0]
    on_device = (device.memory_stats() or {}).get("peak_bytes_in_use")
    memory = resident_mib("VmHWM") - before if on_device is None else on_device / MIB
    return seconds, batch, float(encode), float(decode), float(memory), _in_words(device)


def _codec(model: str, seed: int) -> L3AC:
    """A model folder's codec; otherwise random parameters."""
    from l3ac_jax.codec.l3ac import L3AC
    from l3ac_jax.codec.pretrained import get_model
    from l3ac_jax.evaluation.complexity import resolve_config
    from l3ac_jax.evaluation.random_params import random_params

    if model not in NAMED and not model.endswith(".toml"):
        return get_model(model)
    config = resolve_config(model)
    return L3AC(config, random_params(config, seed), model)


def _in_words(device) -> str:
    if device.platform != "cpu":
        return device.device_kind
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"CPU, {cores} cores"


def _tables(results: Iterable[ModelResult]) -> list[Table]:
    whole = _table("complexity, in GMAC for a second of audio", "model", "parameters", "weights",
                   "formula", "XLA", "published", "formula / published")  # fmt: skip
    parts = _table("where the operations are, in GMAC for a second of audio", "model", "part",
                   "parameters", "formula", "share", "XLA")  # fmt: skip
    speed = _table("seconds of computing for a second of audio", "model", "clips", "length",
                   "encode", "decode", "memory", "device")  # fmt: skip
    for result in results:
        whole.add_row(*_whole_row(result))
        for row in _part_rows(result):
            parts.add_row(*row)
        parts.add_section()
        for row in map(_speed_row, result.speeds):
            speed.add_row(result.name, *row)
        speed.add_section()
    return [table for table in (whole, parts, speed) if table.row_count]


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title)
    for column in columns:
        words = column in ("model", "part", "device")
        table.add_column(column, justify="left" if words else "right", no_wrap=column == "part")
    return table


def _whole_row(result: ModelResult) -> list[str]:
    parameters, formula, xla, _ = result.complexity
    count = sum(parameters.values())
    total, published = sum(formula.values()) / GIGA, result.published_gmac
    return [
        result.name,
        f"{count / 1e6:.3f} M",
        f"{4 * count / MIB:.1f} MiB",
        f"{total:.3f}",
        f"{sum(xla.values()) / GIGA:.3f}",
        "" if published is None else f"{published:.3f}",
        "" if published is None else f"{total / published:.0f}",
    ]


def _part_rows(result: ModelResult) -> Iterator[list[str]]:
    from l3ac_jax.evaluation.complexity_figure import part_name

    parameters, formula, xla, _ = result.complexity
    total = sum(formula.values())
    for number, (part, count) in enumerate(formula.items()):
        yield [
            result.name if number == 0 else "",
            part_name(part),
            f"{parameters[part] / 1e6:.3f} M",
            f"{count / GIGA:.4f}",
            f"{count / total:.1%}",
            f"{xla[part] / GIGA:.4f}",
        ]


def _speed_row(speed: Speed) -> list[str]:
    cell = [str(speed.batch), f"{speed.seconds:g} s"]
    if speed.failure is not None:
        return [*cell, "failed", "", "", speed.failure]
    memory = f"{speed.memory_mib:.0f} MiB"
    return [*cell, f"{speed.encode:.4f}", f"{speed.decode:.4f}", memory, speed.device]


def _as_json(result: ModelResult) -> dict[str, object]:
    """Counts in multiply-accumulates for a second of audio."""
    return {
        "name": result.name,
        **result.complexity._asdict(),
        "published": None if result.published_gmac is None else result.published_gmac * GIGA,
        "speed": [speed._asdict() for speed in result.speeds],
    }


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    return run_command(
        PROGRAM, lambda: run(tyro.cli(Options, prog=PROGRAM, description=__doc__, args=argv))
    )


if __name__ == "__main__":
    sys.exit(main())
