"""The oracle: every parameter counts, signals keep a sane scale, and a seed means one network."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest
import torch

from l3ac_jax.errors import ConfigError
from l3ac_jax.oracle.codec import OfficialCodec, seeded_codec
from tests.small_configs import SMALL_CONFIGS

# Without effect on any output by construction: a constant added to all attention scores, and what
# an instance norm takes away together with the mean.
WITHOUT_EFFECT = re.compile(r"mlp\.4\.bias$|^decoder\.blocks\.\d+\.blocks\.\d\.1\.bias$")


def noise(samples: int = 612, seed: int = 0) -> np.ndarray:
    swelling = np.sin(np.arange(samples) / 50)
    return (0.1 * swelling * np.random.default_rng(seed).normal(size=(2, samples))).astype("f4")


def test_a_seed_means_one_network_and_the_global_state_is_left_alone():
    before = torch.get_rng_state()
    one, same = (seeded_codec(SMALL_CONFIGS["baseline"], seed=3) for _ in range(2))
    other = seeded_codec(SMALL_CONFIGS["baseline"], seed=4)
    assert torch.equal(torch.get_rng_state(), before)
    for (name, a), (_, b), (_, c) in zip(
        *(codec.network.named_parameters() for codec in (one, same, other)), strict=True
    ):
        assert torch.equal(a, b), name
        assert not torch.equal(a, c), name


@pytest.mark.parametrize("name", SMALL_CONFIGS)
def test_every_parameter_is_off_its_initial_value(name):
    initial = dict(OfficialCodec(SMALL_CONFIGS[name]).network.named_parameters())
    for key, parameter in seeded_codec(SMALL_CONFIGS[name]).network.named_parameters():
        assert (parameter != initial[key]).all(), key


@pytest.mark.parametrize("name", SMALL_CONFIGS)
def test_signals_keep_a_sane_scale_and_float32_is_close_to_float64(name):
    config = SMALL_CONFIGS[name]
    codec, codec64 = seeded_codec(config), seeded_codec(config, dtype=np.float64)
    features, features64 = codec.encode_features(noise()), codec64.encode_features(noise())
    assert features.dtype == np.float32
    assert features64.dtype == np.float64
    assert features.shape == (2, 612 // config.hop_length, config.feature_dim)
    assert 0.3 < features64.std() < 3
    assert np.sqrt(np.mean((features - features64) ** 2)) < 5e-6

    levels = np.round(codec64.quantizer_levels(features64)).reshape(
        -1, len(config.quantizer.levels)
    )
    used = [len(np.unique(column)) for column in levels.T]
    assert min(np.array(used) / config.quantizer.levels) > 0.6

    quantized, tokens = codec64.quantize(features64)
    audio, audio64 = codec.decode(quantized), codec64.decode(quantized)
    assert audio.shape == (2, 612)
    assert 0.02 < np.sqrt(np.mean(audio64**2)) < 0.4
    assert np.abs(audio64).max() < 0.95
    assert np.sqrt(np.mean((audio - audio64) ** 2)) < 1e-5
    np.testing.assert_allclose(codec64.decode_tokens(tokens), audio64, atol=1e-6)


@pytest.mark.parametrize("name", ["baseline", "compress2", "rotary", "norm_off", "gelu"])
def test_every_parameter_has_a_gradient(name):
    codec = seeded_codec(SMALL_CONFIGS[name], dtype=np.float64)
    features = codec.differentiable_encode(torch.from_numpy(noise()).double())
    quantized, _, _ = codec.network.quantizer(features)
    audio = codec.differentiable_decode(quantized)
    random = np.random.default_rng(0)
    (audio * torch.from_numpy(random.normal(size=audio.shape))).sum().backward()
    for key, parameter in codec.network.named_parameters():
        assert parameter.grad is not None
        size = parameter.grad.abs().max().item()
        assert np.isfinite(size)
        if WITHOUT_EFFECT.search(key):
            assert size < 1e-9, key
        else:
            assert size > 1e-6, key


def test_what_the_official_package_cannot_express_is_an_error():
    baseline = SMALL_CONFIGS["baseline"]
    transformer = baseline.transformer.model_copy(update={"attention": "full"})
    with pytest.raises(ConfigError, match=r"cannot express transformer\.attention"):
        seeded_codec(baseline.model_copy(update={"transformer": transformer}))


def test_without_the_official_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "l3ac.en_codec", None)
    with pytest.raises(ImportError, match=r"pip install 'l3ac-jax\[torch\]'"):
        seeded_codec(SMALL_CONFIGS["baseline"])
