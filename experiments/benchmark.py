"""Speed of encoding and decoding, beside the official PyTorch code in the same run.

Both sides have the same seeded weights and take the same speech; they run alternately, so that
whatever else the machine does falls on both, each in a process of its own. Printed: median seconds
of each side, the median of the ratios of neighbouring runs, how long the first call takes
(compilation), what running adds to the memory of its process at the peak, and how far the two
results lie apart.

Example: python experiments/benchmark.py --models 3kbps 1kbps --seconds 10 --repeats 15
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
import tyro
from measurement import Side, resident_mib, serve, speech
from rich.table import Table

from l3ac_jax.cli.printing import print_table
from l3ac_jax.cli.run import run_command
from l3ac_jax.config import published_config

PROGRAM = "benchmark.py"


@dataclass(frozen=True)
class Options:
    """What to measure."""

    models: tuple[str, ...] = ("3kbps", "1kbps")
    """Published configurations."""
    seconds: float = 10.0
    """Length of the clip; speech, repeated to this length."""
    repeats: int = 15
    """Runs of each side."""
    side: Literal["both", "ours", "official"] = "both"
    """For the benchmark's own processes: run one side, once for each line of input."""
    results: Path | None = None
    """With one side: where its last tokens and audio go."""


def official_side(name: str) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """The official encoder and decoder: audio to tokens and audio."""
    from l3ac_jax.oracle.codec import seeded_codec

    codec = seeded_codec(published_config(name).model)

    def run(audio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        features, tokens = codec.encode(audio)
        return tokens, codec.decode(features)

    return run


def our_side(name: str) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Our encoder and decoder with the same weights, through the public interface."""
    from l3ac_jax.codec.l3ac import L3AC
    from l3ac_jax.official.weights import from_torch
    from l3ac_jax.oracle.codec import seeded_codec

    config = published_config(name).model
    with TemporaryDirectory() as folder:
        seeded_codec(config).save_checkpoint(folder)
        codec = L3AC(config, from_torch(folder, config), name)

    def run(audio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        tokens = codec.encode(audio)
        return np.asarray(tokens), np.asarray(codec.decode(tokens))

    return run


SIDES = {"ours": our_side, "official": official_side}


def measure(name: str, options: Options) -> list[str]:
    """Alternating runs of both sides of one configuration, as the columns of the table."""
    with TemporaryDirectory() as folder:
        results = [Path(folder, f"{side}.npz") for side in SIDES]
        words = ["--models", name, "--seconds", str(options.seconds)]
        with (
            Side(__file__, *words, "--side", "ours", "--results", str(results[0])) as ours,
            Side(__file__, *words, "--side", "official", "--results", str(results[1])) as official,
        ):
            rounds = [(ours.run(), official.run()) for _ in range(2 + options.repeats)]
        mine, theirs = (np.load(path) for path in results)
        same = (mine["tokens"] == theirs["tokens"]).mean()
        decoded = theirs["audio"]
        difference = np.sqrt(np.mean(np.square(mine["audio"][:, : decoded.shape[1]] - decoded)))
    times = np.array([[side["seconds"] for side in pair] for pair in rounds])
    first, times = times[0], times[2:]
    medians = np.median(times, axis=0)
    return [
        *(f"{seconds:.3f} s" for seconds in medians),
        f"{np.median(times[:, 1] / times[:, 0]):.2f}",
        f"+{first[0] - medians[0]:.1f} s",
        "{mib:.0f} / ".format(**rounds[-1][0]) + "{mib:.0f} MiB".format(**rounds[-1][1]),
        f"{same:.2%}",
        f"{difference:.1e}",
    ]


def run_one_side(options: Options) -> None:
    """What the process of one side does; at its end it leaves its last results in a file."""
    name = options.models[0]
    audio = speech(options.seconds, published_config(name).model.sample_rate)
    code = SIDES[options.side](name)
    results = (np.empty(0), np.empty(0))

    def run() -> dict[str, float]:
        nonlocal results
        results = code(audio)
        return {}

    serve(run, resident_mib())
    if options.results is not None:
        np.savez(options.results, tokens=results[0], audio=results[1])


def run(options: Options) -> None:
    """Measures and prints one table."""
    if options.side != "both":
        run_one_side(options)
        return
    table = Table(title=f"encode + decode of {options.seconds:g} s, batch 1, CPU")
    for column in ("model", "ours", "official", "official / ours", "first call", "peak memory",
                   "same tokens", "rms difference"):  # fmt: skip
        table.add_column(column, justify="left" if column == "model" else "right")
    for name in options.models:
        table.add_row(name, *measure(name, options))
    print_table(table, 120)


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    return run_command(
        PROGRAM, lambda: run(tyro.cli(Options, prog=PROGRAM, description=__doc__, args=argv))
    )


if __name__ == "__main__":
    sys.exit(main())
