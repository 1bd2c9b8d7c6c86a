"""Bootstrap intervals, held to SciPy's and to those of the evaluation."""

import numpy as np
import pytest
import scipy.stats

from l3ac_jax.evaluation.report import confidence_interval
from l3ac_jax.metrics.bootstrap import drawn_weights, percentile_interval, ratio


def test_an_interval_is_scipys():
    random = np.random.default_rng(0)
    errors = random.poisson(3, 40).astype(float)
    words = random.integers(5, 20, 40).astype(float)

    def error_rate(errors, words, axis=-1):
        return errors.sum(axis) / words.sum(axis)

    expected = scipy.stats.bootstrap(
        (errors, words), error_rate, paired=True, method="percentile", n_resamples=20000, rng=1
    ).confidence_interval
    found = percentile_interval(ratio(errors, words)(drawn_weights(40, seed=2, draws=20000)))
    width = expected.high - expected.low
    # Of 20,000 draws each: the ends of an interval vary by about 1 % of its width.
    assert found == pytest.approx((expected.low, expected.high), abs=0.04 * width)


def test_of_means_it_is_the_evaluations():
    values = np.random.default_rng(3).normal(size=25)
    expected = confidence_interval(values)
    assert expected is not None
    low, high = percentile_interval(ratio(values, np.ones(25), 1.0)(drawn_weights(25, seed=4)))
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=0.06)  # 2,000 draws


def test_draws_have_as_many_units_and_a_seed():
    weights = drawn_weights(7, seed=0, draws=50)
    assert (weights.sum(axis=1) == 7).all() and len({tuple(row) for row in weights}) > 30
    assert (weights == drawn_weights(7, seed=0, draws=50)).all()
    assert (weights != drawn_weights(7, seed=1, draws=50)).any()


def test_draws_without_a_value_do_not_count():
    statistic = ratio(np.array([1.0, 0.0]), np.array([2.0, 0.0]), 100.0)
    values = statistic(np.array([[0.0, 2.0], [1.0, 1.0], [2.0, 0.0]]))
    assert np.isnan(values[0]) and percentile_interval(values) == (50.0, 50.0)
    assert percentile_interval(np.array([np.nan])) is None
