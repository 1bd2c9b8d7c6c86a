"""Distances of signals with known answers, and librosa's own."""

import librosa
import numpy as np
import pytest

from l3ac_jax.audio.mel import DAC_BANDS, DAC_FLOOR
from l3ac_jax.metrics.signals import (
    Pitch,
    log_spectral_distance,
    mel_distance,
    pitch_of,
    pitch_scores,
    si_sdr,
)

RATE = 16000


def noise(level=0.1, seed=0, samples=RATE):
    return np.random.default_rng(seed).normal(0, level, samples).astype(np.float32)


@pytest.mark.parametrize("decibels", [-10.0, 0.0, 20.0])
@pytest.mark.parametrize("gain", [1.0, -0.3])
def test_si_sdr_of_a_known_noise_level(decibels, gain):
    signal, other = (noise(seed=seed).astype(np.float64) for seed in (0, 1))
    signal, other = signal - signal.mean(), other - other.mean()
    other -= (other @ signal) / (signal @ signal) * signal  # what is left is error alone
    other *= np.sqrt(signal @ signal / (other @ other)) * 10 ** (-decibels / 20)
    assert si_sdr(signal, gain * (signal + other) + 0.1) == pytest.approx(decibels, abs=1e-9)


def test_identical_signals_have_no_distance():
    signal = noise()
    assert si_sdr(signal, signal) == np.inf
    assert log_spectral_distance(signal, signal, RATE) == 0
    assert mel_distance(signal, signal, RATE) == 0


def test_silence_has_no_score_but_a_distance_of_its_own():
    signal, silence = noise(), np.zeros(RATE, np.float32)
    assert np.isnan(si_sdr(silence, signal)) and np.isnan(si_sdr(signal, silence))
    assert np.isnan(log_spectral_distance(silence, signal, RATE))
    assert mel_distance(silence, silence, RATE) == 0


def test_a_gain_is_a_distance_of_its_decibels():
    signal = noise()
    # Noise is nowhere near the floor of -80 dB.
    assert log_spectral_distance(signal, 2 * signal, RATE) == pytest.approx(6.0206, abs=1e-3)
    assert mel_distance(signal, 10 * signal, RATE) == pytest.approx(1, abs=1e-6)


def test_what_lies_80_db_below_the_peak_does_not_count():
    loud = np.sin(2 * np.pi * 1000 / RATE * np.arange(RATE))
    hiss = 1e-7 * noise(1, samples=RATE)
    assert log_spectral_distance(loud, loud + hiss, RATE) < 1e-3


@pytest.mark.filterwarnings("ignore:Empty filters detected")
def test_mel_distance_is_that_of_librosas_spectrograms():
    first, second = noise(), noise(0.05, seed=1)
    distances = []
    for window, bands in DAC_BANDS.items():
        spectra = [
            librosa.feature.melspectrogram(
                y=audio,
                sr=RATE,
                n_fft=window,
                hop_length=window // 4,
                n_mels=bands,
                power=1,
                pad_mode="constant",
            )
            for audio in (first, second)
        ]
        logs = [np.log10(np.maximum(spectrum, DAC_FLOOR)) for spectrum in spectra]
        distances.append(np.abs(logs[0] - logs[1]).mean())
    # librosa computes in float32.
    assert mel_distance(first, second, RATE) == pytest.approx(np.mean(distances), rel=1e-5)


def voice(frequency):
    """Ten harmonics of a pitch in Hz, of one value for each sample."""
    phase = 2 * np.pi * np.cumsum(frequency) / RATE
    return sum(np.sin(k * phase) / k for k in range(1, 11)).astype(np.float32) * 0.2


@pytest.fixture(scope="module")
def rising():
    """Two seconds, 120 to 240 Hz."""
    return pitch_of(voice(np.geomspace(120, 240, 2 * RATE)), RATE)


def test_the_pitch_of_a_rising_voice(rising):
    assert rising.voiced.mean() > 0.95
    centres = np.arange(len(rising.frequency)) * 256 / (2 * RATE)
    truth = 120 * 2.0**centres
    middle = rising.voiced & (centres > 0.05) & (centres < 0.95)
    # pYIN's steps are a tenth of a semitone, 0.6 %.
    np.testing.assert_allclose(rising.frequency[middle], truth[middle], rtol=0.01)


def test_pitch_that_moves_alike_correlates(rising):
    assert pitch_scores(rising, rising) == pytest.approx({"f0_correlation": 1, "voicing_error": 0})
    backwards = Pitch(rising.frequency[::-1], rising.voiced[::-1])
    assert pitch_scores(rising, backwards)["f0_correlation"] < -0.9


def test_voicing_errors_are_counted_in_percent(rising):
    half = len(rising.voiced) // 2
    mute = Pitch(rising.frequency, rising.voiced & (np.arange(len(rising.voiced)) < half))
    lost = 100 * np.mean(rising.voiced[half:]) * (len(rising.voiced) - half) / len(rising.voiced)
    assert pitch_scores(rising, mute)["voicing_error"] == pytest.approx(lost)


def test_few_or_constant_voiced_frames_have_no_correlation(rising):
    nothing = Pitch(np.full_like(rising.frequency, np.nan), np.zeros_like(rising.voiced))
    constant = Pitch(np.full_like(rising.frequency, 150.0), rising.voiced)
    for other in (nothing, constant):
        assert np.isnan(pitch_scores(rising, other)["f0_correlation"])


@pytest.mark.parametrize("score", [si_sdr, lambda a, b: mel_distance(a, b, RATE)])
def test_different_lengths_are_refused(score):
    with pytest.raises(ValueError, match=r"must both be \(time,\), got \(16000,\) and \(15999,\)"):
        score(noise(), noise()[1:])
