"""What tells collapsed samples from others: answers that are known, and scipy's."""

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from l3ac_jax.metrics import generated

RATE = 16000


def test_a_loop_is_periodic_and_repeats_itself():
    loop = np.tile([5, 3, 8, 1, 9], 20)
    assert generated.periodicity(loop) == 1
    assert generated.repeated(loop) == pytest.approx(1 - 5 / 98)
    held = np.full(50, 3)
    assert generated.periodicity(held) == 1 and generated.repeated(held) == pytest.approx(
        1 - 1 / 48
    )


def test_tokens_that_never_come_again_do_not_repeat():
    assert generated.repeated(np.arange(50)) == 0
    assert generated.periodicity(np.arange(50)) == 0


@settings(max_examples=50)
@given(st.lists(st.integers(0, 3), min_size=4, max_size=40), st.integers(1, 4))
def test_repeated_phrases_are_those_that_a_set_has_seen(row, phrase):
    seen, again = set(), 0
    phrases = [tuple(row[i : i + phrase]) for i in range(len(row) - phrase + 1)]
    for one in phrases:
        again += one in seen
        seen.add(one)
    expected = again / len(phrases) if len(phrases) > 1 else np.nan
    np.testing.assert_allclose(generated.repeated(np.array(row), phrase), expected)


def test_copied_phrases_are_those_of_a_known_row():
    known = [np.arange(10), np.array([20, 21]), np.array([30])]
    assert generated.copied(np.array([3, 4, 5, 6]), known) == 1
    assert generated.copied(np.array([3, 4, 5, 9]), known) == 0.5
    assert generated.copied(np.array([9, 20, 21]), known) == 0  # not across rows
    assert generated.copied(np.array([3, 4, 5]), []) == 0
    assert np.isnan(generated.copied(np.zeros(0, int), known))


def test_rows_too_short_to_repeat_have_no_score():
    assert np.isnan(generated.repeated(np.array([1])))
    assert np.isnan(generated.periodicity(np.array([1])))


def test_the_entropy_of_levels_is_that_of_scipy():
    levels = (3, 5)
    tokens = np.random.default_rng(0).integers(0, 15, 400)
    columns = (tokens % 3, tokens // 3)
    expected = sum(
        scipy.stats.entropy(np.bincount(column, minlength=count), base=2)
        for column, count in zip(columns, levels, strict=True)
    )
    assert generated.level_entropy(tokens, levels) == pytest.approx(expected)
    assert generated.level_entropy(np.zeros(10, int), levels) == 0


def test_silence_is_quiet_and_noise_is_not():
    noise = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    assert generated.quiet(noise, RATE) == 0
    assert generated.quiet(np.concatenate([noise, 1e-4 * noise]), RATE) == 0.5
    assert np.isnan(generated.quiet(noise[:10], RATE))


def test_the_frechet_distance_is_that_of_scipy_s_root():
    random = np.random.default_rng(0)
    first = random.normal(size=(60, 8)) @ random.normal(size=(8, 8))
    second = random.normal(size=(50, 8)) @ random.normal(size=(8, 8)) + 1
    covariances = [np.cov(x, rowvar=False) for x in (first, second)]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    expected = np.square(first.mean(0) - second.mean(0)).sum() + np.trace(
        covariances[0] + covariances[1] - 2 * root
    )
    assert generated.frechet_distance(first, second) == pytest.approx(expected)


def test_the_frechet_distance_knows_shifts_and_scales():
    rows = np.random.default_rng(0).normal(size=(40, 50))  # fewer rows than features
    assert generated.frechet_distance(rows, rows) == pytest.approx(0, abs=1e-6)
    assert generated.frechet_distance(rows, rows + 2) == pytest.approx(50 * 4)
    one = np.array([[0.0], [2.0]])
    # Deviations of sqrt(2) and 3 sqrt(2): the square of their difference.
    assert generated.frechet_distance(one, 3 * one - 2) == pytest.approx(8)
    assert np.isnan(generated.frechet_distance(rows[:1], rows))


@pytest.mark.parametrize("rate", [16000, 24000])
def test_windows_of_a_steady_tone_have_its_band_and_no_change(rate):
    tone = np.sin(2 * np.pi * 440 * np.arange(2.5 * rate) / rate).astype(np.float32)
    windows = generated.mel_windows(tone, rate)
    means, changes = np.split(windows, 2, axis=1)
    assert windows.shape == (2, 2 * generated.MEL_BANDS)
    noise = np.random.default_rng(0).normal(0, 1, len(tone)).astype(np.float32)
    assert means[1].max() - np.median(means[1]) > 2  # a hundred times the others
    of_noise = generated.mel_windows(noise, rate)[1, generated.MEL_BANDS :]
    assert changes[1].mean() < 0.005 < 0.03 < of_noise.mean()
