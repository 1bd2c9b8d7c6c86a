"""Numbers of the configuration are arguments of the compiled steps: others compile nothing."""

import math
from functools import partial
from typing import Any

import jax
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from l3ac_jax.config.training import TrainingConfig
from l3ac_jax.model.network import abstract_params
from l3ac_jax.training.hyperparameters import Hyperparameters, make_hyperparameters
from l3ac_jax.training.step import Steps, TrainState, make_steps
from tests.quick import QUICK_COMPILE
from tests.training.batches import batch
from tests.training.small_run import TINY, TRAINING

LAYERS = [{"layer": "decoder.output", "factor": 0.5}]
OPTIMIZER = {"initial_rate": 1e-4, "peak_rate": 1e-3, "layers": LAYERS}
OTHER_OPTIMIZER = {
    "initial_rate": 2e-4,
    "peak_rate": 3e-3,
    "final_rate": 1e-6,
    "warmup": 0.3,
    "weight_decay": 0.1,
    "clip_norm": 0.5,
    "eps": 1e-6,
    "layers": [{"layer": "encoder", "factor": 0.1}],
}
LOSS = {
    "waveform": 10.0,
    "stft": 1.0,
    "mel": 1.0,
    "mel_magnitude": 1.0,
    "perceptual": 0.0,
    "adversarial": 1.0,
}
OTHER_LOSS = {
    "waveform": 3.0,
    "stft": 0.3,
    "stft_floor": 1e-3,
    "mel": 0.1,
    "mel_floor": 0.01,
    "mel_magnitude": 0.2,
    "perceptual": 0.0,
    "adversarial": 0.7,
    "adversarial_maximum": math.inf,
    "feature_matching": 5.0,
}


# What compiles quickly.
FEW_TERMS = {"stft": 0.0, "mel": 0.0, "mel_magnitude": 0.0}


def training(method: str, other: bool, **loss: float) -> TrainingConfig:
    table: dict[str, Any] = {**TRAINING, "loss": LOSS, "optimizer": {**OPTIMIZER, "method": method}}
    if other:
        judges = {**TRAINING["discriminator"], "optimizer": {"peak_rate": 1e-4, "clip_norm": 1.0}}
        table |= {"loss": OTHER_LOSS, "optimizer": {**OTHER_OPTIMIZER, "method": method}}
        table |= {"discriminator": judges, "average_decay": 0.5}
    table["loss"] = {**table["loss"], **loss}
    return TrainingConfig.model_validate(table)


def hyperparameters(method: str, other: bool) -> Hyperparameters:
    values = make_hyperparameters(TINY, training(method, other), 9 if other else 100)
    return values._replace(noise_rate=np.float32(0.0)) if other else values


def start(steps: Steps, values: Hyperparameters) -> TrainState:
    return jax.jit(steps.init, compiler_options=QUICK_COMPILE)(jax.random.key(0), values)


def test_programs_of_other_numbers_are_the_same_to_the_letter():
    """So they are found in memory, and in the persistent cache by another process, too."""
    method = "muon"  # and AdamW, for what is no matrix
    programs = []
    for other in (False, True):
        steps, values = make_steps(TINY, training(method, other)), hyperparameters(method, other)

        def first_step(key, batch, values, steps=steps):
            return steps.take(steps.init(key, values), batch, None, values, True)

        def evaluation(params, batch, weights, steps=steps):
            return steps.objective.of_evaluation(params, None, batch, weights)

        step = jax.jit(first_step).lower(jax.random.key(0), batch(0), values)
        scores = jax.jit(evaluation).lower(abstract_params(TINY), batch(0), values.loss)
        programs.append((steps, step.as_text(), scores.as_text()))
    assert programs[0] == programs[1]


def test_a_step_computes_what_it_would_with_constants():
    """Other numbers than those that it was compiled with."""
    steps = make_steps(TINY, training("adamw", other=False, **FEW_TERMS))
    usual, other = (hyperparameters("adamw", which) for which in (False, True))
    state = start(steps, usual)
    take = jax.jit(partial(steps.take, with_discriminators=True), compiler_options=QUICK_COMPILE)
    unchanged, _ = take(state, batch(0), None, usual)
    after, metrics = take(state, batch(0), None, other)
    assert take._cache_size() == 1

    @partial(jax.jit, compiler_options=QUICK_COMPILE)
    def with_constants(state, batch):
        return steps.take(state, batch, None, other, with_discriminators=True)

    expected, expected_metrics = with_constants(state, batch(0))
    for name, value in expected_metrics.items():
        # XLA multiplies constants with each other before anything else.
        assert metrics[name] == pytest.approx(float(value), rel=1e-5), name
    moved = [
        ravel_pytree((x.params, x.average, x.discriminators))[0]
        - ravel_pytree((state.params, state.average, state.discriminators))[0]
        for x in (after, expected, unchanged)
    ]
    distance = [np.linalg.norm(moved[0] - x) / np.linalg.norm(moved[0]) for x in moved[1:]]
    print(f"from constants {distance[0]:.1e}, from other numbers {distance[1]:.1e}")
    assert distance[0] <= 1e-4 <= 0.1 <= distance[1]  # float32, and Adam divides by small numbers
