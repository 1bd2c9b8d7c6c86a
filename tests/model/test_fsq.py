"""Finite scalar quantization: the whole codebook, the straight-through gradient, the noise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from l3ac_jax.config import PUBLISHED, published_config
from l3ac_jax.model import fsq
from l3ac_jax.model.levels import levels_to_tokens, tokens_to_levels
from tests.model.oracle import pair

LEVELS = (9, 5, 2)


@pytest.mark.parametrize("name", PUBLISHED)
def test_tokens_and_levels_are_inverse_over_the_whole_codebook(name):
    levels = published_config(name).model.quantizer.levels
    tokens = jnp.arange(np.prod(levels))[None]
    digits = tokens_to_levels(tokens, levels)
    assert np.all((digits >= 0) & (np.asarray(digits) < np.array(levels)))
    np.testing.assert_array_equal(levels_to_tokens(digits, levels), tokens)


@pytest.mark.parametrize("name", ["baseline", "wide", "identity_projection"])
def test_features_of_every_token_are_the_official_ones(name):
    oracle = pair(name)
    tokens = np.arange(oracle.config.codebook_size)[None]
    layer = fsq.FSQ(oracle.config.feature_dim, oracle.config.quantizer.levels)
    params = {"params": oracle.params.get("quantizer", {})}
    ours = layer.apply(params, jnp.asarray(tokens), method="dequantize")
    expected = oracle.official.token_features(tokens)
    np.testing.assert_allclose(ours, expected, rtol=1e-6, atol=1e-6)


def test_rounding_passes_the_gradient_straight_through():
    x = jnp.linspace(0.01, 0.99, 30).reshape(1, 10, 3)
    weights = jnp.arange(30.0).reshape(x.shape)
    slope = jax.grad(lambda x: jnp.sum(fsq.round_to_levels(x, LEVELS) * weights))(x)
    np.testing.assert_array_equal(slope, weights)
    steps = np.array(LEVELS) - 1
    rounded = np.asarray(fsq.round_to_levels(x, LEVELS))
    np.testing.assert_allclose(rounded * steps, np.round(np.asarray(x) * steps))


@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_training_noise(rate):
    """A share `rate` of the elements is off by U(-1/2, 1/2)/levels, the others are rounded."""
    layer, noise = fsq.FSQ(3, LEVELS), fsq.Noise(jax.random.key(1), rate)
    x = jax.random.normal(jax.random.key(0), (4, 5000, 3))
    noisy, tokens = layer.apply({}, x, noise)
    rounded, quiet_tokens = layer.apply({}, x)
    np.testing.assert_array_equal(tokens, quiet_tokens)
    changed = np.asarray(noisy != rounded)
    assert changed.mean() == pytest.approx(rate, abs=0.01)
    # codes are 2z - 1
    offset = np.asarray((noisy - (2 * fsq.squash(x) - 1)) / 2)
    offset = (offset * np.array(LEVELS))[changed]
    if rate:
        assert np.abs(offset).max() <= 0.5 + 1e-5
        assert offset.mean() == pytest.approx(0, abs=0.01)
        assert offset.std() == pytest.approx(12**-0.5, abs=0.01)
    same = layer.apply({}, x, noise)[0]
    np.testing.assert_array_equal(noisy, same)


def test_noise_does_not_stop_the_gradient():
    layer, noise = fsq.FSQ(3, LEVELS), fsq.Noise(jax.random.key(1), 0.5)
    x = jax.random.normal(jax.random.key(0), (1, 50, 3))
    slope = jax.grad(lambda x: jnp.sum(layer.apply({}, x, noise)[0]))(x)
    # codes are tanh(x) whether rounded or noisy, as far as gradients go
    np.testing.assert_allclose(slope, 1 - np.tanh(x) ** 2, rtol=1e-4, atol=1e-5)
