r"""Encoding whole clips as a stream of blocks of one size, against one pass for each length.

    python experiments/benchmark_blocks.py base --blocks 48 192 768

MODEL is a name, a model folder or file, or a training run; of a configuration file (.toml) the
parameters are random. A block is one compiled program, which serves clips of all lengths and gives
the same tokens to the last bit whatever the length; one pass is compiled for each of a few lengths
and is rounded otherwise in each. For each length of a clip: seconds that compiling takes, the time
of one pass, and that of blocks as a multiple of it (medians of runs that take turns).
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import tyro

from l3ac_jax.cli.run import run_command
from l3ac_jax.errors import ArgumentError

if TYPE_CHECKING:
    import numpy as np

    from l3ac_jax.codec.l3ac import L3AC

PROGRAM = "benchmark_blocks.py"


@dataclass(frozen=True)
class Options:
    """What to measure."""

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
    """Name, model folder or file, training run, or configuration file."""
    seconds: tuple[float, ...] = (1, 4, 10, 30)
    """Lengths of clips."""
    blocks: tuple[int, ...] = (48, 192, 768)
    """Tokens in a block."""
    repeats: int = 11
    """Runs of each, in turn."""
    seed: int = 0
    """Of random parameters."""


def measure(options: Options) -> None:
    """Print a line for each length."""
    for name, values in (("seconds", options.seconds), ("blocks", options.blocks)):
        if min(values, default=0) <= 0:
            raise ArgumentError(f"--{name}: must be more than 0")
    if options.repeats < 1:
        raise ArgumentError(f"--repeats: must be 1 or more, got {options.repeats}")
    import jax
    import numpy as np
    from measurement import alternating, speech
    from stream_models import streaming_codec

    codec, words = streaming_codec(options.model, options.seed)
    codec.encodes_in_blocks = lambda samples: False  # one pass, whatever is the default
    print(f"{options.model}: {words}; {jax.devices()[0].device_kind}, jax {jax.__version__}")
    compiling = {block: _compiled(codec, block) for block in options.blocks}
    for block, seconds in compiling.items():
        print(f"blocks of {block} tokens: compiled in {seconds:.1f} s, for all lengths")
    for length in options.seconds:
        clip = speech(length, codec.sample_rate)
        start = time.perf_counter()
        one_pass = np.asarray(codec.encode(clip))
        took = time.perf_counter() - start
        sides = [lambda clip=clip: np.asarray(codec.encode(clip))]
        sides += [lambda clip=clip, b=block: encoded(codec, clip, b) for block in options.blocks]
        others = [int((side() != one_pass).sum()) for side in sides[1:]]
        times = alternating(sides, options.repeats)
        ratios = np.median(times[:, 1:] / times[:, :1], axis=0)
        cells = ", ".join(
            f"{block}: {ratio:.2f} ({count} other tokens)"
            for block, ratio, count in zip(options.blocks, ratios, others, strict=True)
        )
        print(
            f"{length:g} s: one pass {1000 * np.median(times[:, 0]):.0f} ms, compiled in "
            f"{took:.1f} s; blocks, times as long: {cells}",
            flush=True,
        )


def encoded(codec: L3AC, audio: np.ndarray, block: int) -> np.ndarray:
    """The tokens of (1, T) audio, `block` at a time."""
    import numpy as np

    encoder = codec.streaming_encoder(block=block)
    return np.concatenate([encoder.push(audio), encoder.finish()], axis=1)


def _compiled(codec: L3AC, block: int) -> float:
    """Seconds that the first block takes."""
    import numpy as np

    start = time.perf_counter()
    encoded(codec, np.zeros((1, codec.hop_length), np.float32), block)
    return time.perf_counter() - start


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    return run_command(
        PROGRAM,
        lambda: measure(tyro.cli(Options, prog=PROGRAM, description=__doc__, args=argv)),
        "each result was printed as soon as it was known",
    )


if __name__ == "__main__":
    sys.exit(main())
