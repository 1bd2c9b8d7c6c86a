"""Equal error rates of scores that are known, and against scikit-learn's curve."""

import numpy as np
import pytest

from l3ac_jax.errors import ArgumentError
from l3ac_jax.metrics.verification import equal_error_rate, equal_error_rates


@pytest.mark.parametrize(
    ("same", "other", "rate"),
    [
        ([0.9, 0.8], [0.1, 0.2, 0.3], 0.0),
        ([0.1, 0.2], [0.8, 0.9], 1.0),
        ([0.9, 0.8, 0.7, 0.2], [0.1, 0.3, 0.4, 0.75], 0.25),  # one of four is wrong on both sides
        ([0.5] * 3, [0.5] * 4, 0.5),  # nothing to tell them apart by
        ([0.9, 0.4], [0.5, 0.1], 0.5),
    ],
)
def test_known_scores(same, other, rate):
    scores = np.array(same + other)
    kind = np.arange(len(scores)) < len(same)
    assert equal_error_rate(scores, kind) == pytest.approx(rate)
    assert equal_error_rate(10 * scores - 3, kind) == pytest.approx(rate)


@pytest.mark.parametrize("decimals", [1, 8])  # with many scores that are equal, and with none
def test_it_is_where_scikit_learns_curve_crosses(decimals):
    from scipy.optimize import brentq
    from sklearn.metrics import roc_curve

    random = np.random.default_rng(0)
    same = random.random(300) < 0.3
    scores = np.round(random.normal(same.astype(float), 0.8), decimals)
    false_alarms, hits, _ = roc_curve(same, scores, drop_intermediate=False)
    expected = brentq(lambda x: 1 - np.interp(x, false_alarms, hits) - x, 0, 1)
    assert equal_error_rate(scores, same) == pytest.approx(expected, abs=1e-9)


def test_a_weight_is_how_often_a_trial_counts():
    random = np.random.default_rng(1)
    same = random.random(60) < 0.5
    scores = random.normal(same.astype(float), 1)
    weights = random.integers(0, 4, (5, 60))
    found = equal_error_rates(scores, same, weights.astype(float))
    for row, rate in zip(weights, found, strict=True):
        repeated = np.repeat(np.arange(60), row)
        assert rate == pytest.approx(equal_error_rate(scores[repeated], same[repeated]))


def test_one_kind_of_trials_has_no_rate_and_scores_are_finite():
    scores = np.array([0.1, 0.2])
    assert np.isnan(equal_error_rate(scores, np.array([True, True])))
    assert np.isnan(equal_error_rate(scores, np.array([False, False])))
    with pytest.raises(ArgumentError, match="finite"):
        equal_error_rate(np.array([0.1, np.nan]), np.array([True, False]))
