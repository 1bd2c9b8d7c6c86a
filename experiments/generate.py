r"""Audio that a language model over tokens makes, block by block as it is sampled.

    python experiments/generate.py runs/language out.wav --prompt clip.wav --seconds 10
    python experiments/generate.py runs/language - | aplay -f S16_LE -r 16000

MODEL is the folder of train_language.py. Its codec is the one whose tokens it was trained on, by
name, or --codec; a codec of other weights is refused. The tokens of a block are drawn one after the
other, and the decoder takes them in one step, in one compiled program: with a streaming codec this
is the loop that a musical instrument would run. A decoder that norms over the whole clip norms over
the past instead, an approximation, and the output says so.

After a prompt, its own tokens come first; they are heard with --with-prompt. A model that was
trained with labels is told one with --label, and goes on for as long as that label's recordings
usually do. Audio goes to OUT, or as raw 16-bit samples to standard output (`-`). Printed are tokens
a second, the real-time factor, and the latency from a token to its sound.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from l3ac_jax.cli.run import run_command
from l3ac_jax.errors import ArgumentError

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Int

    from l3ac_jax.codec.l3ac import L3AC

PROGRAM = "generate.py"


@dataclass(frozen=True)
class Options:
    """What to generate, and where to."""

    model: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
    """Folder of a language model."""
    output: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    """Audio file, or - for raw samples on standard output."""
    codec: str | None = None
    """The codec, where it has another name than when its tokens were written."""
    prompt: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """A recording that is continued."""
    prompt_seconds: float = 3
    """How much of its beginning is the prompt."""
    with_prompt: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Begin with the prompt, as the codec gives it."""
    label: str | None = None
    """What to say, for a model with labels."""
    seconds: float | None = None
    """Of new audio: 10, or what is usual for the label."""
    temperature: float = 1
    """Of the distributions; 0 takes the likeliest token."""
    top_p: float = 0.95
    """Share of all tokens' chances that is drawn from, their likeliest part."""
    block_ms: float = 48
    """Length of a block; it becomes whole tokens."""
    seed: int = 0
    """Of the drawing."""
    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Replace an existing file."""


def generate(options: Options) -> None:
    """Write blocks as they come, and say how long they took."""
    for name in ("seconds", "block_ms", "prompt_seconds"):
        if (value := getattr(options, name)) is not None and value <= 0:
            raise ArgumentError(f"--{name.replace('_', '-')}: must be more than 0")
    import jax
    import numpy as np
    from raw_output import opened

    from l3ac_jax.generation.codecs import codec_of, step_by_step
    from l3ac_jax.generation.folder import load_language_model
    from l3ac_jax.generation.playing import played
    from l3ac_jax.generation.sampling import language_tokens
    from l3ac_jax.system.compilation import keep_compiled_programs

    keep_compiled_programs()
    trained = load_language_model(options.model)
    whole = codec_of(trained, options.codec)
    codec = step_by_step(whole)
    words = "" if codec is whole else ", its norms over the past alone (an approximation)"
    prompt = _prompt(options, codec)
    given = prompt.shape[1] * codec.hop_length
    labels = None if options.label is None else [options.label]
    model = language_tokens(trained, prompt, options.temperature, options.top_p, labels=labels)
    seconds = options.seconds
    if seconds is None:
        seconds = trained.labels[options.label] / codec.frame_rate if options.label else 10.0
    block = max(1, round(options.block_ms * codec.frame_rate / 1000))
    skipped = 0 if options.with_prompt else given
    samples = given - skipped + round(seconds * codec.sample_rate)
    taken, written = [], 0
    with opened(options.output, codec.sample_rate, samples, options.overwrite) as write:
        for audio in played(codec, model, jax.random.key(options.seed), block):
            taken.append(time.perf_counter())
            dropped = min(skipped, audio.shape[1])
            skipped -= dropped
            audio = audio[:, dropped:][:, : samples - written]
            write(audio)
            written += audio.shape[1]
            if written == samples:
                break
    between = np.diff(taken) if len(taken) > 1 else np.array([np.nan])
    duration = block * codec.hop_length / codec.sample_rate
    lag = 1000 * (codec.decoder_lag / codec.sample_rate + duration)
    print(
        f"{options.model}, step {trained.step}; codec {codec.name}{words}\n"
        f"{written / codec.sample_rate:.2f} s of audio in blocks of {1000 * duration:g} ms\n"
        f"{block / between.mean():.0f} tokens a second, real-time factor "
        f"{between.mean() / duration:.3f}; a block takes {1000 * np.median(between):.1f} ms "
        f"(median), {1000 * between.max():.1f} ms at most\n"
        f"from a token to the end of its sound: {lag:.1f} ms of audio and "
        f"{1000 * np.median(between):.1f} ms of computing",
        file=sys.stderr,
    )


def _prompt(options: Options, codec: L3AC) -> Int[np.ndarray, "1 n"]:
    import numpy as np

    from l3ac_jax.evaluation.clips import read_mono

    if options.prompt is None:
        if options.with_prompt:
            raise ArgumentError("--with-prompt: there is no --prompt")
        return np.zeros((1, 0), np.int32)
    audio = read_mono(options.prompt, codec.sample_rate)
    audio = audio[: round(options.prompt_seconds * codec.sample_rate)]
    return np.asarray(codec.encode(audio[None]))


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    return run_command(
        PROGRAM,
        lambda: generate(tyro.cli(Options, prog=PROGRAM, description=__doc__, args=argv)),
        "no file was written",
    )


if __name__ == "__main__":
    sys.exit(main())
