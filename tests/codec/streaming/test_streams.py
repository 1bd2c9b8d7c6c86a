"""Streams on the host give what a whole clip gives, as early as they say."""

import functools
import itertools

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

from l3ac_jax.codec.l3ac import L3AC
from l3ac_jax.codec.long import stepping
from l3ac_jax.errors import ArgumentError, StreamingError
from l3ac_jax.evaluation.random_params import random_params
from tests.quick import speech
from tests.small_configs import ABLATED_CONFIGS, SMALL_CONFIGS

CONFIGS = SMALL_CONFIGS | ABLATED_CONFIGS
CAUSAL = ("causal", "causal_look_ahead")
NAMES = ("baseline", "compress3", "rotary", *CAUSAL)
SAMPLES = 1003  # no whole number of hops; some windows of 8 tokens of 6 samples


@functools.cache
def codec(name) -> L3AC:
    return L3AC(CONFIGS[name], random_params(CONFIGS[name], 0))


@functools.cache
def whole(name, samples=SAMPLES):
    audio = speech(samples)
    return audio, np.asarray(codec(name).encode(audio))


def cut(array, cuts):
    """Pieces of (1, n), some of them empty."""
    places = [0, *sorted(cut % (array.shape[1] + 1) for cut in cuts), array.shape[1]]
    return [array[:, a:b] for a, b in itertools.pairwise(places)]


def streamed(stream, pieces):
    parts = [stream.push(piece) for piece in pieces]
    return np.concatenate([*parts, stream.finish()], axis=1)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=8)
@given(cuts=st.lists(st.integers(0, 2**20), max_size=9), samples=st.integers(1, SAMPLES))
def test_tokens_are_those_of_encode_however_the_audio_is_cut(name, cuts, samples):
    audio, _ = whole(name)
    stream = codec(name).streaming_encoder(block=2)
    tokens = streamed(stream, cut(audio[:, :samples], cuts))
    expected = np.asarray(codec(name).encode(audio[:, :samples]))
    # Random weights leave no value within rounding (1e-6) of a boundary in these thousand samples.
    np.testing.assert_array_equal(tokens, expected)


def test_one_sample_at_a_time():
    audio, tokens = whole("causal")
    pieces = [audio[:, at : at + 1] for at in range(SAMPLES)]
    np.testing.assert_array_equal(streamed(codec("causal").streaming_encoder(), pieces), tokens)


@pytest.mark.parametrize("name", CAUSAL)
@settings(max_examples=6)
@given(cuts=st.lists(st.integers(0, 2**20), max_size=9), count=st.integers(1, 60))
def test_audio_is_that_of_decode_however_the_tokens_are_cut(name, cuts, count):
    _, tokens = whole(name)
    tokens = tokens[:, :count]
    audio = streamed(codec(name).streaming_decoder(block=2), cut(tokens, cuts))
    np.testing.assert_allclose(audio, codec(name).decode(tokens), atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_token_comes_with_the_sample_that_the_latency_says(name):
    audio, tokens = whole(name)
    hop, stream = codec(name).hop_length, codec(name).streaming_encoder(block=1)
    known = []
    for at in range(SAMPLES):
        known.append(stream.push(audio[:, at : at + 1]).shape[1])
    given_at = np.repeat(np.arange(SAMPLES), known)
    first_samples = np.arange(len(given_at)) * hop
    np.testing.assert_array_equal(given_at, first_samples + stream.latency)
    assert sum(known) + stream.finish().shape[1] == tokens.shape[1]


@pytest.mark.parametrize("name", CAUSAL)
def test_a_sample_comes_with_the_token_that_the_latency_says(name):
    _, tokens = whole(name)
    hop, stream = codec(name).hop_length, codec(name).streaming_decoder(block=1)
    known = [stream.push(tokens[:, at : at + 1]).shape[1] for at in range(tokens.shape[1])]
    last_samples = np.repeat((np.arange(tokens.shape[1]) + 1) * hop - 1, known)
    late = last_samples - np.arange(len(last_samples))
    assert late.max() == stream.latency and late.min() > stream.latency - hop


def test_the_future_beyond_the_look_ahead_changes_nothing():
    """Of encoder and decoder with all of their parts; what lies within it does."""
    for name in CAUSAL:
        tested = codec(name)
        _, tokens = whole(name)
        ahead = tested.streaming_encoder().latency - (tested.hop_length - 1)
        token = 40
        last = (token + 1) * tested.hop_length - 1 + ahead
        audio = speech(SAMPLES).copy()
        changed = audio.copy()
        changed[:, last + 1 :] = 0.9
        one, other = (np.asarray(tested.encode(x))[:, : token + 1] for x in (audio, changed))
        np.testing.assert_array_equal(one, other)
        decoded, again = (np.asarray(tested.decode(t)) for t in (tokens, _with_other(tokens, 41)))
        lag = tested.decoder_lag
        stop = 41 * tested.hop_length - lag
        np.testing.assert_allclose(decoded[:, :stop], again[:, :stop], atol=1e-6)
        assert np.abs(decoded - again)[0, stop : stop + 2 * tested.hop_length].max() > 1e-4


def _with_other(tokens, first):
    changed = tokens.copy()
    changed[:, first:] = (changed[:, first:] + 7) % 60
    return changed


def test_a_decoder_that_norms_over_the_clip_is_refused_with_the_reason():
    with pytest.raises(
        StreamingError, match=r"statistics over the whole clip.*statistics='running'"
    ):
        codec("baseline").streaming_decoder()


def test_a_clips_own_statistics_give_its_own_audio():
    _, tokens = whole("baseline")
    statistics = codec("baseline").decoder_statistics(tokens)
    stream = codec("baseline").streaming_decoder(block=3, statistics=statistics)
    audio = streamed(stream, cut(tokens, [5, 50]))
    np.testing.assert_allclose(audio, codec("baseline").decode(tokens), atol=1e-5)


def test_running_statistics_stand_for_those_of_the_clip():
    _, tokens = whole("baseline")
    audio = streamed(codec("baseline").streaming_decoder(statistics="running"), [tokens])
    assert audio.shape == (1, tokens.shape[1] * codec("baseline").hop_length)
    assert (
        np.isfinite(audio).all() and np.abs(audio - codec("baseline").decode(tokens)).max() > 1e-4
    )


@pytest.mark.parametrize("name", ["convnext_v2"])
def test_what_sees_the_whole_clip_is_refused(name):
    with pytest.raises(StreamingError, match="convnext_v2"):
        codec(name).streaming_encoder()


def test_clips_of_a_batch_are_streams_of_their_own():
    audio = np.concatenate([speech(600), speech(600, offset=20000)])
    stream = codec("causal").streaming_encoder(batch=2)
    tokens = streamed(stream, [audio[:, :250], audio[:, 250:]])
    np.testing.assert_array_equal(tokens, codec("causal").encode(audio))


def test_steps_inside_a_scan_encode_and_decode():
    """As a model that plays along would: one program for all of it, parameters given or folded."""
    tested = codec("causal_look_ahead")
    hop, lag, late = tested.hop_length, tested.encoder_lag, tested.decoder_lag
    audio, tokens = whole("causal_look_ahead", 40 * 12)
    assert hop == 12 and lag == 1 and 0 < late < hop
    pieces = jnp.asarray(audio).reshape(1, -1, 2 * hop).swapaxes(0, 1)

    @jax.jit
    def coded(params, states, pieces):
        def step(states, piece):
            encoder, decoder = states
            encoder, tokens = tested.encoder_step(params, encoder, piece)
            decoder, decoded = tested.decoder_step(params, decoder, tokens)
            return (encoder, decoder), (tokens, decoded)

        return jax.lax.scan(step, states, pieces)[1]

    states = (tested.encoder_state(), tested.decoder_state())
    for params in (tested.params, tested.folded_params):
        found, decoded = (x.swapaxes(0, 1).reshape(1, -1) for x in coded(params, states, pieces))
        np.testing.assert_array_equal(found[:, lag:], tokens[:, :-lag])
        assert decoded.shape == audio.shape


def test_a_block_is_announced_before_it_is_compiled():
    causal, block = L3AC(CONFIGS["causal"], codec("causal").params), 11  # which no other test has
    lines: list[str] = []
    causal.on_compile = lines.append
    for _ in range(2):
        encoder, decoder = (
            causal.streaming_encoder(block=block),
            causal.streaming_decoder(block=block),
        )
        decoder.push(encoder.push(speech(3 * block * causal.hop_length)))
    seconds = f"{block * causal.hop_length / causal.sample_rate:.3g} s"
    assert lines == [
        f"compiling the {part} for blocks of {seconds} of audio" for part in ("encoder", "decoder")
    ]


def test_mistakes_are_named():
    stream = codec("causal").streaming_encoder()
    for wrong, words in [
        (np.zeros((2, 5), np.float32), r"shape \(1, samples\)"),
        (np.zeros(5, np.float32), r"shape \(1, samples\)"),
        (np.zeros((1, 5), np.int16), "floating point"),
        (np.full((1, 5), np.nan, np.float32), "finite"),
    ]:
        with pytest.raises(ArgumentError, match=words):
            stream.push(wrong)
    with pytest.raises(ArgumentError, match="no audio was pushed"):
        stream.finish()
    with pytest.raises(ArgumentError, match="this stream is finished"):
        stream.push(np.zeros((1, 5), np.float32))
    decoder = codec("causal").streaming_decoder()
    with pytest.raises(ArgumentError, match="tokens must be 0 to 59, got 60"):
        decoder.push(np.array([[60]]))
    with pytest.raises(StreamingError, match="takes no statistics of clips"):
        codec("causal_look_ahead").streaming_decoder(statistics="running")
    with pytest.raises(ArgumentError, match="block must be at least 1: got 0"):
        codec("causal").streaming_decoder(block=0)
    with pytest.raises(ArgumentError, match="whole hops"):
        codec("causal").encoder_step({}, codec("causal").encoder_state(), jnp.zeros((1, 7)))


@pytest.mark.parametrize("name", CAUSAL)
def test_long_recordings_are_decoded_in_steps(name, monkeypatch):
    monkeypatch.setattr(stepping, "STEP_SECONDS", 0.005)
    _, tokens = whole(name)
    long = L3AC(CONFIGS[name], random_params(CONFIGS[name], 0))
    monkeypatch.setattr(long, "is_long", lambda samples: True)
    np.testing.assert_array_equal(long.encode(whole(name)[0]), tokens)
    np.testing.assert_allclose(long.decode(tokens), codec(name).decode(tokens), atol=1e-5)
    pieces = [*long.decode_chunks(tokens)]
    assert len(pieces) > 3
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), long.decode(tokens))
