r"""Speed and memory of long recordings, coded in pieces and, where that is possible, in one pass.

For each length: seconds of encoding and of decoding for a minute of audio, and the peak memory of
the process, everything included. Each has a process of its own; they take turns, the shortest
length before and after each other one, so that changes of the machine's speed can be told from
growth. Weights are random, the audio is speech; it is made and thrown away piece by piece.

Example (half an hour on two cores):

    python experiments/benchmark_long.py --minutes 1 180
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal

import numpy as np
import tyro
from measurement import Side, serve, speech
from rich.table import Table

from l3ac_jax.cli.printing import print_table
from l3ac_jax.cli.run import run_command

PROGRAM = "benchmark_long.py"


@dataclass(frozen=True)
class Options:
    """What to measure."""

    model: str = "3kbps"
    """Published configuration."""
    minutes: tuple[float, ...] = (0.5, 1, 2, 10)
    """Lengths of the recordings."""
    one_pass: float = 1
    """Up to so many minutes, one pass is measured beside the pieces. It takes 25 MB a second."""
    repeats: int = 3
    """Runs of each length."""
    side: Literal["both", "pieces", "one pass"] = "both"
    """For the benchmark's own processes: run one side, once for each line of input."""


BLOCK_SECONDS = 10
WARM_UP_SECONDS = 60


def run_side(options: Options) -> None:
    """The first run is for compiling: of the first minute, where pieces are all the same."""
    import time

    from l3ac_jax.codec.l3ac import L3AC
    from l3ac_jax.config import published_config
    from l3ac_jax.evaluation.random_params import random_params

    config = published_config(options.model).model
    codec = L3AC(config, random_params(config, 0))
    pieces = options.side == "pieces"
    limit = 0 if pieces else float("inf")
    # Whatever are the defaults.
    codec.is_long = codec.encodes_in_blocks = lambda samples: samples > limit
    seconds = round(options.minutes[0] * 60)
    block = speech(BLOCK_SECONDS, codec.sample_rate)
    warm = False

    def run() -> dict[str, float]:
        nonlocal warm
        length = seconds if warm or not pieces else min(seconds, WARM_UP_SECONDS)
        warm = True
        start = time.perf_counter()
        tokens = _encoded(codec, block, length) if pieces else codec.encode(_audio(block, length))
        middle = time.perf_counter()
        if pieces:
            for piece in codec.decode_chunks(tokens):
                assert np.isfinite(piece[0, 0])
        else:
            np.asarray(codec.decode(tokens))
        end = time.perf_counter()
        return {"encode": 60 * (middle - start) / length, "decode": 60 * (end - middle) / length}

    serve(run, before=0)


def _encoded(codec, block: np.ndarray, seconds: int) -> np.ndarray:
    encoder = codec.chunked_encoder()
    parts = [encoder.push(part) for part in _blocks(block, seconds, codec.sample_rate)]
    return np.concatenate([*parts, encoder.finish()], axis=1)


def _blocks(block: np.ndarray, seconds: int, sample_rate: int) -> Iterator[np.ndarray]:
    for start in range(0, seconds, BLOCK_SECONDS):
        yield block[:, : (seconds - start) * sample_rate]


def _audio(block: np.ndarray, seconds: int) -> np.ndarray:
    samples = block.shape[1] // BLOCK_SECONDS * seconds
    return np.resize(block[0], samples)[None]


def measure(options: Options) -> None:
    """Print the table."""
    if options.side != "both":
        run_side(options)
        return
    lengths = sorted(options.minutes)
    short = lengths[0]
    jobs = [(minutes, "pieces") for minutes in lengths]
    jobs += [(minutes, "one pass") for minutes in lengths if minutes <= options.one_pass]
    with ExitStack() as stack:
        sides = {}
        for minutes, side in jobs:
            words = ["--model", options.model, "--minutes", str(minutes), "--side", side]
            sides[minutes, side] = stack.enter_context(Side(__file__, *words))
            sides[minutes, side].run()  # compiles
        results = {job: [] for job in jobs}
        for _ in range(options.repeats):
            for job in jobs:
                if job[0] != short:
                    results[short, "pieces"].append(sides[short, "pieces"].run())
                results[job].append(sides[job].run())
        results[short, "pieces"].append(sides[short, "pieces"].run())
    table = Table(
        title=f"{options.model}: seconds for a minute of audio, medians (fastest, slowest)"
    )
    for column in ("minutes", "side", "encode", "decode", "peak memory"):
        table.add_column(column, justify="left" if column == "side" else "right")
    for (minutes, side), runs in sorted(results.items()):
        cells = [_range([run[part] for run in runs]) for part in ("encode", "decode")]
        table.add_row(f"{minutes:g}", side, *cells, f"{runs[-1]['mib']:.0f} MiB")
    print_table(table, 100)


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    return run_command(
        PROGRAM, lambda: measure(tyro.cli(Options, prog=PROGRAM, description=__doc__, args=argv))
    )


def _range(values: list[float]) -> str:
    return f"{np.median(values):.2f} ({min(values):.2f}, {max(values):.2f})"


if __name__ == "__main__":
    sys.exit(main())
