"""Codecs of other rates than the published 16 kHz: files, pieces, streams and tokens."""

import functools

import hypothesis.strategies as st
import numpy as np
import pytest
import soundfile as sf
from hypothesis import given, settings

import l3ac_jax
from l3ac_jax.audio.reading import read_audio
from l3ac_jax.codec.l3ac import L3AC
from l3ac_jax.evaluation.random_params import random_params
from l3ac_jax.tokens.format import TokenFormat, frames_of
from tests.quick import speech
from tests.small_configs import ABLATED_CONFIGS

RATES = (24000, 44100)
SAMPLES = 1003  # no whole number of hops


@functools.cache
def codec(rate: int) -> L3AC:
    """Causal, with a look-ahead in ms: what it is in samples depends on the rate."""
    config = ABLATED_CONFIGS["causal_look_ahead"].model_copy(update={"sample_rate": rate})
    return L3AC(config, random_params(config, 0))


@pytest.fixture(scope="module", params=RATES)
def rate(request):
    return request.param


@pytest.fixture(scope="module")
def clip():
    return speech(SAMPLES)


@pytest.mark.parametrize("ratio", [1, 2 / 3, 2])
def test_files_keep_their_rate_and_length(rate, ratio, clip, tmp_path):
    own = codec(rate)
    of_file = round(rate * ratio)
    sf.write(tmp_path / "a.wav", clip[0], of_file, "PCM_16")
    encoded = own.encode_file(tmp_path / "a.wav")
    assert (encoded.samples, encoded.sample_rate) == (SAMPLES, of_file)
    at_codec = -(-SAMPLES * rate // of_file)
    assert encoded.tokens.shape == (1, -(-at_codec // own.hop_length))
    if ratio == 1:
        samples = read_audio(tmp_path / "a.wav").samples
        np.testing.assert_array_equal(encoded.tokens, own.encode(samples))
    l3ac_jax.save(tmp_path / "a.l3ac", encoded)
    loaded = l3ac_jax.load(tmp_path / "a.l3ac")
    assert (loaded.samples, loaded.sample_rate) == (SAMPLES, of_file)
    np.testing.assert_array_equal(loaded.tokens, encoded.tokens)
    own.decode_file(loaded, tmp_path / "b.wav")
    decoded = sf.info(tmp_path / "b.wav")
    assert (decoded.frames, decoded.samplerate) == (SAMPLES, of_file)


def test_pieces_and_streams_give_the_tokens_of_the_whole_clip(rate, clip):
    own = codec(rate)
    expected = np.asarray(own.encode(clip))
    parts = np.array_split(clip, 7, axis=1)
    for encoder in (own.chunked_encoder(), own.streaming_encoder(block=3)):
        tokens = [encoder.push(part) for part in parts]
        tokens = np.concatenate([*tokens, encoder.finish()], axis=1)
        # Random weights leave no value within rounding of a boundary in these thousand samples.
        np.testing.assert_array_equal(tokens, expected)
    decoder = own.streaming_decoder()
    audio = [decoder.push(part) for part in np.array_split(expected, 5, axis=1)]
    audio = np.concatenate([*audio, decoder.finish()], axis=1)
    np.testing.assert_allclose(audio, own.decode(expected), atol=1e-5)


@settings(max_examples=200)
@given(
    rate=st.integers(1, 192_000),
    of_file=st.integers(1, 192_000),
    hop=st.integers(1, 2000),
    samples=st.integers(1, 10**9),
)
def test_tokens_cover_the_audio_and_no_hop_more(rate, of_file, hop, samples):
    format = TokenFormat("00" * 8, "ff" * 8, rate, hop, (3,))
    frames = frames_of(samples, of_file, format)
    # In exact fractions: frames * hop / rate seconds against samples / of_file, and the one sample
    # that resampling may round up to.
    assert frames * hop * of_file >= samples * rate
    assert (frames - 1) * hop * of_file < samples * rate + of_file
