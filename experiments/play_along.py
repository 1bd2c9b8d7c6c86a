r"""A model makes tokens and the codec's decoder makes audio of them, in one compiled program.

    python experiments/play_along.py small walk.wav
    python experiments/play_along.py small - --tokens repeat | aplay -f S16_LE -r 16000
    python experiments/play_along.py configs/3kbps.toml walk.wav --block-ms 96 --seconds 30

A model of tokens is two pure functions (`l3ac_jax.generation.playing.TokenModel`): where it begins,
and `state, key -> state, token`. A `lax.scan` asks it for the tokens of a block, one after the
other, and the decoder takes all of them in one step; the last states are the next block's first. A
language model over tokens goes in the same way (generate.py). Two that need no training are here:
`walk`, where each level of the quantizer goes up or down at random, and `repeat`, the tokens of a
recording again and again.

Audio is written block by block, as it comes: to OUT, or as raw 16-bit samples to standard output
(`-`). It is `decoder_lag` samples late, which are left out at the start. Printed is the real-time
factor: seconds of computing for a second of audio.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from l3ac_jax.cli.run import run_command
from l3ac_jax.errors import ArgumentError

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Array, Int

    from l3ac_jax.codec.l3ac import L3AC
    from l3ac_jax.generation.playing import TokenModel

PROGRAM = "play_along.py"
PROMPT_SECONDS = 2


@dataclass(frozen=True)
class Options:
    """What to play, and where to."""

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
    """Name, model folder or file, training run, or configuration file (random parameters)."""
    output: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    """Audio file, or - for raw samples on standard output."""
    tokens: Literal["walk", "repeat"] = "walk"
    """Which model makes the tokens."""
    prompt: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """The recording that is repeated; by default two seconds of speech."""
    seconds: float = 10
    """Of audio."""
    block_ms: float = 48
    """Length of a block; it becomes whole tokens."""
    seed: int = 0
    """Of what is random."""
    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Replace an existing file."""


def random_walk(codec: L3AC) -> TokenModel:
    """Each level of the quantizer goes up or down by one, or stays, within its bounds."""
    import jax
    import jax.numpy as jnp

    from l3ac_jax.generation.playing import TokenModel
    from l3ac_jax.model.levels import levels_to_tokens

    counts = codec.config.quantizer.levels
    highest = jnp.asarray(counts, jnp.int32)[None, None] - 1

    def step(levels: Array, key: Array) -> tuple[Array, Array]:
        moves = jax.random.randint(key, levels.shape, -1, 2, jnp.int32)
        levels = jnp.clip(levels + moves, 0, highest)
        return levels, levels_to_tokens(levels, counts)

    return TokenModel(highest // 2, step)


def repetition(tokens: Int[np.ndarray, "1 n"]) -> TokenModel:
    """The same tokens again and again."""
    import jax.numpy as jnp

    from l3ac_jax.generation.playing import TokenModel

    prompt = jnp.asarray(tokens)

    def step(at: Array, key: Array) -> tuple[Array, Array]:
        return (at + 1) % prompt.shape[1], prompt[:, at][:, None]

    return TokenModel(jnp.zeros((), jnp.int32), step)


def play(options: Options) -> None:
    """Write blocks as they come, and say how long they took."""
    if options.seconds <= 0 or options.block_ms <= 0:
        raise ArgumentError("--seconds and --block-ms: must be more than 0")
    if options.prompt is not None and options.tokens != "repeat":
        raise ArgumentError("--prompt: is for --tokens repeat")
    import jax
    import numpy as np
    from raw_output import opened
    from stream_models import streaming_codec

    from l3ac_jax.generation.playing import played
    from l3ac_jax.system.compilation import keep_compiled_programs

    keep_compiled_programs()
    codec, words = streaming_codec(options.model, options.seed)
    block = max(1, round(options.block_ms * codec.frame_rate / 1000))
    samples = round(options.seconds * codec.sample_rate)
    with opened(options.output, codec.sample_rate, samples, options.overwrite) as write:
        model = random_walk(codec) if options.tokens == "walk" else _prompted(options, codec)
        blocks = played(codec, model, jax.random.key(options.seed), block)
        taken, written = [], 0
        while written < samples:
            start = time.perf_counter()
            audio = next(blocks)
            taken.append(time.perf_counter() - start)
            audio = audio[:, : samples - written]
            write(audio)
            written += audio.shape[1]
    first, rest = taken[0], np.array(taken[1:] or taken)
    duration = block * codec.hop_length / codec.sample_rate
    lag = 1000 * codec.decoder_lag / codec.sample_rate
    print(
        f"{options.model}, {words}\n"
        f"{written / codec.sample_rate:.2f} s of audio in blocks of {1000 * duration:g} ms, "
        f"{lag:.1f} ms late; compiled in {first:.1f} s\n"
        f"real-time factor {rest.mean() / duration:.3f}; a block takes "
        f"{1000 * np.median(rest):.1f} ms (median), {1000 * rest.max():.1f} ms at most",
        file=sys.stderr,
    )


def _prompted(options: Options, codec: L3AC) -> TokenModel:
    import numpy as np

    from l3ac_jax.evaluation.clips import read_mono

    if options.prompt is None:
        from measurement import speech

        audio = speech(PROMPT_SECONDS, codec.sample_rate)
    else:
        audio = read_mono(options.prompt, codec.sample_rate)[None]
    return repetition(np.asarray(codec.encode(audio)))


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    return run_command(
        PROGRAM,
        lambda: play(tyro.cli(Options, prog=PROGRAM, description=__doc__, args=argv)),
        "no file was written",
    )


if __name__ == "__main__":
    sys.exit(main())
