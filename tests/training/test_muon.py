"""Muon on one vector of parameters: beside its formula, and beside optax's tree of parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from l3ac_jax.training.muon import UPDATE_RMS, muon

SHAPES = {
    "a": {"depthwise": {"kernel": (7, 8), "bias": (8,)}, "expand": {"kernel": (8, 32)}},
    "b": {"conv": {"kernel": (3, 8, 6), "scale": (6,)}, "out": {"kernel": (7, 16, 1)}},
    "c": {"expand": {"kernel": (8, 32)}},
}
FILTERS = {"a/depthwise/kernel"}
MATRICES = {("a", "expand"), ("b", "conv"), ("c", "expand")}
LEARNING_RATE = 1e-2


def tree_of(rng):
    def fill(shape):
        return jnp.asarray(rng.standard_normal(shape), jnp.float32)

    return jax.tree.map(fill, SHAPES, is_leaf=lambda x: isinstance(x, tuple))


def run(weight_decay=0.0, steps=3):
    """Parameters before and after each step, and the gradients."""
    rng = np.random.default_rng(0)
    params = tree_of(rng)
    rate, momentum = jnp.asarray(LEARNING_RATE), jnp.asarray(0.9)
    optimizer = muon(rate, momentum, params, 1e-8, weight_decay, FILTERS)
    vector, unravel = ravel_pytree(params)
    state = optimizer.init(vector)
    seen, gradients = [params], [tree_of(rng) for _ in range(steps)]
    for gradient in gradients:
        updates, state = optimizer.update(ravel_pytree(gradient)[0], state, vector)
        vector = optax.apply_updates(vector, updates)
        seen.append(unravel(vector))
    return seen, gradients


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_each_parameter_is_updated_as_by_optax_in_a_tree(weight_decay):
    seen, gradients = run(weight_decay)
    axes = {
        block: {
            layer: {
                name: optax.contrib.MuonDimensionNumbers(tuple(range(len(shape) - 1)), -1)
                if (block, layer) in MATRICES and name == "kernel"
                else None
                for name, shape in leaves.items()
            }
            for layer, leaves in layers.items()
        }
        for block, layers in SHAPES.items()
    }
    reference = optax.contrib.muon(
        LEARNING_RATE,
        weight_decay=weight_decay,
        adam_b1=0.9,
        adam_weight_decay=weight_decay,
        muon_weight_dimension_numbers=axes,
        consistent_rms=UPDATE_RMS,
    )
    params = seen[0]
    state = reference.init(params)
    for gradient, ours in zip(gradients, seen[1:], strict=True):
        updates, state = reference.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
        # The iteration for orthogonality makes rounding some ten times larger.
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=3e-6), ours, params)


def test_the_first_update_of_a_matrix_is_nearly_orthogonal():
    seen, _ = run(steps=1)
    for block, layer in MATRICES:
        before, after = (tree[block][layer]["kernel"] for tree in seen)
        update = np.asarray(after - before).reshape(-1, before.shape[-1])
        scale = LEARNING_RATE * UPDATE_RMS * max(update.shape) ** 0.5
        singular = np.linalg.svd(update / scale, compute_uv=False)
        # Muon's polynomial leaves singular values between 0.7 and 1.2 by its author's account.
        assert singular.min() > 0.6
        assert singular.max() < 1.3


def test_other_parameters_are_updated_by_adam():
    seen, gradients = run(steps=1)
    for path in [("a", "depthwise", "kernel"), ("b", "out", "kernel"), ("b", "conv", "scale")]:
        before, after, slope = seen[0], seen[1], gradients[0]
        for name in path:
            before, after, slope = before[name], after[name], slope[name]
        # The first step of Adam has one size whatever the gradient: with Nesterov's momentum,
        # the learning rate times 1 + 0.9 / 1.9.
        size = LEARNING_RATE * (1 + 0.9 / 1.9)
        np.testing.assert_allclose(after - before, -size * np.sign(slope), rtol=1e-3)
