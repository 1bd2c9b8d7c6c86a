"""Speed of the published training steps, beside PyTorch in the same run.

Both sides have the same seeded weights and take steps on the same batch of speech, alternately, so
that whatever else the machine does falls on both. Each is a process of its own, as training is:
in one process they would cut up each other's memory, and wait for each other's threads. Ours takes
its program from JAX's persistent cache, where another process has put it, as in train.py. The rows:
a step of the generator by waveform, STFT and perceptual losses; the same with the discriminators'
terms; a step of the discriminators. PyTorch's side is the official training written anew, with
fused optimizers, normalized weights kept for a whole step, and freed memory kept by the process
(l3ac_jax/system/memory.py, as train.py has it), all of which the official code does without; with
--as-published it does without them too.

Printed: median seconds of each side, the median of the ratios of neighbouring steps, the slowest of
our steps over their median, time and peak memory that compiling takes once for all runs, peak
memory (of weights, optimizer and steps, without the libraries), and the first step's loss, in which
the quantizer's noise is not the same.

Example: python experiments/benchmark_training.py --models 3kbps --clips 2 --seconds 7 --repeats 5
"""

import os
import sys

from l3ac_jax.system.memory import keep_freed_memory

if "--as-published" not in sys.argv or "official" not in sys.argv:
    keep_freed_memory()  # as train.py does, and before libraries start threads

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from measurement import Side, resident_mib, serve, speech
from numpy.typing import NDArray
from rich.table import Table
from safetensors.numpy import save_file

from l3ac_jax.cli.printing import print_table
from l3ac_jax.cli.run import run_command
from l3ac_jax.system.compilation import keep_compiled_programs, quick_compilation
from l3ac_jax.config import CodecConfig, published_config
from l3ac_jax.oracle.codec import seeded_codec
from l3ac_jax.oracle.discriminators import discriminator_params
from l3ac_jax.oracle.losses import random_whisper_weights, read_whisper_weights
from l3ac_jax.oracle.training import OfficialTraining, official_params
from l3ac_jax.model.params import unflatten
from l3ac_jax.training.hyperparameters import Hyperparameters, make_hyperparameters
from l3ac_jax.training.step import Steps, TrainState, make_steps
from l3ac_jax.training.whisper_weights import read_whisper_encoder
from l3ac_jax.config.training import TrainingConfig

PROGRAM = "benchmark_training.py"
TOTAL = 100_000  # steps that the schedules are made for

Kind = Literal["generator", "adversarial", "discriminators"]
ROWS: dict[Kind, str] = {
    "generator": "generator",
    "adversarial": "generator, adversarial",
    "discriminators": "discriminators",
}


@dataclass(frozen=True)
class Options:
    """What to measure."""

    models: tuple[str, ...] = ("3kbps",)
    """Published configurations."""
    steps: tuple[Kind, ...] = tuple(ROWS)
    """Kinds of steps."""
    clips: int = 4
    """Clips in a batch."""
    seconds: float = 2.0
    """Length of each clip; speech, repeated to this length."""
    repeats: int = 5
    """Steps of each side and kind."""
    warm_up: int = 4
    """Steps before them that do not count, until the heap of each side has its size."""
    whisper: Path | None = None
    """Weights of Whisper tiny.en under OpenAI's names, .pt or .safetensors; random ones without."""
    as_published: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """PyTorch's side as the official training runs: nothing tuned, freed memory given back."""
    side: Literal["both", "ours", "official"] = "both"
    """For the benchmark's own processes: take steps of one side, one for each line of input."""


Step = Callable[[], float]
"""Takes a step on the batch and returns its loss, so that it is over."""


def official_side(name: str, kind: Kind, options: Options) -> Step:
    """A step in PyTorch."""
    official = reference(name, kind, options)
    take = official.discriminator_step if kind == "discriminators" else official.generator_step
    audio = batch_of(name, options)
    return lambda: float(take(audio)["loss"])


def our_side(name: str, kind: Kind, options: Options) -> Step:
    """Our step from the same weights, compiled with its state donated, as in training."""
    (config, training), audio = settings_of(name, kind), batch_of(name, options)
    steps, values = make_steps(config, training), make_hyperparameters(config, training, TOTAL)
    values = jax.device_put(values)
    state = initial_state(steps, values, reference(name, kind, options))
    batch = {"audio": jnp.asarray(audio), "lengths": jnp.full(len(audio), audio.shape[1])}
    if kind == "discriminators":
        step, loss = steps.train_discriminators, "discriminator_loss"
        arguments = (batch, values)
    else:
        step, loss = steps.train_generator, "loss"
        arguments = (batch, our_whisper(options), values)
    compiled = jax.jit(step, donate_argnums=0)

    def take() -> float:
        nonlocal state
        state, metrics = compiled(state, *arguments)
        return float(metrics[loss])

    return take


SIDES = {"ours": our_side, "official": official_side}


def settings_of(name: str, kind: Kind) -> tuple[CodecConfig, TrainingConfig]:
    """Those published, without the terms that this kind of step does not need."""
    experiment = published_config(name)
    assert experiment.training is not None
    unused = {"generator": "adversarial", "discriminators": "perceptual"}
    changes = {unused[kind]: 0.0} if kind in unused else {}
    loss = experiment.training.loss.model_copy(update=changes)
    return experiment.model, experiment.training.model_copy(update={"loss": loss})


def batch_of(name: str, options: Options) -> NDArray[np.float32]:
    """(clips, samples)."""
    return speech(options.seconds, published_config(name).model.sample_rate, options.clips)


def reference(name: str, kind: Kind, options: Options) -> OfficialTraining:
    """The training in PyTorch, always from the same weights."""
    config, training = settings_of(name, kind)
    whisper = random_whisper_weights()
    if options.whisper is not None:
        whisper = read_whisper_weights(options.whisper)
    return OfficialTraining(
        seeded_codec(config), training, TOTAL, whisper, tuned=not options.as_published
    )


def initial_state(steps: Steps, values: Hyperparameters, official: OfficialTraining) -> TrainState:
    """The state of a new run with the weights of the training in PyTorch."""
    params = jax.device_put(unflatten(official_params(official.codec)))
    init = jax.jit(steps.init, compiler_options=quick_compilation())
    state = init(jax.random.key(0), values, params)
    if official.discriminators is None:
        return state
    tensors = official.discriminators.state_dict()
    judges = discriminator_params(tensors, steps.objective.discriminators)
    return state.replace(discriminators=jax.device_put(judges))


def our_whisper(options: Options) -> dict:
    """The same weights of Whisper as a parameter tree on the device."""
    if options.whisper is not None:
        return jax.device_put(read_whisper_encoder(options.whisper))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "random.safetensors"
        save_file(random_whisper_weights(), path)
        return jax.device_put(read_whisper_encoder(path))


def start_side(side: str, name: str, kind: Kind, options: Options) -> Side:
    """One side's steps of one kind in a process of their own."""
    words = ["--models", name, "--steps", kind, "--side", side]
    words += ["--clips", str(options.clips), "--seconds", str(options.seconds)]
    words += ["--whisper", str(options.whisper)] if options.whisper else []
    words += ["--as-published"] if options.as_published else []
    return Side(__file__, *words)


def take_steps(side: str, options: Options) -> None:
    """What the process of one side does."""
    keep_compiled_programs()
    before = resident_mib()
    step = SIDES[side](options.models[0], options.steps[0], options)
    serve(lambda: {"loss": step()}, before)


def measure(name: str, kind: Kind, options: Options) -> list[str]:
    """Alternating steps of both sides, as the columns of the table; each is noted when taken."""
    with TemporaryDirectory() as programs:
        os.environ["JAX_COMPILATION_CACHE_DIR"] = programs
        with start_side("ours", name, kind, options) as ours:
            compilation = ours.run()
        print(f"{name}, {ROWS[kind]}: compiled", file=sys.stderr)
        with (
            start_side("ours", name, kind, options) as ours,
            start_side("official", name, kind, options) as other,
        ):
            rounds = []
            for number in range(options.warm_up + options.repeats):
                rounds.append((ours.run(), other.run()))
                seconds = "{seconds:.2f} s, ".format(**rounds[-1][0])
                seconds += "{seconds:.2f} s".format(**rounds[-1][1])
                print(f"{name}, {ROWS[kind]}, step {number}: {seconds}", file=sys.stderr)
    times = np.array([[side["seconds"] for side in pair] for pair in rounds])
    times = times[options.warm_up :]
    medians = np.median(times, axis=0)
    return [
        *(f"{seconds:.2f} s" for seconds in medians),
        f"{np.median(times[:, 1] / times[:, 0]):.2f}",
        f"{times[:, 0].max() / medians[0]:.2f}",
        "{seconds:.0f} s, {mib:.0f} MiB".format(**compilation),
        "{mib:.0f} / ".format(**rounds[-1][0]) + "{mib:.0f} MiB".format(**rounds[-1][1]),
        "{loss:.3f} / ".format(**rounds[0][0]) + "{loss:.3f}".format(**rounds[0][1]),
    ]


def run(options: Options) -> None:
    """Measures and prints one table."""
    if options.side != "both":
        take_steps(options.side, options)
        return
    title = f"one training step, {options.clips} clips of {options.seconds:g} s, CPU"
    table = Table(title=title)
    for column in ("model", "step", "ours", "PyTorch", "PyTorch / ours", "slowest", "compilation",
                   "peak memory", "first loss"):  # fmt: skip
        table.add_column(column, justify="left" if column in ("model", "step") else "right")
    for name in options.models:
        for kind in options.steps:
            table.add_row(name, ROWS[kind], *measure(name, kind, options))
    print_table(table, 120)


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    return run_command(
        PROGRAM, lambda: run(tyro.cli(Options, prog=PROGRAM, description=__doc__, args=argv))
    )


if __name__ == "__main__":
    sys.exit(main())
