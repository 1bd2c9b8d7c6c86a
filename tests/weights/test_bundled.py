"""The models that ship with the package: there, as configured, and good enough to be understood."""

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

import l3ac_jax
from l3ac_jax.audio.reading import read_audio
from l3ac_jax.cli.demo import CLIPS
from l3ac_jax.codec.streaming.loopback import Loopback
from l3ac_jax.config import BUNDLED, DEFAULT_MODEL, DEFAULT_STREAMING_MODEL, named_config
from l3ac_jax.metrics.speech import stoi
from l3ac_jax.weights.file import load_model_file
from l3ac_jax.weights.sources import BUNDLED_FOLDER, list_models
from tests.rounding import assert_same_tokens

FIXTURES = Path(__file__).parents[1] / "fixtures"


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("a bundled model needs no network")

    monkeypatch.setattr("socket.socket.connect", refuse)


def test_the_default_model_is_bundled():
    assert DEFAULT_MODEL in BUNDLED
    assert DEFAULT_STREAMING_MODEL in BUNDLED
    assert all(list_models()[name] == "bundled" for name in BUNDLED)


@pytest.mark.parametrize("name", BUNDLED)
def test_a_bundled_model_is_the_one_of_its_configuration(name, no_network):
    codec = l3ac_jax.get_model(name)
    assert codec.config == named_config(name).model
    load_model_file(BUNDLED_FOLDER / f"{name}.safetensors")  # which compares it with its network
    assert codec.bitrate <= (4800 if name == "music" else 3000)
    assert (BUNDLED_FOLDER / f"{name}.safetensors").stat().st_size < 25e6
    assert f"`{name}`" in (BUNDLED_FOLDER / "README.md").read_text()
    assert (BUNDLED_FOLDER / f"{name}.md").read_text().startswith(f"# Model card: `{name}`\n")


@pytest.mark.quick
@pytest.mark.parametrize("clip", CLIPS, ids=lambda clip: clip.title)
def test_small_codes_as_it_always_did(clip, no_network):
    """Its tokens, and every 64th sample of the audio, as they were with JAX 0.10.2."""
    with np.load(FIXTURES / "small.npz") as kept:
        tokens, samples = (kept[f"{Path(clip.asset).stem}/{what}"] for what in ("tokens", "audio"))
    codec = l3ac_jax.get_model("small")
    audio = read_audio(str(files("l3ac_jax") / "assets" / clip.asset)).samples[:1]
    assert_same_tokens(codec, audio, codec.encode(audio), tokens[None])
    # Another order of summing moves samples by some 1e-6; a mistake would by far more.
    np.testing.assert_allclose(codec.decode(tokens[None])[0, ::64], samples, atol=2e-5)


# These clips have 0.92 and 0.94, or 0.90 and 0.91; after a hundred steps of training it is 0.35.
@pytest.mark.parametrize(("name", "least"), [("base", 0.9), ("small", 0.87)])
@pytest.mark.parametrize("clip", [clip for clip in CLIPS if clip.domain == "speech"])
def test_speech_can_be_understood(clip, name, least, no_network):
    audio = read_audio(str(files("l3ac_jax") / "assets" / clip.asset)).samples[:1]
    decoded = l3ac_jax.get_model(name).reconstruct(audio)
    assert stoi(audio[0], decoded[0], 16000) > least


def test_the_model_of_streams_decodes_while_tokens_come(no_network):
    codec = l3ac_jax.get_model(DEFAULT_STREAMING_MODEL)
    loopback = Loopback(codec)
    assert 1000 * loopback.latency / codec.sample_rate <= 20
    audio = read_audio(str(files("l3ac_jax") / "assets" / CLIPS[0].asset)).samples[:1, :8000]
    parts = [loopback.push(audio[:, at : at + 1600]) for at in range(0, 8000, 1600)]
    decoded = np.concatenate([*parts, loopback.finish()], axis=1)
    np.testing.assert_allclose(decoded, codec.reconstruct(audio), atol=1e-4)  # float32, other sums
