"""Differentiable resampling, against soxr, and its derivative against the transposed filter."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import soxr

from l3ac_jax.audio.resampling import resample
from l3ac_jax.training.resampling import resampled

PAIRS = [(24000, 16000), (44100, 16000), (48000, 16000), (16000, 24000), (22050, 16000)]


def tone(frequency: float, rate: int, seconds: float = 0.25) -> np.ndarray:
    return np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)[None]


@pytest.mark.parametrize(("from_rate", "to_rate"), PAIRS)
def test_tones_stay_and_what_would_fold_goes(from_rate, to_rate):
    nyquist = min(from_rate, to_rate) / 2
    with jax.enable_x64():
        for frequency in (50.0, 0.5 * nyquist, 0.9 * nyquist):
            result, lengths = resampled(jnp.asarray(tone(frequency, from_rate)), from_rate, to_rate)
            expected = tone(frequency, to_rate)
            assert result.shape == expected.shape and lengths is None
            inside = slice(len(expected[0]) // 4, -len(expected[0]) // 4)  # away from the ends
            np.testing.assert_allclose(result[:, inside], expected[:, inside], atol=1e-3)
        if to_rate < from_rate:
            result, _ = resampled(jnp.asarray(tone(1.05 * nyquist, from_rate)), from_rate, to_rate)
            assert np.abs(result[:, inside]).max() < 1e-3


@pytest.mark.parametrize(("from_rate", "to_rate"), PAIRS)
@pytest.mark.parametrize("samples", [1, 5000, 5003])
def test_lengths_and_sound_are_soxr_s(from_rate, to_rate, samples):
    random = np.random.default_rng(0)
    # Below nine tenths of either Nyquist frequency, where both filters pass all.
    low = soxr.resample(random.normal(size=samples // 3 + 1), 8000, from_rate)[:samples]
    audio = np.pad(low, (0, samples - len(low)))
    result, _ = resampled(jnp.asarray(audio[None], jnp.float32), from_rate, to_rate)
    assert result.shape == (1, -(-samples * to_rate // from_rate))
    expected = resample(np.float32(audio[None]), from_rate, to_rate)
    inside = slice(200, -200)
    np.testing.assert_allclose(result[:, inside], expected[:, inside], atol=5e-3)


def test_padding_is_silence_and_gets_no_gradient():
    audio = np.random.default_rng(1).normal(size=(2, 900)).astype(np.float32)
    lengths = jnp.array([900, 401], jnp.int32)
    padded = audio.copy()
    padded[1, 401:] = np.nan

    def total(x):
        result, after = resampled(x, 24000, 16000, lengths)
        return jnp.sum(jnp.sin(result)), (result, after)

    slope, (result, after) = jax.jit(jax.grad(total, has_aux=True))(padded)
    np.testing.assert_array_equal(after, [600, 268])
    alone, _ = resampled(jnp.asarray(audio[1:, :401]), 24000, 16000)
    np.testing.assert_allclose(result[1, :268], alone[0], atol=1e-6)
    assert np.isfinite(slope).all() and not slope[1, 401:].any() and slope[1, :401].any()


def test_the_derivative_is_the_transposed_filter():
    def linear(x):
        return resampled(x, 44100, 16000)[0]

    random = np.random.default_rng(2)
    with jax.enable_x64():
        x, y = random.normal(size=(1, 700)), random.normal(size=(1, 254))
        (back,) = jax.vjp(linear, jnp.asarray(x))[1](jnp.asarray(y))
        forth = linear(jnp.asarray(x))
        np.testing.assert_allclose((forth * y).sum(), (x * back).sum(), rtol=1e-10)


def test_one_rate_is_left_alone():
    audio = jnp.ones((1, 5))
    result, lengths = resampled(audio, 16000, 16000, jnp.array([3]))
    assert result is audio and lengths.tolist() == [3]
