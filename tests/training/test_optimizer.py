"""The schedule and the optimizers, step by step beside PyTorch's."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

from l3ac_jax.config.training import LayerRate, OptimizerConfig
from l3ac_jax.errors import ConfigError
from l3ac_jax.oracle.training import official_optimizer
from l3ac_jax.training.optimizer import (
    make_optimizer,
    one_cycle,
    optimizer_hyperparameters,
    rate_factors,
)


@pytest.mark.parametrize("steps", [10, 37, 100])
@pytest.mark.parametrize(
    ("warmup", "three_phase"),
    [(0.3, True), (0.4, True), (0.45, True), (0.15, False), (0.3, False), (0.7, False)],
)
def test_learning_rate_and_beta1_of_every_step(steps, warmup, three_phase):
    config = OptimizerConfig(warmup=warmup, three_phase=three_phase)
    optimizer, schedule = official_optimizer(config, [torch.zeros(1, requires_grad=True)], steps)
    ours = one_cycle(config, steps)
    for step in range(steps):
        (group,) = optimizer.param_groups
        # Float32 against double; the cosine near its turning points cancels.
        assert ours.learning_rate(step) == pytest.approx(group["lr"], rel=2e-6)
        assert ours.beta1(step) == pytest.approx(group["betas"][0], rel=1e-6)
        optimizer.step()
        if step < steps - 1:
            schedule.step()
    assert ours.learning_rate(10 * steps) == pytest.approx(config.final_rate, rel=1e-6)


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("clip_norm", [1e4, 0.5])
def test_the_trajectory_is_that_of_pytorch(weight_decay, clip_norm):
    steps = 25
    config = OptimizerConfig(
        peak_rate=5e-2, initial_rate=5e-3, weight_decay=weight_decay, clip_norm=clip_norm
    )
    rng = np.random.default_rng(0)
    start = {"a": rng.standard_normal((3, 4)), "b": rng.standard_normal(5)}
    gradients = [jax.tree.map(lambda x: rng.standard_normal(x.shape), start) for _ in range(steps)]

    tensors = {k: torch.tensor(v, requires_grad=True) for k, v in start.items()}
    reference, schedule = official_optimizer(config, list(tensors.values()), steps)
    ours = make_optimizer("adamw", optimizer_hyperparameters(config, steps, start), start)
    params = jax.tree.map(jnp.asarray, start)
    state = ours.init(params)

    @jax.jit
    def update(params, state, gradient):
        updates, state = ours.update(gradient, state, params)
        return optax.apply_updates(params, updates), state

    for step, gradient in enumerate(gradients):
        for name, tensor in tensors.items():
            tensor.grad = torch.tensor(gradient[name])
        torch.nn.utils.clip_grad_norm_(tensors.values(), clip_norm)
        reference.step()
        if step < steps - 1:
            schedule.step()
        params, state = update(params, state, jax.tree.map(jnp.asarray, gradient))
        for name, tensor in tensors.items():
            # PyTorch clips to max / (norm + 1e-6): a relative 1e-6 of gradients of norm 4.
            np.testing.assert_allclose(params[name], tensor.detach(), rtol=2e-5, atol=2e-6)


def test_the_schedule_can_be_read_from_the_state():
    params = {"a": jnp.zeros(2)}
    values = optimizer_hyperparameters(OptimizerConfig(), 10, params)
    state = make_optimizer("adamw", values, params).init(params)
    assert set(state[1].hyperparams) == {"learning_rate", "b1"}
    assert state[1].hyperparams["learning_rate"] == pytest.approx(5e-5)


TREE = jax.tree.map(
    jnp.zeros, {"encoder": {"output": {"bias": 2, "kernel": 4}}, "out": 1}
)  # vectors of so many entries


def test_factors_are_those_of_a_layer_and_of_all_within_it():
    layers = (LayerRate(layer="encoder.output", factor=0.5), LayerRate(layer="encoder", factor=4.0))
    factors = rate_factors(OptimizerConfig(layers=layers), TREE)
    # in the order of one vector: by name
    np.testing.assert_array_equal(factors, [2.0] * 6 + [1.0])
    assert rate_factors(OptimizerConfig(), TREE) == 1.0


def test_a_layer_that_is_not_there_is_named():
    layers = (LayerRate(layer="encoder.outpu", factor=0.5),)
    with pytest.raises(
        ConfigError, match=r"no layer .*encoder.outpu.*; there are encoder.output, out"
    ):
        rate_factors(OptimizerConfig(layers=layers), TREE)
