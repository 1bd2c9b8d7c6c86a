"""Scores by models: the packages' own results, and what is said without them."""

import sys

import numpy as np
import pytest

from l3ac_jax.audio.reading import read_audio
from l3ac_jax.evaluation.scoring import Extras
from l3ac_jax.metrics import learned
from tests.conftest import FIXTURES

RATE = 16000


@pytest.fixture(scope="module")
def clip():
    """2.5 s of speech."""
    return read_audio(FIXTURES / "librivox_sense_0870.wav").samples[0, 8000:48000]


@pytest.fixture(scope="module")
def other_speaker():
    return read_audio(FIXTURES / "festvox_ru_0003.wav").samples[0, 8000:48000]


def test_a_voice_is_like_itself_and_less_like_another(clip, other_speaker):
    same = learned.speaker_similarity(clip, clip, RATE)
    assert same == pytest.approx(1, abs=1e-6)  # float32
    assert learned.speaker_similarity(clip, other_speaker, RATE) < 0.85
    assert np.isnan(learned.speaker_similarity(clip, np.zeros_like(clip), RATE))


def test_dnsmos_hears_noise(clip):
    noisy = clip + np.random.default_rng(0).normal(0, 0.1, len(clip)).astype(np.float32)
    clean = learned.dnsmos(clip, RATE)
    assert 1 < learned.dnsmos(noisy, RATE) < clean < 5
    # Other rates are converted to the model's.
    assert learned.dnsmos(np.repeat(clip, 2), 2 * RATE) == pytest.approx(clean, abs=0.3)


def test_word_error_rate_counts_words():
    truth = "Two words, and two more."
    assert learned.word_error_rate(truth, "two WORDS and two more") == 0
    assert learned.word_error_rate(truth, "two words and to more") == pytest.approx(20)
    assert learned.word_error_rate(truth, "") == 100
    assert np.isnan(learned.word_error_rate(" ... ", "words"))


def test_errors_are_substitutions_deletions_and_insertions():
    assert learned.word_errors("one two three four", "one too three") == (2, 4)
    assert learned.word_errors("one", "one and a two") == (3, 1)
    assert learned.word_errors("", "two words") == (2, 0)


def test_a_recognizer_without_a_download_hears_english(clip):
    whole = read_audio(FIXTURES / "librivox_sense_0870.wav").samples[0]
    spoken = (
        "and mister john dashwood had then leisure to consider how much there might be prudently "
        "in his power to do for them"
    )
    heard = learned.transcribe_english(whole, RATE)
    assert "leisure to consider how much there might be" in heard
    assert 0 < learned.word_error_rate(spoken, heard) < 50
    # What it has heard before changes nothing, and silence has no words.
    assert learned.transcribe_english(np.zeros(RATE, np.float32), RATE) == ""
    first = learned.transcribe_english(clip[:RATE], RATE)
    learned.transcribe_english(0.05 * clip[RATE:], RATE)
    assert learned.transcribe_english(clip[:RATE], RATE) == first


@pytest.mark.parametrize(
    ("extras", "package"),
    [
        (Extras(speaker=True), "resemblyzer"),
        (Extras(dnsmos=True), "speechmos"),
        (Extras(words="tiny.en"), "faster_whisper"),
    ],
)
def test_a_missing_package_is_named_before_anything_is_computed(monkeypatch, extras, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        ImportError,
        match=rf"needs a package that is not installed.*{package}.*'l3ac-jax\[scores\]'",
    ):
        extras.check()
    Extras().check()
