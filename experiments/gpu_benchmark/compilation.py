"""Compiling with empty caches: what a user waits for.

What the section `steps` compiles anyway is compiled here only without that section.
"""

from __future__ import annotations

import numpy as np
from measurement import speech

from gpu_benchmark import steps
from gpu_benchmark.job import Voice
from gpu_benchmark.material import experiment, load_codec
from gpu_benchmark.plan import Job, Measurement, Settings

NEW_LENGTH, EVALUATION = "encode + decode of a new length", "evaluation"


def measurements(tiny: bool, with_steps: bool) -> list[Measurement]:
    """Each in a process of its own; the tiny one is one."""
    clips = {"clips": 2 if tiny else 4, "seconds": 0.3 if tiny else 10.0}
    plan = [Measurement("compilation", EVALUATION, (Job("ours", f"{__name__}:evaluation", clips),))]
    if tiny:
        return plan
    job = Job("ours, exact", f"{__name__}:new_length", {"seconds": 6.0})
    plan.insert(0, Measurement("compilation", NEW_LENGTH, (job,)))
    if not with_steps:
        kinds = ("generator", "whole objective")
        plan += [steps.measurement(kind, "tf32", tiny, only_compile=True) for kind in kinds]
    return plan


def new_length(voice: Voice, settings: Settings, seconds: float) -> None:
    """The first calls of a codec."""
    codec = load_codec(settings, "exact")
    audio = speech(seconds, codec.sample_rate)
    with voice.span("encode_s"):
        tokens = np.asarray(codec.encode(audio))
    with voice.span("decode_s"):
        codec.decode(tokens).block_until_ready()


def evaluation(voice: Voice, settings: Settings, clips: int, seconds: float) -> None:
    """The program that validation in the course of training runs."""
    import jax
    import jax.numpy as jnp

    from l3ac_jax.model.params import expected_params, unflatten
    from l3ac_jax.system.compilation import product_options
    from l3ac_jax.training.objective import loss_weights, make_objective

    config = experiment(settings)
    assert config.training is not None
    objective = make_objective(config.model, config.training)
    params = unflatten(
        {path: jnp.ones(leaf.shape) for path, leaf in expected_params(config.model).items()}
    )
    audio = jnp.asarray(speech(seconds, config.model.sample_rate, clips))
    batch = {"audio": audio, "lengths": jnp.full(clips, audio.shape[1])}
    whisper = steps.our_whisper(settings) if config.training.loss.perceptual else None
    jitted = jax.jit(objective.of_evaluation, compiler_options=product_options())
    with voice.span("lower_s"):
        lowered = jitted.lower(params, whisper, batch, loss_weights(config.training.loss))
    with voice.span("compile_s"):
        lowered.compile()
