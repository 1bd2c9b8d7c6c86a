"""Random parameters to begin with, and what the signal and its gradient do in them."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from l3ac_jax.config import load_config
from l3ac_jax.model.fsq import Noise
from l3ac_jax.model.network import Network, init_params
from l3ac_jax.model.ops import linear_upsample
from l3ac_jax.model.params import flatten
from l3ac_jax.training.initialization import detrended, initial_params
from tests.quick import QUICK_COMPILE

CONFIG = load_config("configs/smoke.toml").model
KEY = jax.random.key(0)


@cache
def initial(kind: str) -> dict:
    """Parameters; compiled, what the network computes beside them is left out."""
    init = partial(initial_params, CONFIG, kind)
    return jax.jit(init, compiler_options=QUICK_COMPILE)(KEY)


def test_the_published_initialization_is_the_network_s_own():
    own = jax.jit(partial(init_params, CONFIG), compiler_options=QUICK_COMPILE)(KEY)
    ours = initial("published")
    assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), ours, own))


def test_encoder_kernels_have_the_deviation_of_their_inputs():
    leaves = flatten(initial("fan_in"))
    for layer, inputs in {
        "encoder/stage_0/unit_0/depthwise": 7,
        "encoder/stage_1/down": 12 * 24,
        "encoder/final/unit_0/expand": 48,
        "encoder/output": 3 * 48,
        "decoder/stage_1/up": 24,
    }.items():
        kernel = leaves[f"{layer}/kernel"]
        # Of n draws the deviation is known to 1/sqrt(2n): 9 % for the smallest, of 56.
        assert np.std(kernel) == pytest.approx(inputs**-0.5, rel=0.3), layer
        norms = np.sqrt(np.square(kernel).sum(axis=tuple(range(kernel.ndim - 1))))
        np.testing.assert_allclose(leaves[f"{layer}/scale"], norms, rtol=1e-5)
    project = leaves["encoder/final/unit_0/project/kernel"]
    assert np.std(project) == pytest.approx(0.2 * 192**-0.5, rel=0.05)


def test_other_parameters_stay_as_published():
    ours = flatten(initial("fan_in"))
    published = flatten(initial("published"))
    assert ours.keys() == published.keys()
    changed = {name for name in ours if not np.allclose(ours[name], published[name], 1e-5, 0)}
    assert {name.rsplit("/", 1)[1] for name in changed} == {"kernel", "scale"}
    in_decoder = {name.split("/")[-2] for name in changed if not name.startswith("encoder/")}
    assert in_decoder == {"depthwise", "up", *(f"branch_{i}" for i in range(4))}


def test_detrended_kernels_see_only_the_bends_of_what_is_linearly_upsampled():
    rng = np.random.default_rng(0)
    kernels = detrended(jnp.asarray(rng.standard_normal((7, 5)), jnp.float32))
    steps = jnp.asarray(rng.standard_normal((1, 6, 1)), jnp.float32)
    upsampled = np.asarray(linear_upsample(steps, 16))[0, :, 0]
    bends = np.flatnonzero(np.abs(np.diff(upsampled, 2)) > 1e-5) + 1
    for kernel in np.asarray(kernels).T:
        answer = np.correlate(upsampled, kernel, mode="same")
        near = np.any(np.abs(np.arange(len(answer))[:, None] - bends) <= 3, axis=1)
        inside = slice(3, -3)  # beyond the ends there are zeros
        np.testing.assert_allclose(answer[inside][~near[inside]], 0, atol=1e-5)
        assert np.abs(answer[inside][near[inside]]).max() > 0.05


def test_every_other_channel_of_the_decoder_is_detrended():
    leaves = flatten(initial("fan_in"))
    kernel = np.asarray(leaves["decoder/stage_1/unit_0/depthwise/kernel"])
    trend = np.abs(kernel.sum(axis=0)) / np.abs(kernel).sum(axis=0)
    assert trend[1::2].max() < 1e-5
    assert np.median(trend[::2]) > 0.1


def test_the_first_gradient_is_a_tenth_at_most():
    rng = np.random.default_rng(0)
    audio = jnp.asarray(0.1 * rng.standard_normal((1, 4800)), jnp.float32)

    def loss(params):
        noise = Noise(KEY, CONFIG.quantizer.noise_rate)
        out = Network(CONFIG).apply({"params": params}, audio, None, noise).audio
        return jnp.abs(out - audio).mean()

    gradient = jax.jit(
        lambda params: optax.tree.norm(jax.grad(loss)(params)),
        compiler_options=QUICK_COMPILE,
    )
    published, scaled = (float(gradient(initial(kind))) for kind in ("published", "fan_in"))
    assert scaled < published / 10
