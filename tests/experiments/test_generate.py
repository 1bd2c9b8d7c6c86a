"""experiments/generate.py: audio of a language model's tokens, block by block."""

from pathlib import Path

import jax
import numpy as np
import pytest
import soundfile as sf

from l3ac_jax.codec.l3ac import L3AC
from l3ac_jax.evaluation.random_params import random_params
from l3ac_jax.generation import folder as folders
from l3ac_jax.generation.sampling import language_tokens, sampled_tokens
from tests.generation.random_models import STEP, write_models
from tests.quick import speech
from tests.small_configs import ABLATED_CONFIGS, SMALL_CONFIGS

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
RATE = 16000
# hop 12, the decoder is 5 samples late; and one that norms over the whole clip
CONFIGS = {"causal": ABLATED_CONFIGS["causal_look_ahead"], "published": SMALL_CONFIGS["baseline"]}


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(EXPERIMENTS))


@pytest.fixture(scope="module", params=CONFIGS)
def folder(request, tmp_path_factory):
    """A codec and a language model over its tokens, with random parameters; a prompt."""
    folder = tmp_path_factory.mktemp(request.param)
    write_models(folder, CONFIGS[request.param])
    sf.write(folder / "prompt.wav", speech(900)[0], RATE)
    return folder


def run(folder, *words):
    from generate import main

    return main([str(folder / "language"), *map(str, words)])


def test_the_audio_is_that_of_the_prompt_s_and_the_drawn_tokens(folder, tmp_path, capfd):
    words = ["--prompt", folder / "prompt.wav", "--seconds", 0.1, "--block-ms", 5, "--seed", 2]
    assert run(folder, tmp_path / "all.wav", *words, "--with-prompt") == 0
    assert run(folder, tmp_path / "new.wav", *words) == 0
    said = capfd.readouterr().err
    assert f"step {STEP}" in said and "real-time factor" in said and "tokens a second" in said
    published = folder.name.startswith("published")
    assert ("an approximation" in said) == published
    config = CONFIGS["published" if published else "causal"]
    decoder = config.decoder.model_copy(update={"norm_statistics": "running"})
    changes = {"decoder": decoder} if published else {}
    codec = L3AC(config, random_params(config, 0))
    prompt = np.asarray(codec.encode(sf.read(folder / "prompt.wav", dtype="float32")[0][None]))
    everything, _ = sf.read(tmp_path / "all.wav", dtype="float32")
    new, rate = sf.read(tmp_path / "new.wav", dtype="float32")
    given = prompt.shape[1] * codec.hop_length
    assert rate == RATE and len(new) == 1600 and len(everything) == given + 1600
    np.testing.assert_allclose(everything[given:], new, atol=2 / 32768)
    # What comes first is what the codec makes of the prompt, step by step.
    causal = L3AC(config.model_copy(update=changes), codec.params)
    stream = causal.streaming_decoder()
    expected = np.concatenate([stream.push(prompt), stream.finish()], axis=1)[0]
    same = given // 2  # the last tokens before the new ones hear what follows
    np.testing.assert_allclose(everything[:same], expected[:same].clip(-1, 1), atol=1e-4)


def test_a_seed_is_a_sample_and_another_is_another(folder, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert run(folder, tmp_path / f"{name}.wav", "--seconds", 0.05, "--seed", seed) == 0
    a, b, c = (sf.read(tmp_path / f"{name}.wav")[0] for name in "abc")
    np.testing.assert_array_equal(a, b)
    assert np.abs(a - c).max() > 1e-3


def test_raw_samples_come_out_of_a_pipe(folder, tmp_path, capfdbinary):
    assert run(folder, "-", "--seconds", 0.05) == 0
    raw = np.frombuffer(capfdbinary.readouterr().out, "<i2")
    assert run(folder, tmp_path / "a.wav", "--seconds", 0.05) == 0
    # Files scale by 32768, and streams by 32767.
    np.testing.assert_allclose(raw, sf.read(tmp_path / "a.wav", dtype="int16")[0], atol=1)


def test_long_samples_go_beyond_the_context(folder):
    model = folders.load_language_model(folder / "language")
    tokens = sampled_tokens(language_tokens(model, batch=2), jax.random.key(0), 70)
    size = int(np.prod(model.codec.format.levels))
    assert tokens.shape == (2, 70) and tokens.min() >= 0 and tokens.max() < size
    assert len(np.unique(tokens)) > 10


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seconds", "0"], "--seconds: must be more than 0"),
        (["--top-p", "0"], "top_p above 0"),
        (["--temperature", "-1"], "temperature must be at least 0"),
        (["--with-prompt"], "--with-prompt: there is no --prompt"),
        (["--codec", "small"], "small: is not the codec whose tokens"),
    ],
)
def test_mistakes_are_named(folder, tmp_path, words, message, capfd):
    assert run(folder, tmp_path / "a.wav", *words) == 2
    assert message in capfd.readouterr().err
    assert not (tmp_path / "a.wav").exists()
