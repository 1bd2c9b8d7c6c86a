"""Speed of encoding and decoding, beside the official PyTorch code in the same process.

Both sides have the same seeded weights and take the same speech; they run alternately, so that
whatever else the machine does falls on both. Printed: median seconds of each side, the median of
the ratios of neighbouring runs, how long the first call takes (compilation), peak memory of a
process that runs one side alone, and how far the two results lie apart.

Example: python experiments/benchmark.py --models 3kbps 1kbps --seconds 10 --repeats 15
"""

from collections.abc import Callable
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
import tyro
from measurement import alternating, memory_of, report_peak, seconds_of, speech
from rich.console import Console
from rich.table import Table

from l3ac_jax.config import published_config


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
    """Run one side alone and print its peak memory as JSON; used for the memory column."""


def official_side(name: str) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """The official encoder and decoder: audio to tokens and audio."""
    from l3ac_jax.official import seeded_codec

    codec = seeded_codec(published_config(name).model)

    def run(audio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        features, tokens = codec.encode(audio)
        return tokens, codec.decode(features)

    return run


def our_side(name: str) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Our encoder and decoder with the same weights, through the public interface."""
    from l3ac_jax.codec import L3AC
    from l3ac_jax.official import seeded_codec
    from l3ac_jax.torch_weights import from_torch

    config = published_config(name).model
    with TemporaryDirectory() as folder:
        seeded_codec(config).save_checkpoint(folder)
        codec = L3AC(config, from_torch(folder, config), name)

    def run(audio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        tokens = codec.encode(audio)
        return np.asarray(tokens), np.asarray(codec.decode(tokens))

    return run


SIDES = {"ours": our_side, "official": official_side}


def measure(name: str, options: Options) -> dict[str, float]:
    """Alternating runs of both sides of one configuration."""
    audio = speech(options.seconds, published_config(name).model.sample_rate)
    ours, official = our_side(name), official_side(name)
    first_ours = seconds_of(ours, audio)
    seconds_of(official, audio)
    times = alternating((lambda: ours(audio), lambda: official(audio)), options.repeats)
    (our_tokens, our_audio), (tokens, decoded) = ours(audio), official(audio)
    same = (our_tokens == tokens).mean()
    difference = np.sqrt(np.mean(np.square(our_audio[:, : decoded.shape[1]] - decoded)))
    return {
        "ours": float(np.median(times[:, 0])),
        "official": float(np.median(times[:, 1])),
        "ratio": float(np.median(times[:, 1] / times[:, 0])),
        "compile": first_ours - float(np.median(times[:, 0])),
        "tokens": float(same),
        "difference": float(difference),
        "memory ours": peak_memory(name, "ours", options.seconds),
        "memory official": peak_memory(name, "official", options.seconds),
    }


def peak_memory(name: str, side: str, seconds: float) -> float:
    """Peak MiB that running one side adds to a fresh process that has loaded it."""
    return memory_of(__file__, "--models", name, "--side", side, "--seconds", str(seconds))


def run_one_side(options: Options) -> None:
    name = options.models[0]
    audio = speech(options.seconds, published_config(name).model.sample_rate)
    run = SIDES[options.side](name)
    report_peak(lambda: run(audio))


def main() -> None:
    """Measures and prints one table."""
    options = tyro.cli(Options, description=__doc__)
    if options.side != "both":
        run_one_side(options)
        return
    table = Table(title=f"encode + decode of {options.seconds:g} s, batch 1, CPU")
    for column in ("model", "ours", "official", "official / ours", "first call", "peak memory",
                   "same tokens", "rms difference"):  # fmt: skip
        table.add_column(column, justify="left" if column == "model" else "right")
    for name in options.models:
        result = measure(name, options)
        table.add_row(
            name,
            f"{result['ours']:.3f} s",
            f"{result['official']:.3f} s",
            f"{result['ratio']:.2f}",
            f"+{result['compile']:.1f} s",
            f"{result['memory ours']:.0f} / {result['memory official']:.0f} MiB",
            f"{result['tokens']:.2%}",
            f"{result['difference']:.1e}",
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
