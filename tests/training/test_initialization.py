"""Random parameters to begin with, and what the signal and its gradient do in them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from l3ac_jax.config import load_config
from l3ac_jax.model.network import Network, init_params
from l3ac_jax.params import flatten
from l3ac_jax.training.initialization import initial_params

CONFIG = load_config("configs/small.toml").model
KEY = jax.random.key(0)


def test_the_published_initialization_is_the_network_s_own():
    ours, own = initial_params(CONFIG, "published", KEY), init_params(CONFIG, KEY)
    assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), ours, own))


def test_encoder_kernels_have_the_deviation_of_their_inputs():
    leaves = flatten(initial_params(CONFIG, "fan_in", KEY))
    for layer, inputs in {
        "encoder/stage_0/unit_0/depthwise": 7,
        "encoder/stage_1/down": 4 * 32,
        "encoder/final/unit_0/expand": 128,
        "encoder/output": 3 * 128,
    }.items():
        kernel = leaves[f"{layer}/kernel"]
        # Of n draws the deviation is known to 1/sqrt(2n): 7 % for the smallest, of 112.
        assert np.std(kernel) == pytest.approx(inputs**-0.5, rel=0.2), layer
        norms = np.sqrt(np.square(kernel).sum(axis=tuple(range(kernel.ndim - 1))))
        np.testing.assert_allclose(leaves[f"{layer}/scale"], norms, rtol=1e-5)
    project = leaves["encoder/final/unit_0/project/kernel"]
    assert np.std(project) == pytest.approx(0.2 * 512**-0.5, rel=0.05)


def test_other_parameters_stay_as_published():
    ours = flatten(initial_params(CONFIG, "fan_in", KEY))
    published = flatten(init_params(CONFIG, KEY))
    assert ours.keys() == published.keys()
    changed = {name for name in ours if not np.array_equal(ours[name], published[name])}
    assert {name.rsplit("/", 1)[1] for name in changed} == {"kernel", "scale"}
    assert all(name.startswith("encoder/") for name in changed)


def test_the_first_gradient_is_smaller_by_orders_of_magnitude():
    rng = np.random.default_rng(0)
    audio = jnp.asarray(0.1 * rng.standard_normal((1, 4800)), jnp.float32)

    def loss(params):
        out = Network(CONFIG).apply({"params": params}, audio, None, KEY).audio
        return jnp.abs(out - audio).mean()

    gradient = jax.jit(lambda params: optax.global_norm(jax.grad(loss)(params)))
    published, scaled = (
        float(gradient(initial_params(CONFIG, kind, KEY))) for kind in ("published", "fan_in")
    )
    assert scaled < published / 100
