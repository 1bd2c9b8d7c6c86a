"""Confidence intervals of any statistic of units that are drawn again (Efron's bootstrap).

A statistic is told how often each unit was drawn. So ratios of sums, and rates over pairs of units,
have intervals as means do, and two statistics of the same draws can be compared pair by pair.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

__all__ = ["DRAWS", "Statistic", "drawn_weights", "percentile_interval", "ratio"]

Statistic = Callable[[Float[np.ndarray, "draws units"]], Float[np.ndarray, " draws"]]
"""NaN where a draw has no value, as an error rate without words."""

DRAWS = 2000
LEVELS = (2.5, 97.5)  # %, of a 95 % interval


def drawn_weights(units: int, seed: int, draws: int = DRAWS) -> Float[np.ndarray, "draws units"]:
    """How often each unit comes in as many draws with replacement as there are units."""
    random = np.random.default_rng(seed)
    return random.multinomial(units, np.full(units, 1 / units), draws).astype(np.float64)


def percentile_interval(values: Float[np.ndarray, " draws"]) -> tuple[float, float] | None:
    """The middle 95 % of the draws that have a value; None if there are none."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return None
    low, high = np.percentile(finite, LEVELS)
    return float(low), float(high)


def ratio(
    numerators: Float[np.ndarray, " units"],
    denominators: Float[np.ndarray, " units"],
    scale: float = 1.0,
) -> Statistic:
    """The ratio of two sums over units; a mean is one whose denominators are 1."""

    def statistic(weights: Float[np.ndarray, "draws units"]) -> Float[np.ndarray, " draws"]:
        with np.errstate(invalid="ignore", divide="ignore"):
            return scale * (weights @ numerators) / (weights @ denominators)

    return statistic
