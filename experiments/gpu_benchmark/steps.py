"""Training steps of all kinds in each precision, beside PyTorch; their compilation and memory.

Every job is timed in a process that has the card to itself: both sides need much of its memory.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from measurement import speech

from gpu_benchmark.inference import synchronize, torch_memory, use_torch
from gpu_benchmark.job import Run, Voice, timed
from gpu_benchmark.material import experiment, say_memory_at_end
from gpu_benchmark.plan import Job, Measurement, Settings

if TYPE_CHECKING:
    import torch

    from l3ac_jax.config.training import TrainingConfig

TOTAL = 100_000  # steps that the schedules are made for
CLIPS, SECONDS = 12, 7.2
TINY_CLIPS, TINY_SECONDS = 2, 0.2

# The terms of the objective that are left out.
KINDS = {
    "generator": ("adversarial", "perceptual"),
    "generator, Whisper": ("adversarial",),
    "whole objective": (),
    "discriminators": ("perceptual",),
}
JUDGES = "discriminators"
PRECISIONS = ("tf32", "bfloat16", "float32")
PYTORCH, COMPILED = "PyTorch, TF32", "PyTorch, TF32, torch.compile"
# What matters most; the others come last of all.
FIRST = [
    ("generator", "tf32"), ("generator", "bfloat16"), ("generator", PYTORCH),
    ("whole objective", "tf32"), ("whole objective", PYTORCH), ("whole objective", "bfloat16"),
]  # fmt: skip


def measurements(tiny: bool) -> list[Measurement]:
    """One of each kind and side."""
    if tiny:
        order = [("generator", "float32"), ("generator", PYTORCH)]
    else:
        every = [(kind, side) for side in (*PRECISIONS, PYTORCH) for kind in KINDS]
        order = FIRST + [pair for pair in every if pair not in FIRST] + [("generator", COMPILED)]
    return [
        replace(measurement(kind, side, tiny), last=not tiny and (kind, side) not in FIRST)
        for kind, side in order
    ]


def measurement(kind: str, side: str, tiny: bool, only_compile: bool = False) -> Measurement:
    """A step of one kind, by one side."""
    clips, seconds = (TINY_CLIPS, TINY_SECONDS) if tiny else (CLIPS, SECONDS)
    arguments: dict[str, Any] = {"kind": kind, "clips": clips, "seconds": seconds}
    if side.startswith("PyTorch"):
        arguments["compiled"] = side == COMPILED
        job = Job(side, f"{__name__}:official", arguments, official=True, limit=120.0)
    else:
        arguments |= {"precision": side, "only_compile": only_compile}
        job = Job(f"ours, {side}", f"{__name__}:ours", arguments)
    section = "compilation" if only_compile else "steps"
    return Measurement(section, kind, (job,), warm_up=3, audio_seconds=clips * seconds)


def ours(
    voice: Voice,
    settings: Settings,
    kind: str,
    clips: int,
    seconds: float,
    precision: str,
    only_compile: bool = False,
) -> Run | None:
    """As in training: compiled with its state donated."""
    import jax
    import jax.numpy as jnp

    from l3ac_jax.evaluation.random_params import random_params
    from l3ac_jax.system.compilation import product_options, quick_compilation
    from l3ac_jax.training.hyperparameters import make_hyperparameters
    from l3ac_jax.training.step import make_steps

    say_memory_at_end(voice)
    config, training = settings_of(settings, kind, precision)
    steps = make_steps(config, training)
    values = jax.device_put(make_hyperparameters(config, training, TOTAL))
    with voice.span("init_s"):
        # With parameters given: to draw them would take a compilation of its own.
        params = jax.tree.map(jnp.asarray, random_params(config, 0))
        init = jax.jit(steps.init, compiler_options=quick_compilation())
        state = jax.block_until_ready(init(jax.random.key(0), values, params))
    audio = jnp.asarray(speech(seconds, config.sample_rate, clips))
    batch = {"audio": audio, "lengths": jnp.full(clips, audio.shape[1])}
    if kind == JUDGES:
        step, arguments = steps.train_discriminators, (batch, values)
    else:
        whisper = our_whisper(settings) if training.loss.perceptual else None
        step, arguments = steps.train_generator, (batch, whisper, values)
    jitted = jax.jit(step, donate_argnums=0, compiler_options=product_options())
    with voice.span("lower_s"):
        lowered = jitted.lower(state, *arguments)
    with voice.span("compile_s"):
        compiled = lowered.compile()
    memory = compiled.memory_analysis()
    if memory is not None:
        voice.figures(temporary_gib=memory.temp_size_in_bytes / 2**30)
    if only_compile:
        return None

    def take() -> None:
        nonlocal state
        state, metrics = compiled(state, *arguments)
        jax.block_until_ready(metrics)

    return lambda: {"step_ms": timed(take)}


def official(
    voice: Voice, settings: Settings, kind: str, clips: int, seconds: float, compiled: bool
) -> Run:
    """The official training, tuned."""
    import torch

    from l3ac_jax.oracle.codec import seeded_codec
    from l3ac_jax.oracle.losses import random_whisper_weights, read_whisper_weights
    from l3ac_jax.oracle.training import OfficialTraining

    config, training = settings_of(settings, kind, "float32")
    whisper = None
    if training.loss.perceptual:
        given = settings.whisper
        whisper = random_whisper_weights() if given is None else read_whisper_weights(given)
    device = use_torch(tf32=True)
    official = OfficialTraining(
        seeded_codec(config), training, TOTAL, whisper, tuned=True, device=device
    )
    take = official.discriminator_step if kind == JUDGES else official.generator_step
    audio = torch.from_numpy(speech(seconds, config.sample_rate, clips)).to(device)
    if compiled:
        compile_network(official.codec, voice, take, audio)
    voice.at_end = partial(torch_memory, device)
    return lambda: {"step_ms": timed(lambda: (take(audio), synchronize(device)))}


def compile_network(codec: Any, voice: Voice, take: Any, audio: torch.Tensor) -> None:
    """Compile PyTorch's network, in the first step."""
    import torch

    codec.network = torch.compile(codec.network)
    with voice.span("compile_s"):
        take(audio)
        synchronize(audio.device.type)


def settings_of(settings: Settings, kind: str, precision: str) -> tuple[Any, TrainingConfig]:
    """The published ones, without the terms that this kind of step does not need."""
    config = experiment(settings)
    assert config.training is not None
    tables = config.training.model_dump()
    tables["loss"] |= dict.fromkeys(KINDS[kind], 0.0)
    tables["precision"] = precision
    return config.model, type(config.training).model_validate(tables)


def our_whisper(settings: Settings) -> dict:
    """Whisper's encoder on the device, with random weights unless there is a file."""
    import jax
    import jax.numpy as jnp

    from l3ac_jax.training.whisper import MEL_BANDS, WhisperEncoder
    from l3ac_jax.training.whisper_weights import read_whisper_encoder

    if settings.whisper is not None:
        return jax.device_put(read_whisper_encoder(settings.whisper))
    mel = jnp.zeros((1, 2, MEL_BANDS))
    return dict(jax.jit(WhisperEncoder().init)(jax.random.key(0), mel)["params"])
