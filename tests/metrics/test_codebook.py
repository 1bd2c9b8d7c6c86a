"""Use of a codebook, and the rate of an adaptive code."""

import math

import numpy as np
import pytest

from l3ac_jax.metrics.codebook import adaptive_bits, codebook_scores
from l3ac_jax.model.levels import tokens_to_levels

LEVELS = (9, 9, 9, 7, 7, 7)
SIZE = math.prod(LEVELS)


def random_tokens(count, seed=0):
    return np.random.default_rng(seed).integers(0, SIZE, count)


def test_the_adaptive_code_is_the_sum_of_its_steps():
    tokens = random_tokens(300)
    bits = 0.0
    for column, count in zip(tokens_to_levels(tokens, LEVELS).T, LEVELS, strict=True):
        seen = np.full(count, 0.5)
        for level in column:
            bits -= math.log2(seen[level] / seen.sum())
            seen[level] += 1
    assert adaptive_bits(tokens, LEVELS) == pytest.approx(bits, rel=1e-12)


def test_even_tokens_take_little_more_than_their_nominal_rate():
    tokens = random_tokens(5000)
    nominal = len(tokens) * math.log2(SIZE)
    # Learning a distribution of L levels costs about (L - 1) / 2 log2 N bits.
    assert nominal < adaptive_bits(tokens, LEVELS) < 1.005 * nominal


def test_scores_of_a_codebook():
    even = codebook_scores(np.arange(SIZE), LEVELS, 100.0)
    assert even["usage"] == 100
    assert even["perplexity"] == pytest.approx(SIZE)
    assert even["level_usage"] == pytest.approx(100)
    assert even["entropy_rate"] == pytest.approx(100 * math.log2(SIZE), rel=1e-4)
    one = codebook_scores(np.zeros(SIZE, int), LEVELS, 100.0)
    assert one["usage"] == pytest.approx(100 / SIZE)
    assert one["perplexity"] == pytest.approx(1)
    assert one["level_usage"] == pytest.approx(100 * np.mean([1 / count for count in LEVELS]))
    assert one["entropy_rate"] < 1e-3 * even["entropy_rate"]
