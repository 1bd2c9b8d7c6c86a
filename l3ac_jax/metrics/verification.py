"""Verification of speakers: how often a voice is taken for another's, or not for its own."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from l3ac_jax.errors import ArgumentError

__all__ = ["equal_error_rate", "equal_error_rates"]


def equal_error_rate(scores: Float[np.ndarray, " trials"], same: Bool[np.ndarray, " trials"]):
    """The rate of errors, 0 to 1, at the threshold where both kinds of them are as frequent.

    A trial has a score and is of the same speaker, or of two. Between thresholds the rates are
    interpolated linearly. NaN unless there are trials of both kinds. Raises ArgumentError.
    """
    return float(equal_error_rates(scores, same, np.ones((1, len(scores))))[0])


def equal_error_rates(
    scores: Float[np.ndarray, " trials"],
    same: Bool[np.ndarray, " trials"],
    weights: Float[np.ndarray, "draws trials"],
) -> Float[np.ndarray, " draws"]:
    """The equal error rate for each row of weights, by which trials count more than once or not."""
    if not np.isfinite(scores).all():
        raise ArgumentError("scores of trials have to be finite")
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    # No threshold lies between scores that are equal.
    last = np.append(ordered[1:] != ordered[:-1], True)[: len(ordered)]
    weights = weights[:, order]
    rejected, passed = (
        np.cumsum(np.where(kind, weights, 0.0), axis=1) for kind in (same[order], ~same[order])
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        misses = _from_zero(rejected[:, last] / rejected[:, -1:])
        false_alarms = 1 - _from_zero(passed[:, last] / passed[:, -1:])
    difference = misses - false_alarms  # grows from -1 to 1
    rows = np.arange(len(weights))
    after = np.argmax(difference >= 0, axis=1)
    before = np.maximum(after - 1, 0)
    low, high = difference[rows, before], difference[rows, after]
    with np.errstate(invalid="ignore", divide="ignore"):
        part = np.where(high > low, -low / (high - low), 0.0)
    rates = misses[rows, before] + part * (misses[rows, after] - misses[rows, before])
    return np.where(np.isfinite(difference).all(axis=1), rates, np.nan)


def _from_zero(rates: Float[np.ndarray, "draws thresholds"]) -> np.ndarray:
    """With a threshold below all scores in front; NaN stays where there is nothing to count."""
    return np.concatenate([0 * rates[:, :1], rates], axis=1)
