"""Scores of music on signals whose answers are known."""

from pathlib import Path

import numpy as np
import pytest

from l3ac_jax.errors import MissingPackageError
from l3ac_jax.evaluation.clips import read_mono
from l3ac_jax.metrics.music import (
    MUSIC_SCORES,
    band_correlations,
    band_distances,
    chroma_similarity,
    loudness_difference,
    music_scores,
    onset_f_measure,
    rhythm,
    visqol_audio,
)

ASSETS = Path(__file__).parents[2] / "l3ac_jax" / "assets"
RATE = 24000
NOTES = [220.0, 277.18, 329.63, 440.0, 329.63, 277.18, 220.0, 329.63]
BEAT = 0.5  # seconds between notes


def plucked(notes=tuple(NOTES), late=0.0, beat=BEAT, rate=RATE) -> np.ndarray:
    """A tone of eight partials on each beat, dying away."""
    seconds = np.arange(round(beat * rate)) / rate
    parts = [
        sum(np.sin(2 * np.pi * k * note * seconds) / k for k in range(1, 9)) * np.exp(-14 * seconds)
        for note in notes
    ]
    music = 0.2 * np.concatenate([np.zeros(rate // 4), *parts])
    return np.roll(music, round(late * rate)).astype(np.float32)


def hiss(level: float, samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, level, samples).astype(np.float32)


@pytest.fixture(scope="module")
def music():
    return plucked()


def test_the_same_music_has_the_best_scores(music):
    scores = music_scores(music, music, RATE)
    assert tuple(scores) == MUSIC_SCORES
    assert scores["visqol"] > 4.5
    assert {scores[name] for name in MUSIC_SCORES if name[:4] in ("mel_", "stft")} == {0.0}
    for name in (
        "chroma",
        "correlation_low",
        "correlation_mid",
        "correlation_high",
        "onset_strength",
    ):
        assert scores[name] == pytest.approx(1)
    assert scores["onset_f"] == scores["beat_f"] == scores["tempo"] == 1
    assert scores["loudness"] == 0


def test_visqol_falls_with_noise():
    guitar = read_mono(ASSETS / "guit_em9.flac", RATE)
    noise = guitar.std() * hiss(1, len(guitar))
    found = [visqol_audio(guitar, guitar + level * noise, RATE) for level in (1e-3, 1e-2, 1)]
    assert 4.75 > found[0] > found[1] + 0.5 > found[2] + 1 > 2


def test_a_tenth_of_the_amplitude_is_a_distance_of_one_in_the_band_it_is_in():
    """Noise is nowhere near the floor."""
    noise = hiss(0.1, 2 * RATE)
    for distance in band_distances(noise, 0.1 * noise, RATE).values():
        assert distance == pytest.approx(1, abs=1e-3)
    spectrum = np.fft.rfft(noise)
    frequencies = np.fft.rfftfreq(len(noise), 1 / RATE)
    spectrum[(frequencies >= 1500) & (frequencies < 3500)] *= 0.1
    changed = band_distances(noise, np.fft.irfft(spectrum).astype(np.float32), RATE)
    for kind in ("mel", "stft"):
        assert changed[f"{kind}_mid"] > 0.4
        # Short windows smear it.
        assert changed[f"{kind}_low"] < 0.15 and changed[f"{kind}_high"] < 0.05


def test_correlations_ask_for_the_phases_of_their_band_alone():
    noise = hiss(0.1, 2 * RATE)
    spectrum = np.fft.rfft(noise)
    frequencies = np.fft.rfftfreq(len(noise), 1 / RATE)
    turned = (frequencies >= 1000) & (frequencies < 4000)
    spectrum[turned] *= np.exp(1j * np.pi / 3)
    decoded = 0.5 * np.fft.irfft(spectrum).astype(np.float32)
    found = band_correlations(noise, decoded, RATE)
    assert found == pytest.approx(
        {"correlation_low": 1, "correlation_mid": 0.5, "correlation_high": 1}, abs=1e-4
    )
    # Of another noise, nothing is the same: 2 s have some 4,000 independent values in 1 kHz.
    assert max(map(abs, band_correlations(noise, hiss(0.1, 2 * RATE, 1), RATE).values())) < 0.1
    assert np.isnan(band_correlations(noise, noise, 1500)["correlation_mid"])


def test_chroma_hears_the_octave_as_the_same_and_another_key_as_another(music):
    assert chroma_similarity(music, plucked([2 * note for note in NOTES]), RATE) > 0.85
    assert chroma_similarity(music, 0.01 * music, RATE) == pytest.approx(1)
    semitone = 2 ** (1 / 12)
    assert chroma_similarity(music, plucked([semitone * note for note in NOTES]), RATE) < 0.6


def test_onsets_count_within_50_ms(music):
    assert onset_f_measure(music, plucked(late=0.02), RATE) > 0.9
    assert onset_f_measure(music, plucked(late=0.12), RATE) < 0.3
    every_second = music.copy()
    for number in range(1, len(NOTES), 2):
        start = RATE // 4 + number * RATE // 2
        every_second[start : start + RATE // 2] = 0
    # Half of the onsets are found, and no other: precision 1, recall a half.
    assert onset_f_measure(music, every_second, RATE) == pytest.approx(2 / 3, abs=0.1)


def test_beats_at_another_place_are_missed():
    long = plucked(NOTES * 3)
    noisy = rhythm(long, long + hiss(1e-3, len(long)), RATE)
    assert noisy["beat_f"] > 0.9 and noisy["tempo"] == 1 and noisy["onset_strength"] > 0.9
    late = rhythm(long, plucked(NOTES * 3, late=0.2), RATE)
    assert late["beat_f"] < 0.3 and late["tempo"] == 1 and late["onset_strength"] < 0.3
    faster = plucked(NOTES * 4, beat=0.8 * BEAT)[: len(long)]
    assert rhythm(long, faster, RATE)["tempo"] == 0


def test_the_strength_of_onsets_is_all_that_beats_are_found_by():
    """As beat_track has them when it is given the audio alone."""
    import librosa
    import mir_eval.beat

    guitar = read_mono(ASSETS / "guit_em9.flac", RATE)
    noisy = guitar + hiss(0.01, len(guitar))
    beats = [librosa.beat.beat_track(y=x, sr=RATE, units="time") for x in (guitar, noisy)]
    found = rhythm(guitar, noisy, RATE)
    assert found["beat_f"] == mir_eval.beat.f_measure(beats[0][1], beats[1][1])
    assert found["tempo"] == (abs(beats[1][0] / beats[0][0] - 1) <= 0.04).item()


def test_loudness_is_that_of_the_gain(music):
    assert loudness_difference(music, 0.5 * music, RATE) == pytest.approx(-6.0206, abs=0.01)


@pytest.mark.filterwarnings("ignore:Empty filters detected")
def test_what_has_no_score(music):
    silence, short = np.zeros_like(music), music[: RATE // 5]
    assert np.isnan(visqol_audio(silence, music, RATE))
    assert np.isnan(chroma_similarity(silence, music, RATE))
    assert np.isnan(onset_f_measure(silence, silence, RATE))
    assert np.isnan(list(rhythm(silence, silence, RATE).values())).all()
    assert np.isnan(rhythm(music, silence, RATE)["tempo"])
    assert np.isnan(loudness_difference(silence, music, RATE))
    assert np.isnan(loudness_difference(short, short, RATE))
    assert set(band_distances(silence, silence, RATE).values()) == {0.0}
    assert np.isnan(band_distances(music, music, 6000)["stft_high"])


@pytest.mark.parametrize("package", ["visqol", "mir_eval", "pyloudnorm"])
def test_a_missing_package_is_named(music, package, monkeypatch):
    from l3ac_jax.metrics import music as module

    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(MissingPackageError, match=r"pip install 'l3ac-jax\[music\]'"):
        module.require()


def test_two_lengths_are_no_pair(music):
    for score in (band_distances, chroma_similarity, loudness_difference, visqol_audio):
        with pytest.raises(ValueError, match="must both be"):
            score(music, music[1:], RATE)
