"""The short-time Fourier transform: PyTorch's, in padded batches too, with finite derivatives."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from l3ac_jax.training.stft import frame_count, hann_window, magnitude, reflect_pad, root, stft
from tests.quick import QUICK_COMPILE

# Hops that divide the size and hops that do not, an odd size, a hop above the size.
FORMS = [(32, 8), (126, 31), (100, 40), (45, 7), (16, 20)]
PADDINGS = [np.nan, 1e30]

# Little is computed here: quick compilation is worth more than quick code.
jit = partial(jax.jit, compiler_options=QUICK_COMPILE)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def torch_stft(audio: torch.Tensor, n_fft: int, hop_length: int, center=True, window=None):
    window = torch.hann_window(n_fft, dtype=audio.dtype) if window is None else window
    spectrum = torch.stft(
        audio, n_fft, hop_length, window=window, center=center, return_complex=True
    )
    return spectrum.mT


@pytest.mark.parametrize(("n_fft", "hop_length"), FORMS)
@pytest.mark.parametrize("center", [True, False])
def test_spectra_and_derivatives_are_those_of_pytorch(n_fft, hop_length, center):
    count = frame_count(200, n_fft, hop_length, center)
    audio, weights = noise(2, 200).astype("f8"), noise(2, count, n_fft // 2 + 1).astype("f8")
    theirs = torch.tensor(audio, requires_grad=True)
    expected = torch_stft(theirs, n_fft, hop_length, center)
    (expected.abs() * torch.tensor(weights)).sum().backward()

    def weighted(x):
        spectra = stft(x, n_fft, hop_length, center=center)
        return jnp.sum(magnitude(spectra) * weights), spectra

    with jax.enable_x64():
        slope, spectra = jit(jax.grad(weighted, has_aux=True))(audio)
    assert spectra.shape == expected.shape
    np.testing.assert_allclose(spectra, expected.detach(), atol=1e-12)
    np.testing.assert_allclose(slope, theirs.grad, rtol=1e-9, atol=1e-9)


def test_any_window_in_single_precision():
    audio, window = noise(1, 200), np.hamming(40)
    expected = torch_stft(torch.tensor(audio).double(), 40, 10, window=torch.tensor(window))
    ours = stft(jnp.asarray(audio), 40, 10, window)
    assert ours.dtype == jnp.complex64
    np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_hann_window_is_periodic():
    np.testing.assert_allclose(
        hann_window(10), torch.hann_window(10, dtype=torch.float64), atol=1e-15
    )


@pytest.mark.parametrize(("n_fft", "hop_length"), [(32, 8), (126, 31)])
def test_a_clip_in_a_padded_batch_has_the_frames_that_it_has_alone(n_fft, hop_length):
    lengths = np.array([300, 233, 64, 20, 1], np.int32)  # the last ones are shorter than a frame
    outside = np.arange(300)[None] >= lengths[:, None]
    counts = frame_count(jnp.asarray(lengths), n_fft, hop_length)
    form = jit(partial(stft, n_fft=n_fft, hop_length=hop_length))
    alone = [form(clip[None, :n])[0] for clip, n in zip(noise(5, 300), lengths, strict=True)]
    assert counts.tolist() == [len(spectra) for spectra in alone]
    for padding in PADDINGS:
        audio = np.where(outside, np.float32(padding), noise(5, 300))
        together = np.asarray(form(audio, lengths=lengths))
        assert np.all(np.isfinite(together))
        for spectra, expected in zip(together, alone, strict=True):
            np.testing.assert_allclose(spectra[: len(expected)], expected, atol=1e-6)


@pytest.mark.parametrize("padding", PADDINGS)
def test_padding_gets_no_gradient(padding):
    lengths = np.array([90, 50, 0], np.int32)
    audio = noise(3, 90)
    outside = np.arange(90)[None] >= lengths[:, None]
    audio[outside] = padding

    def total(x):
        return jnp.sum(magnitude(stft(x, 32, 8, lengths=jnp.asarray(lengths))))

    slope = np.asarray(jit(jax.grad(total))(audio))
    assert np.all(slope[outside] == 0)
    assert np.all(np.isfinite(slope)) and np.any(slope[:2] != 0)


@pytest.mark.parametrize("length", [1, 2, 5, 30])
def test_short_clips_are_reflected_to_and_fro(length):
    audio = noise(1, 30)
    ours = reflect_pad(jnp.asarray(audio), 16, 25, jnp.array([length]))[0]
    expected = np.pad(audio[0, :length], (16, 25), mode="reflect")
    np.testing.assert_array_equal(ours[: len(expected)], expected)
    np.testing.assert_array_equal(ours[len(expected) :], 0)


def test_magnitude_of_nothing_has_no_derivative():
    slope = jit(jax.grad(lambda x: jnp.sum(magnitude(stft(x, 32, 8)))))(jnp.zeros((1, 100)))
    np.testing.assert_array_equal(slope, 0)


def test_root_keeps_nan():
    np.testing.assert_array_equal(root(jnp.array([0.0, 4.0, jnp.nan])), [0.0, 2.0, np.nan])


def test_audio_shorter_than_a_frame_is_refused_without_padding():
    with pytest.raises(ValueError, match="a frame needs 32 samples, got 31"):
        stft(jnp.zeros((1, 31)), 32, 8, center=False)
