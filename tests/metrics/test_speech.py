"""Scores of decoded speech, and how a codebook is used."""

import sys
import warnings

import numpy as np
import pesq
import pystoi
import pytest
from scipy.stats import entropy

from l3ac_jax.audio.reading import read_audio
from l3ac_jax.audio.resampling import resample
from l3ac_jax.errors import MissingPackageError, ScoreError
from l3ac_jax.metrics.speech import CodebookUse, ScorePool, mean_scores, pesq_wb, scores_of, stoi
from tests.conftest import FIXTURES

RATE = 16000


@pytest.fixture(scope="module")
def clip():
    """2 s of speech."""
    return read_audio(FIXTURES / "librivox_sense_0870.wav").samples[0, 8000:40000]


def noisy(clip, level, seed=0):
    return clip + np.random.default_rng(seed).normal(0, level, len(clip)).astype(np.float32)


def test_identical_signals_have_the_highest_scores(clip):
    assert stoi(clip, clip, RATE) == pytest.approx(1)
    assert stoi(clip, clip, RATE, extended=True) == pytest.approx(1)
    # P.862.2 maps the raw score of 4.5 to this.
    highest = 0.999 + 4 / (1 + np.exp(-1.3669 * 4.5 + 3.8224))
    assert pesq_wb(clip, clip, RATE) == pytest.approx(highest, abs=1e-5)


def test_scores_are_those_of_the_packages(clip):
    decoded = noisy(clip, 0.01)
    assert stoi(clip, decoded, RATE) == pystoi.stoi(clip, decoded, RATE)
    extended = pystoi.stoi(clip, decoded, RATE, extended=True)  # adds noise of 1e-16
    assert stoi(clip, decoded, RATE, extended=True) == pytest.approx(extended, abs=1e-9)
    assert pesq_wb(clip, decoded, RATE) == pesq.pesq(RATE, clip, decoded, "wb")


def test_noise_lowers_the_scores(clip):
    scores = [scores_of(clip, noisy(clip, level), RATE) for level in (0.001, 0.01, 0.1)]
    for name in ("stoi", "pesq"):
        few, some, many = (clip[name] for clip in scores)
        assert few > some > many


def silent(clip):
    return np.zeros_like(clip)


def broken(clip):
    return np.where(np.arange(len(clip)) == 5, np.nan, clip)


def short(clip):
    return clip[:3999]


def less_than_a_frame(clip):
    return clip[:300]


def empty(clip):
    return clip[:0]


@pytest.mark.parametrize(
    ("of_reference", "of_decoded"),
    [
        (silent, np.copy),
        (silent, silent),
        (np.copy, broken),
        (short, short),
        (less_than_a_frame, less_than_a_frame),
        (empty, empty),
    ],
)
def test_what_cannot_be_scored_is_nan_without_a_warning(clip, of_reference, of_decoded):
    with warnings.catch_warnings(record=True) as leaked:
        warnings.simplefilter("always")
        reference, decoded = of_reference(clip), of_decoded(clip)
        scores = scores_of(reference, decoded, RATE)
        scores["extended"] = stoi(reference, decoded, RATE, extended=True)
    assert all(np.isnan(score) for score in scores.values())
    assert not leaked


def test_silence_in_place_of_speech_is_not_intelligible(clip):
    scores = scores_of(clip, silent(clip), RATE)
    assert scores["stoi"] == 0
    assert np.isnan(scores["pesq"])


def test_pesq_of_long_clips_is_that_of_the_package(clip):
    clip = np.resize(clip, 21 * RATE)
    decoded = noisy(clip, 0.01)
    assert pesq_wb(clip, decoded, RATE) == pesq.pesq(RATE, clip, decoded, "wb")


def test_sixty_sounds_do_not_end_the_process():
    """PESQ counts up to 50 utterances, and crashes or not when there are more."""
    seconds = np.arange(30 * RATE) / RATE
    beeps = np.float32(0.3 * np.sin(2 * np.pi * 440 * seconds) * (seconds % 0.5 < 0.25))
    score = pesq_wb(beeps, noisy(beeps, 0.001), RATE)
    assert np.isnan(score) or 1 <= score <= 4.65


def test_pesq_is_of_16_khz(clip):
    with pytest.raises(ValueError, match="needs 16000 Hz or more, got 8000 Hz"):
        pesq_wb(clip, clip, 8000)
    scores = scores_of(clip, clip, 8000)
    assert scores["stoi"] == pytest.approx(1) and np.isnan(scores["pesq"])


@pytest.mark.parametrize("rate", [24000, 44100])
def test_pesq_at_a_higher_rate_is_that_of_the_same_sound(clip, rate):
    decoded = noisy(clip, 0.01)
    higher = [resample(x[None], RATE, rate)[0] for x in (clip, decoded)]
    # Twice resampled: what lies at 8 kHz has become quieter.
    assert pesq_wb(*higher, rate) == pytest.approx(pesq_wb(clip, decoded, RATE), abs=0.05)


def test_clips_of_different_length_are_refused(clip):
    for score in (stoi, pesq_wb):
        with pytest.raises(ValueError, match=r"got \(32000,\) and \(31999,\)"):
            score(clip, clip[1:], RATE)


@pytest.mark.parametrize("package", ["pystoi", "pesq"])
def test_a_missing_package_is_named(clip, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    message = rf"needs a package .*{package}.* pip install 'l3ac-jax\[train\]'"
    with pytest.raises(MissingPackageError, match=message):
        scores_of(clip, clip, RATE)
    with pytest.raises(MissingPackageError, match=message):
        ScorePool(1)


@pytest.mark.parametrize("size", [8, 250_047])
def test_equal_use_has_the_perplexity_of_the_size(size):
    use = CodebookUse(size)
    use.add(np.arange(size))
    assert use.usage == 1
    assert use.perplexity == pytest.approx(size)
    assert use.entropy == pytest.approx(np.log2(size))


def test_codebook_use_is_of_all_tokens_together():
    tokens = np.random.default_rng(0).integers(0, 30, (4, 50)) ** 2
    use = CodebookUse(1000)
    for clip in tokens:
        use.add(clip.astype(np.int32))
    entries, counts = np.unique(tokens, return_counts=True)
    assert use.usage == len(entries) / 1000
    assert use.entropy == pytest.approx(entropy(counts, base=2))
    assert use.perplexity == pytest.approx(np.exp(entropy(counts)))


def test_one_token_alone_has_no_entropy():
    use = CodebookUse(10)
    use.add(np.full(7, 3))
    assert (use.usage, use.entropy, use.perplexity) == (0.1, 0, 1)


def test_without_tokens_nothing_is_used():
    use = CodebookUse(10)
    use.add(np.zeros(0, np.int32))
    assert use.usage == 0
    assert np.isnan(use.entropy) and np.isnan(use.perplexity)


@pytest.mark.parametrize("token", [-1, 10])
def test_tokens_outside_of_the_codebook_are_refused(token):
    use = CodebookUse(10)
    with pytest.raises(ValueError, match="tokens of this codebook are 0 to 9, got"):
        use.add(np.array([3, token]))
    assert use.usage == 0


def test_means_are_of_what_is_finite():
    scores = [{"stoi": 0.5, "pesq": 2.0}, {"stoi": 1.0, "pesq": np.nan}, {"stoi": np.inf}]
    assert mean_scores(scores) == {"stoi": 0.75, "pesq": 2.0}
    assert np.isnan(mean_scores([{"pesq": np.nan}])["pesq"])
    assert mean_scores([]) == {}


@pytest.mark.parametrize("workers", [0, 1])
def test_a_pool_scores_clips_in_order_without_jax(clip, workers):
    clips = [noisy(clip, level) for level in (0.1, 0.001, 0.01)]
    with ScorePool(workers) as pool:
        for decoded in clips:
            pool.submit(clip, decoded, RATE)
        assert pool.results() == [scores_of(clip, decoded, RATE) for decoded in clips]
        assert pool.results() == []
        if workers:
            imported = "[name for name, module in __import__('sys').modules.items() if module]"
            assert not {"jax", "jaxlib"} & set(pool._pool.submit(eval, imported).result())


def test_a_worker_that_dies_is_reported(clip):
    with ScorePool(1) as pool:
        pool.submit(clip, clip, RATE)
        for process in list(pool._pool._processes.values()):
            process.kill()
        for step in (pool.results, lambda: pool.submit(clip, clip, RATE)):
            with pytest.raises(ScoreError, match="a worker process that scores clips was ended"):
                step()
