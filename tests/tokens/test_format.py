"""What tokens mean: which codec can decode them, and how many a recording has."""

from dataclasses import replace

import numpy as np
import pytest

from l3ac_jax.errors import WrongModelError
from l3ac_jax.tokens.format import (
    EncodedAudio,
    check_format,
    config_fingerprint,
    frames_of,
    weights_fingerprint,
)
from tests.small_configs import SMALL_CONFIGS


def encode(codec, samples=12) -> EncodedAudio:
    """So many samples of silence, at the codec's rate."""
    tokens = np.asarray(codec.encode(np.zeros((1, samples), np.float32)))
    return EncodedAudio(tokens, samples, codec.sample_rate, "theirs", codec.token_format)


def test_tokens_are_for_the_codec_that_made_them(small_codec):
    check_format(encode(small_codec), small_codec.token_format, "ours")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"config": "0" * 16}, r"made with theirs, whose configuration .* that of ours \(0{16}\)"),
        ({"weights": "0" * 16}, r"made with theirs, whose weights .* those of ours \(0{16}\)"),
        ({"levels": (2, 3)}, "made with theirs, but its sample rate, hop length or levels"),
    ],
)
def test_tokens_of_another_model_are_refused_and_the_difference_named(small_codec, changes, reason):
    with pytest.raises(WrongModelError, match=reason):
        check_format(encode(small_codec), replace(small_codec.token_format, **changes), "ours")


def test_tokens_that_do_not_make_the_samples_are_refused(small_codec):
    encoded = replace(encode(small_codec, 12), samples=13)
    with pytest.raises(
        WrongModelError, match=r"13 samples at .* have 3 tokens a channel, .* are 2"
    ):
        check_format(encoded, small_codec.token_format, "ours")


def test_the_number_of_tokens_is_that_of_the_codecs_samples_rounded_up(small_codec):
    meaning = replace(small_codec.token_format, sample_rate=16000, hop_length=96)
    assert frames_of(96, 16000, meaning) == 1
    assert frames_of(97, 16000, meaning) == 2
    # 265 samples at 44.1 kHz are 96.1 at 16 kHz, for which 97 are made.
    assert frames_of(264, 44100, meaning) == 1
    assert frames_of(265, 44100, meaning) == 2
    encoded = EncodedAudio(np.zeros((1, 2), np.int32), 265, 44100, "3kbps", meaning)
    assert encoded.codec_samples == 97


def test_fingerprints_tell_configurations_and_weights_apart(small_codec):
    prints = {config_fingerprint(config) for config in SMALL_CONFIGS.values()}
    assert len(prints) == len(SMALL_CONFIGS)
    params = {"a": {"kernel": np.ones((2, 3), np.float32)}, "b": np.zeros(2, np.float32)}
    same = {"b": params["b"].copy(), "a": params["a"]}
    assert weights_fingerprint(same) == weights_fingerprint(params)
    others = [
        {**params, "b": np.array([0, 1e-30], np.float32)},
        {**params, "a": {"kernel": np.ones((3, 2), np.float32)}},
        {"a": params["a"], "c": params["b"]},
    ]
    assert len({weights_fingerprint(other) for other in [params, *others]}) == 4
