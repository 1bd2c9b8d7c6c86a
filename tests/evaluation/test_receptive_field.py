"""Receptive fields: known ones of published models, and those of a small one put to the test."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from l3ac_jax.config import published_config
from l3ac_jax.evaluation.influence import Influence, Probe
from l3ac_jax.evaluation.perturbation import Change, measure
from l3ac_jax.evaluation.random_params import random_params
from l3ac_jax.evaluation.receptive_field import (
    Field,
    declared_last,
    declared_look_ahead,
    look_aheads,
    sample_field,
    token_field,
)
from l3ac_jax.model.network import Network
from l3ac_jax.model.params import flatten
from l3ac_jax.model.reach import Span
from tests.quick import QUICK_COMPILE
from tests.small_configs import ABLATED_CONFIGS, SMALL_CONFIGS

SMALL = SMALL_CONFIGS["baseline"]  # hop length 6, window 8
SAMPLES, TOKEN, SAMPLE = 2400, 150, 900


@pytest.fixture(scope="module")
def audio():
    return (0.1 * np.random.default_rng(1).standard_normal(SAMPLES)).astype(np.float32)


@pytest.fixture(scope="module")
def probe():
    return Probe(SMALL, random_params(SMALL, 0))


@pytest.fixture(scope="module")
def measured(probe, audio):
    return measure(probe, audio, TOKEN, SAMPLE, 0)


def test_token_103_of_3kbps_looks_812_samples_ahead():
    config = published_config("3kbps").model
    # Half widths at the rates of the layers: pooling of 45 twice and convolution of 7; one unit at
    # each of the rates 1, 1/6, 1/24; two units and the output convolution at 1/96.
    look_ahead = 2 * 22 + 3 + 3 * (1 + 6 + 24) + (2 * 3 + 1) * 96
    field = token_field(config, 103)
    assert field.look_ahead == look_ahead == 812
    assert field.own == (103 * 96, 104 * 96 - 1)
    # Derivatives measured on the published model ended at 10,746: the outermost samples count only
    # where they are a maximum of the pooling.
    assert 10746 <= field.last == 10795 < 10746 + 2 * 45


def test_decoded_samples_depend_on_everything_unless_statistics_are_given():
    config = published_config("3kbps").model
    everything = sample_field(config, 10000)
    assert everything[:2] == (-math.inf, math.inf) and everything.look_ahead == math.inf
    local = sample_field(config, 10000, local=True)
    assert 10000 < local.last <= 10000 + look_aheads(config).codec


def test_look_aheads_are_of_the_worst_position():
    config = SMALL_CONFIGS["compress3"]
    found = look_aheads(config)
    fields = [sample_field(config, sample, local=True) for sample in range(900, 1000)]
    assert found.codec == max(field.look_ahead for field in fields)
    assert found.codec > min(field.look_ahead for field in fields)


@pytest.mark.parametrize("name", ["baseline", "compress2"])
def test_nothing_outside_of_a_field_counts_and_all_of_it_can(name, audio, request):
    if name == "baseline":
        found = request.getfixturevalue("measured")
    else:
        config = SMALL_CONFIGS[name]
        probe = Probe(config, random_params(config, 0))
        found = measure(probe, audio, TOKEN // 2, SAMPLE, 0)
    assert [change.allowed for change in found.changes] == [True, True, False, True, False]
    assert all((change.largest > 0) == change.allowed for change in found.changes), found.changes
    for influence in (found.token, found.sample_held):
        assert influence.field.inside(SAMPLES).stop < SAMPLES
        assert influence.outside() == 0
    assert found.sample.support() == (0, SAMPLES - 1)


@pytest.mark.parametrize(("name", "declared"), [("causal", 0), ("causal_look_ahead", 8)])
def test_a_causal_network_needs_no_more_of_the_future_than_it_declares(name, declared):
    config = ABLATED_CONFIGS[name]
    needed = look_aheads(config)
    assert declared_look_ahead(config) == declared
    assert needed.encoder + needed.decoder - (config.hop_length - 1) <= declared
    for sample in range(900, 900 + config.hop_length):
        field = sample_field(config, sample)
        assert sample <= field.last <= declared_last(config, field.own)


def test_nothing_beyond_what_a_causal_network_declares_counts(audio):
    """With the norms as they are, over all that came before."""
    config, samples = ABLATED_CONFIGS["causal"], 1200
    found = measure(Probe(config, random_params(config, 0)), audio[:samples], 80, 500, 0)
    assert all(change.as_structured for change in found.changes)
    beyond = [change for change in found.changes if "beyond the declared" in change.what]
    assert [change.largest for change in beyond] == [0, 0]
    for influence in (found.token, found.sample):
        last = declared_last(config, influence.field.own)
        assert last < samples - 1 and influence.after(last) == 0
        assert influence.after(influence.support()[1] - 1) == 1


def test_of_a_network_that_is_not_causal_nothing_is_declared(measured):
    assert math.isinf(declared_look_ahead(SMALL))
    assert measured.token.after(declared_last(SMALL, measured.token.field.own)) == 0
    assert not any("declared" in change.what for change in measured.changes)


def test_the_same_seed_measures_the_same(probe, audio, measured):
    again = measure(probe, audio, TOKEN, SAMPLE, 0)
    assert again.changes == measured.changes
    np.testing.assert_array_equal(again.sample.squares, measured.sample.squares)


def test_a_field_that_is_too_small_is_found_out(measured):
    field = measured.token.field
    smaller = field._replace(last=field.last - SMALL.hop_length * 2)
    assert measured.token._replace(field=smaller).outside() > 0
    assert not Change("", False, 1e-30).as_structured


def test_tokens_outside_of_the_decoders_local_reach_change_nothing(probe, audio):
    _, quantized = probe.encode(audio)
    statistics = probe.decode(quantized, SAMPLE).statistics
    value = probe.decode(quantized, SAMPLE, statistics).value
    span = Network(SMALL).bind({}).decoder_reach(Span(SAMPLE, SAMPLE), local=True)
    for token, changes in (
        (span.first - 1, False),
        (SAMPLE // SMALL.hop_length, True),
        (span.last + 1, False),
    ):
        changed = quantized.copy()
        changed[int(token)] *= -30
        assert (probe.decode(changed, SAMPLE, statistics).value != value) == changes


def test_statistics_held_at_the_clips_own_change_nothing(probe, audio):
    _, quantized = probe.encode(audio)
    own = probe.decode(quantized, SAMPLE)
    assert len(own.statistics) == len(SMALL.decoder.rates)
    params = {"params": jax.device_put(random_params(SMALL, 0))}
    decode = jax.jit(partial(Network(SMALL).apply, method="decode"), compiler_options=QUICK_COMPILE)
    decoded = decode(params, jnp.asarray(quantized)[None])
    # The same sums in another order, in float32.
    assert own.value == pytest.approx(float(decoded[0, SAMPLE]), abs=1e-6)
    held = probe.decode(quantized, SAMPLE, own.statistics)
    assert held.value == pytest.approx(own.value, abs=1e-6)
    assert not np.allclose(held.gradient, own.gradient, rtol=1e-3)


def test_a_tokens_influence_is_of_all_its_features(probe, audio, measured):
    count = -(-SAMPLES // SMALL.hop_length)
    each = np.zeros((SMALL.feature_dim, count, SMALL.feature_dim), np.float32)
    each[:, TOKEN] = np.eye(SMALL.feature_dim)
    squares = np.square(probe.pull_back(audio, each)).sum(axis=0)
    # Sums of squares along 16 directions and along 3: rounding of float32.
    np.testing.assert_allclose(
        measured.token.squares, squares, rtol=1e-3, atol=1e-6 * squares.max()
    )


def test_shares_by_distance():
    squares = np.array([1.0, 0, 1, 6, 0, 2, 0, 0])
    influence = Influence(squares, Field(0, 5, Span(2, 3)))
    assert influence.support() == (0, 5) and influence.outside() == 0
    assert (influence.look_ahead(0.5), influence.look_ahead(0.8)) == (0, 0)
    assert influence.look_ahead(0.9) == influence.look_ahead(0.999) == 2
    assert (influence.look_back(0.9), influence.look_back(0.95)) == (0, 2)
    assert influence.within(0, 0) == pytest.approx(0.7)
    assert influence.within(1, 2) == pytest.approx(0.9)
    np.testing.assert_allclose(influence.beyond(ahead=True), [0.2, 0.2, 0, 0], atol=1e-12)
    np.testing.assert_allclose(influence.beyond(ahead=False), [0.1, 0.1], atol=1e-12)


def test_random_parameters_belong_to_a_seed_and_hide_nothing():
    first, again, other = (flatten(random_params(SMALL, seed)) for seed in (0, 0, 1))
    for path, values in first.items():
        np.testing.assert_array_equal(values, again[path])
        assert values.dtype == np.float32 and not np.array_equal(values, other[path])
        assert np.all(values) and not np.any(values == 1)  # as norms and GRN are initially
