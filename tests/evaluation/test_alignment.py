"""Lags are found, and taken out."""

import numpy as np
import pytest

from l3ac_jax.evaluation.alignment import LEAST_CORRELATION, Lag, aligned, find_lag

NOISE = np.random.default_rng(0).normal(size=4000).astype(np.float32)


@pytest.mark.parametrize("lag", [-37, -1, 0, 1, 250])
def test_a_lag_is_found_and_taken_out(lag):
    moved = np.roll(np.pad(NOISE, 300), lag)[300:-300]
    late = -0.01 + 0.5 * moved + 0.05 * np.random.default_rng(1).normal(size=len(NOISE))
    found = find_lag(NOISE, late, 300)
    assert found.samples == lag
    assert found.correlation > 0.9
    inner = slice(300, -300)
    np.testing.assert_array_equal(aligned(moved, lag, len(NOISE))[inner], NOISE[inner])


def test_what_shares_no_waveform_has_no_correlation():
    other = np.random.default_rng(2).normal(size=5000)
    assert find_lag(NOISE, other, 300).correlation < LEAST_CORRELATION
    assert find_lag(NOISE, np.ones(100), 50).correlation == 0


@pytest.mark.parametrize(
    ("lag", "want"), [(0, [1, 2, 3, 0]), (2, [3, 0, 0, 0]), (-1, [0, 1, 2, 3])]
)
def test_what_is_missing_is_silence(lag, want):
    np.testing.assert_array_equal(aligned(np.array([1, 2, 3]), lag, 4), want)


def test_the_lag_of_equal_signals_is_zero():
    assert find_lag(NOISE, NOISE, 10) == Lag(0, pytest.approx(1))
