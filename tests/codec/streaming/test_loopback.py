"""Encoder and decoder one behind the other: what comes out, and when."""

import functools

import numpy as np
import pytest

from l3ac_jax.codec.l3ac import L3AC
from l3ac_jax.codec.streaming.loopback import Loopback
from l3ac_jax.evaluation.random_params import random_params
from tests.quick import speech
from tests.small_configs import ABLATED_CONFIGS, SMALL_CONFIGS

SAMPLES = 301  # no whole number of hops


@functools.cache
def codec(name) -> L3AC:
    config = (SMALL_CONFIGS | ABLATED_CONFIGS)[name]
    return L3AC(config, random_params(config, 0))


@pytest.mark.parametrize("name", ["causal", "causal_look_ahead"])
def test_what_comes_out_is_what_reconstruct_gives(name):
    audio = speech(SAMPLES)
    coder = Loopback(codec(name), block=2)
    parts = [coder.push(audio[:, :100]), coder.push(audio[:, 100:]), coder.finish()]
    # Random weights leave no value within rounding of a boundary here: the tokens are the same.
    np.testing.assert_allclose(
        np.concatenate(parts, axis=1), codec(name).reconstruct(audio), atol=1e-5
    )


@pytest.mark.parametrize("block", [1, 3])
@pytest.mark.parametrize("name", ["baseline", "compress3", "causal", "causal_look_ahead"])
def test_a_sample_comes_out_as_late_as_the_latency_says(name, block):
    """Encoder's and decoder's blocks are one: it is less than the sum of their latencies."""
    tested = codec(name)
    statistics = "running" if tested.config.decoder.norm_statistics == "clip" else None
    coder = Loopback(tested, block=block, statistics=statistics)
    audio = speech(coder.latency + 9 * tested.hop_length * block)
    known = [coder.push(audio[:, at : at + 1]).shape[1] for at in range(audio.shape[1])]
    came_out = np.repeat(np.arange(audio.shape[1]), known)
    assert (came_out - np.arange(len(came_out))).max() == coder.latency
    assert sum(known) + coder.finish().shape[1] == audio.shape[1]
