"""Whisper's front end and encoder against PyTorch in double precision, written from the formulas.

The same comparisons run with random weights, always, and with the real ones where they are.
"""

from collections import OrderedDict
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from torch.nn.functional import pad

from l3ac_jax.errors import DownloadError, WeightsError
from l3ac_jax.model.params import flatten
from l3ac_jax.oracle.losses import (
    WhisperFeatures,
    perceptual_loss,
    random_whisper_weights,
    read_whisper_weights,
)
from l3ac_jax.oracle.losses import log_mel as official_log_mel
from l3ac_jax.training.whisper import (
    FRAMES,
    SAMPLES,
    WhisperEncoder,
    _sinusoids,
    frames_of,
    log_mel,
    perceptual_features,
)
from l3ac_jax.training.whisper_weights import (
    FILE,
    REPOSITORY,
    load_whisper_encoder,
    read_whisper_encoder,
)
from tests.hub_server import NOBODY, use_endpoint
from tests.quick import QUICK_COMPILE, speech

REAL_WEIGHTS = Path(__file__).parents[3] / "shared/weights/whisper_tiny_en_encoder.safetensors"
SECOND = 16000

WIDTH = 384


def half_a_minute(audio: np.ndarray) -> torch.Tensor:
    """Cut or padded with silence."""
    audio = torch.from_numpy(audio)[:, :SAMPLES].double()
    return pad(audio, (0, SAMPLES - audio.shape[1]))


def clips(samples: int) -> np.ndarray:
    """A loud and a quiet one."""
    return np.concatenate([speech(samples), speech(samples, 40000) / 200])


def assert_close(ours, expected, tolerance):
    """Within a share of the largest value."""
    expected = np.asarray(expected)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(np.asarray(ours), expected, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("samples", [SECOND, SECOND + 121, SAMPLES - 100, SAMPLES, SAMPLES + 999])
def test_log_mel_spectrogram(samples):
    audio = clips(samples)
    expected = official_log_mel(half_a_minute(audio)).mT
    # a relative error of 1e-7 in the loudest bin is one of 1e-3 eighty decibels below it
    np.testing.assert_allclose(log_mel(jnp.asarray(audio)), expected, rtol=0, atol=2e-4)


def test_the_floor_follows_the_loudest_clip_of_a_batch_unless_told_otherwise():
    audio = jnp.asarray(clips(SECOND))
    alone = log_mel(audio[1:])
    assert np.abs(log_mel(audio)[1:] - alone).max() > 0.1
    np.testing.assert_array_equal(log_mel(audio, floor_per_clip=True)[1:], alone)


def check_features_and_loss(weights, params, reference, frames):
    """Against the oracle cut to `frames`, of which the official loss takes all."""
    noise = np.random.default_rng(0).standard_normal(reference.shape)
    generated = (reference + 0.02 * np.abs(reference).max(axis=1, keepdims=True) * noise).astype(
        np.float32
    )
    x = torch.from_numpy(generated).double().requires_grad_()
    oracle = WhisperFeatures(weights, torch.float64)
    theirs = oracle(x, frames)
    loss = perceptual_loss(theirs, oracle(torch.from_numpy(reference).double(), frames))
    loss.backward()

    def our_loss(audio, params):
        features = perceptual_features(params, audio, frames=frames)
        target = perceptual_features(params, jnp.asarray(reference), frames=frames)
        return jnp.square(features - target).sum(2).mean(), features

    step = jax.jit(jax.value_and_grad(our_loss, has_aux=True))
    (value, ours), gradient = step(jnp.asarray(generated), params)
    # float32 against float64 through four layers; about five times what is found
    assert_close(ours, theirs.detach(), 1e-4)
    np.testing.assert_allclose(value, loss.item(), rtol=2e-5)
    assert_close(gradient, x.grad, 2e-4)


def test_features_and_perceptual_loss_with_random_weights(tmp_path):
    save_file(random_whisper_weights(), tmp_path / "random.safetensors")
    params = jax.tree.map(jnp.asarray, read_whisper_encoder(tmp_path / "random.safetensors"))
    check_features_and_loss(random_whisper_weights(), params, clips(SECOND), frames_of(SECOND))


def test_features_and_perceptual_loss_with_the_real_weights():
    if not REAL_WEIGHTS.is_file():
        pytest.skip("the weights of Whisper are not here")
    params = jax.tree.map(jnp.asarray, read_whisper_encoder(REAL_WEIGHTS))
    formula = _sinusoids(FRAMES, WIDTH)
    np.testing.assert_allclose(params["positions"], formula, rtol=0, atol=2**-11)
    check_features_and_loss(read_whisper_weights(REAL_WEIGHTS), params, speech(2 * SECOND), FRAMES)


def test_what_lies_past_a_clip_is_not_heard():
    audio = jnp.asarray(clips(SECOND))
    lengths = jnp.array([SECOND, SECOND - 501])
    padded = jnp.where(jnp.arange(SECOND)[None] < lengths[:, None], audio, jnp.nan)
    together = log_mel(padded, lengths, floor_per_clip=True)
    alone = log_mel(audio[1:, : SECOND - 501])
    np.testing.assert_allclose(together[1:], alone, rtol=0, atol=1e-6)

    gradient = jax.grad(lambda x: jnp.square(log_mel(x, lengths)).sum())
    gradient = jax.jit(gradient, compiler_options=QUICK_COMPILE)(padded)
    assert not gradient[1, SECOND - 501 :].any()
    assert np.isfinite(gradient).all()


def small_encoder():
    """Our encoder with one layer, as a function of parameters, audio and the type of products."""
    encoder = WhisperEncoder(layers=1, width=8, heads=2)
    params = encoder.init(jax.random.key(0), jnp.zeros((1, 100, 80)))["params"]

    def features(audio, dtype=jnp.float32):
        mel = log_mel(audio, frames=100)
        return encoder.clone(dtype=dtype).apply({"params": params}, mel)

    return features


def test_silence_has_finite_gradients():
    features = small_encoder()
    gradient = jax.grad(lambda audio: jnp.square(features(audio) - 1).sum())
    of_silence = jax.jit(gradient, compiler_options=QUICK_COMPILE)(jnp.zeros((1, SECOND)))
    assert np.isfinite(of_silence).all()


def test_bfloat16_computes_in_bfloat16_and_returns_float32():
    features = jax.jit(small_encoder(), static_argnums=1, compiler_options=QUICK_COMPILE)
    audio = jnp.asarray(clips(SECOND))
    exact, half = features(audio, jnp.float32), features(audio, jnp.bfloat16)
    assert half.dtype == jnp.float32
    assert 0 < np.abs(half - exact).max() < 0.1  # 8 bits, values of order 1


def hugging_face_names(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Under the names of transformers, in single precision, beside a weight of the decoder."""
    parts = {
        "blocks.": "layers.",
        "attn_ln": "self_attn_layer_norm",
        "mlp_ln": "final_layer_norm",
        "attn.query": "self_attn.q_proj",
        "attn.key": "self_attn.k_proj",
        "attn.value": "self_attn.v_proj",
        "attn.out": "self_attn.out_proj",
        "mlp.0": "fc1",
        "mlp.2": "fc2",
        "ln_post": "layer_norm",
        "positional_embedding": "embed_positions.weight",
    }
    renamed = {"model.decoder.layer_norm.weight": np.ones(WIDTH, np.float32)}
    for name, array in weights.items():
        for part, other in parts.items():
            name = name.replace(part, other)
        renamed[f"model.{name}"] = array.astype(np.float32)
    return renamed


def save_checkpoint(weights: dict[str, np.ndarray], path: Path) -> None:
    """As OpenAI's files are: sizes, and a state dict with the decoder's weights."""
    state_dict = OrderedDict({"decoder.positional_embedding": torch.ones(448, WIDTH)})
    state_dict.update((name, torch.from_numpy(array)) for name, array in weights.items())
    torch.save(
        {"dims": {"n_mels": 80, "n_audio_ctx": FRAMES}, "model_state_dict": state_dict}, path
    )


def test_the_same_weights_come_from_every_kind_of_file(tmp_path):
    weights = random_whisper_weights()
    save_file(weights, tmp_path / "openai.safetensors")
    save_file(hugging_face_names(weights), tmp_path / "hugging_face.safetensors")
    save_checkpoint(weights, tmp_path / "tiny.en.pt")
    trees = [
        flatten(read_whisper_encoder(tmp_path / name))
        for name in ("openai.safetensors", "hugging_face.safetensors", "tiny.en.pt")
    ]
    for tree in trees:
        assert tree.keys() == trees[0].keys() and len(tree) == len(weights)
        for path, array in tree.items():
            assert array.dtype == np.float32
            np.testing.assert_array_equal(array, trees[0][path])
    kernel = weights["encoder.blocks.3.attn.key.weight"]
    np.testing.assert_array_equal(trees[0]["block_3/key/kernel"], kernel.T)
    conv = weights["encoder.conv1.weight"]
    np.testing.assert_array_equal(trees[0]["conv_1/kernel"], conv.transpose(2, 1, 0))


def test_everything_that_is_wrong_with_a_file_is_named(tmp_path):
    weights = dict(random_whisper_weights())
    del weights["encoder.ln_post.bias"]
    weights["encoder.conv1.bias"] = np.zeros(512, np.float16)
    save_file(weights, tmp_path / "base.safetensors")
    with pytest.raises(WeightsError) as error:
        read_whisper_encoder(tmp_path / "base.safetensors")
    assert "missing: output_norm/bias" in str(error.value)
    assert "conv_1/bias: shape (512,), not (384,)" in str(error.value)

    (tmp_path / "damaged.safetensors").write_bytes(b"nothing")
    torch.save({"model": 1}, tmp_path / "other.pt")
    torch.save({"model_state_dict": 1}, tmp_path / "number.pt")
    torch.save({"model_state_dict": WhisperEncoder}, tmp_path / "code.pt")
    (tmp_path / "damaged.pt").write_bytes(b"nothing")
    names = ("damaged.safetensors", "other.pt", "number.pt", "code.pt", "damaged.pt")
    names += ("none.pt", "none.safetensors", "weights.npz")
    for name in names:
        with pytest.raises(WeightsError, match=name):
            read_whisper_encoder(tmp_path / name)


def test_weights_are_downloaded_once_into_the_cache(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("L3AC_JAX_CACHE", str(tmp_path / "cache"))
    save_file(hugging_face_names(random_whisper_weights()), tmp_path / FILE)
    hub.files[f"/{REPOSITORY}/resolve/main/{FILE}"] = (tmp_path / FILE).read_bytes()
    expected = flatten(read_whisper_encoder(tmp_path / FILE))
    found = flatten(load_whisper_encoder())
    use_endpoint(monkeypatch, NOBODY)
    again = flatten(load_whisper_encoder())
    for path, array in expected.items():
        np.testing.assert_array_equal(found[path], array)
        np.testing.assert_array_equal(again[path], array)


def test_without_a_network_the_message_says_what_to_put_where(tmp_path, monkeypatch):
    monkeypatch.setenv("L3AC_JAX_CACHE", str(tmp_path))
    use_endpoint(monkeypatch, NOBODY)
    with pytest.raises(DownloadError) as error:
        load_whisper_encoder()
    assert f"{NOBODY}/{REPOSITORY}/resolve/main/{FILE}" in str(error.value)
    assert str(error.value).endswith(f"into {tmp_path / 'whisper-tiny.en'}")
