"""Ways to go on after a prompt, how they are judged, and what a model makes of other orders."""

import jax
import numpy as np
import pytest

from l3ac_jax.generation.codecs import codec_of
from l3ac_jax.generation.continuations import Continuation, Drawing, Way, ways_to_go_on
from l3ac_jax.generation.folder import TrainedModel, load_language_model
from l3ac_jax.generation.judging import judged
from l3ac_jax.generation.likelihood import likelihoods
from l3ac_jax.generation.network import LanguageModel
from tests.generation.random_models import write_models
from tests.quick import speech
from tests.small_configs import SMALL_CONFIGS

RATE, PROMPT, NEW = 16000, 6, 24


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    write_models(folder, SMALL_CONFIGS["baseline"])
    trained = load_language_model(folder / "language")
    return trained, codec_of(trained)


@pytest.fixture(scope="module")
def clips(models):
    audio = speech(4 * (PROMPT + NEW) * models[1].hop_length)[0]
    return audio.reshape(4, -1)


@pytest.fixture(scope="module")
def ways(models, clips):
    drawings = [Drawing(1.0, 0.95), Drawing(0.0, 1.0)]
    return {way.name: way for way in ways_to_go_on(*models, clips, PROMPT, drawings, seed=0)}


def test_each_way_goes_on_for_each_clip(ways, models):
    assert list(ways) == [
        "recorded",
        "coded",
        "shuffled",
        "drawn, T 1, top-p 0.95",
        "drawn, T 0, top-p 1",
    ]
    for way in ways.values():
        assert len(way.continuations) == 4
        for continuation in way.continuations:
            assert continuation.audio.shape == (NEW * models[1].hop_length,)


def test_coded_ones_are_the_recording_s_tokens_and_shuffled_ones_the_same_in_another_order(
    ways, models, clips
):
    codec = models[1]
    for clip, coded, shuffled in zip(
        clips, ways["coded"].continuations, ways["shuffled"].continuations, strict=True
    ):
        tokens = np.asarray(codec.encode(clip[None]))[0, PROMPT:]
        np.testing.assert_array_equal(coded.tokens, tokens)
        np.testing.assert_array_equal(np.sort(shuffled.tokens), np.sort(tokens))
        assert (shuffled.tokens != tokens).any()
        whole = np.asarray(codec.reconstruct(clip[None]))[0]
        np.testing.assert_allclose(coded.audio, whole[PROMPT * codec.hop_length :], atol=1e-5)


def test_drawn_ones_follow_their_own_clip(ways, models, clips):
    """The likeliest token after a prompt does not depend on who else is drawn for."""
    trained, codec = models
    greedy = ways["drawn, T 0, top-p 1"].continuations
    (alone,) = [
        way
        for way in ways_to_go_on(trained, codec, clips[2:3], PROMPT, [Drawing(0.0, 1.0)], seed=5)
        if way.name.startswith("drawn")
    ]
    np.testing.assert_array_equal(alone.continuations[0].tokens, greedy[2].tokens)


def test_judged_are_the_ways_with_distances_to_what_was_recorded():
    random = np.random.default_rng(0)
    noise = random.normal(0, 0.1, (6, 2 * RATE)).astype(np.float32)
    tokens = random.integers(0, 24, (6, 50))
    ways = [
        Way("recorded", [Continuation(x, None) for x in noise]),
        Way("coded", [Continuation(x, t) for x, t in zip(noise, tokens, strict=True)]),
        Way("held", [Continuation(0 * x, 0 * t) for x, t in zip(noise, tokens, strict=True)]),
    ]
    recorded, coded, held = judged(ways, noise, RATE, (3, 2, 4), voices=False, seed=0)
    assert set(recorded.scores) == {"quiet"} and recorded.distances["mel"] > 0
    assert coded.distances["mel"] == pytest.approx(0, abs=1e-6)
    assert held.distances["mel"] > 10 * recorded.distances["mel"]
    assert held.scores["periodicity"].mean == 1 and held.scores["quiet"].mean == 1
    assert held.scores["entropy"].mean == 0 < coded.scores["entropy"].mean
    assert held.scores["repeated"].mean > 0.9 > coded.scores["repeated"].mean


def test_voices_are_compared_with_the_prompt_s():
    voice = speech(8 * RATE)[0]
    clips = voice[: 8 * RATE].reshape(2, -1)
    ways = [
        Way("recorded", [Continuation(x[RATE:], None) for x in clips]),
        Way("quiet", [Continuation(0 * x[RATE:], None) for x in clips]),
    ]
    recorded, quiet = judged(ways, clips[:, : 2 * RATE], RATE, (3,), voices=True, seed=0)
    assert recorded.scores["similarity"].mean > 0.7
    assert 1 < recorded.scores["dnsmos"].mean < 5
    assert "similarity" not in quiet.scores and "voices" not in quiet.distances


class Ascending(LanguageModel):
    """Finds a token that is the next one after the last a thousand times as likely as others."""

    def __call__(self, tokens, train=False, label=None):
        follows = tokens[:, 1:] == tokens[:, :-1] + 1
        return jax.numpy.pad(jax.numpy.where(follows, 0.0, -np.log(1024.0)), [(0, 0), (1, 0)])


def test_likelihoods_tell_orders_apart(models, monkeypatch):
    monkeypatch.setattr(
        TrainedModel, "network", property(lambda self: Ascending(self.config.model, (2,)))
    )
    windows = np.arange(1000).reshape(5, 200)
    found = {row.name: row for row in likelihoods(models[0], windows, seed=0)}
    bits = [row.bits_per_token for row in found.values()]
    assert list(found)[:2] == ["in order", "backwards"]
    assert bits[0] == 0 and bits[1] == pytest.approx(10)
    block = round(0.25 * models[0].codec.frame_rate)
    assert block > 200 or 0 < bits[2] < 1
    assert bits[3] > 9.5
    for row in found.values():
        assert row.windows.shape == (5,)
