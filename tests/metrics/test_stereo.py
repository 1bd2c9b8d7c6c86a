"""Scores of the stereo image, against known answers."""

import numpy as np
import pytest

from l3ac_jax.metrics.stereo import image_scores, level_difference, mid_side, width

RATE = 16000
RANDOM = np.random.default_rng(0)
NOISE = RANDOM.normal(size=(2, 2 * RATE)).astype(np.float32)


def test_mid_and_side_give_left_and_right_again():
    np.testing.assert_allclose(2 * mid_side(mid_side(NOISE)), NOISE, atol=1e-6)


def test_width_of_known_signals():
    mono = np.stack([NOISE[0], NOISE[0]])
    assert width(NOISE) == pytest.approx(0, abs=0.2)  # unrelated channels; 32,000 samples
    assert width(mono) == -np.inf
    assert width(mono * [[1], [-1]]) == np.inf
    # side = 0.1 NOISE[0], mid = NOISE[0]
    assert width(mono * [[1.1], [0.9]]) == pytest.approx(-20)
    assert np.isnan(width(0 * mono))


def test_level_differences_are_those_of_the_channels():
    louder = NOISE * [[10 ** (6 / 20)], [1]]
    found = level_difference(louder, RATE)
    assert found.shape == (40,)
    assert found.mean() == pytest.approx(6, abs=0.2)
    half = louder.copy()
    half[:, RATE:] = 0
    assert np.isnan(level_difference(half, RATE)[20:]).all()


def test_what_a_codec_did_to_the_image_is_told():
    same = image_scores(NOISE, NOISE, RATE)
    assert same == {"width": 0, "level_difference": 0, "image_sdr": np.inf}
    mono = np.repeat(NOISE.mean(axis=0, keepdims=True), 2, axis=0)
    assert image_scores(NOISE, mono, RATE)["width"] == -np.inf
    assert image_scores(NOISE, mono, RATE)["image_sdr"] == pytest.approx(0)
    left = image_scores(NOISE, NOISE * [[2], [1]], RATE)
    assert left["level_difference"] == pytest.approx(20 * np.log10(2), abs=0.01)
    turned = image_scores(NOISE, NOISE[::-1], RATE)  # side with the other sign
    assert turned["width"] == pytest.approx(0, abs=1e-6)
    assert turned["image_sdr"] == pytest.approx(-20 * np.log10(2), abs=1e-6)


def test_the_image_of_mono_and_silence_has_no_scores():
    mono = np.repeat(NOISE[:1], 2, axis=0)
    assert np.isnan(image_scores(mono, mono, RATE)["width"])
    assert all(np.isnan(v) for v in image_scores(0 * mono, 0 * mono, RATE).values())


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"both must be \(2, time\)"):
        image_scores(NOISE[:1], NOISE[:1], RATE)
