"""experiments/play_along.py: a model's tokens and their audio, in one program."""

import itertools
from pathlib import Path

import jax
import numpy as np
import pytest
import soundfile as sf

from l3ac_jax.codec.l3ac import L3AC
from l3ac_jax.config import ExperimentConfig, dump_config
from l3ac_jax.evaluation.random_params import random_params
from tests.small_configs import ABLATED_CONFIGS

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
CONFIG = ABLATED_CONFIGS["causal_look_ahead"]  # hop 12, the decoder is 5 samples late


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(EXPERIMENTS))


def test_the_audio_is_that_of_the_models_tokens():
    from play_along import repetition

    from l3ac_jax.generation.playing import played

    codec = L3AC(CONFIG, random_params(CONFIG, 0))
    prompt = np.arange(7, dtype=np.int32)[None] * 8
    model, key = repetition(prompt), jax.random.key(0)
    blocks = list(itertools.islice(played(codec, model, key, 4), 5))
    audio = np.concatenate(blocks, axis=1)
    assert codec.decoder_lag == 5
    assert [block.shape[1] for block in blocks] == [4 * 12 - 5] + [4 * 12] * 4
    expected = np.asarray(codec.decode(np.resize(prompt, (1, 24))))[:, : audio.shape[1]]
    # Rounding of float32: other sums than of a whole clip.
    np.testing.assert_allclose(audio, expected, atol=1e-5)
    # What was given is there for another time.
    for block, again in zip(blocks, played(codec, model, key, 4), strict=False):
        np.testing.assert_array_equal(block, again)


def test_a_walk_goes_one_level_at_a_time_within_its_bounds():
    from play_along import random_walk

    codec = L3AC(CONFIG, random_params(CONFIG, 0))
    model = random_walk(codec)
    counts = np.array(CONFIG.quantizer.levels)
    _, tokens = jax.lax.scan(model.step, model.state, jax.random.split(jax.random.key(1), 200))
    levels = np.asarray(codec.levels(np.asarray(tokens)[:, :, 0].T))[0]
    assert levels.min() == 0 and (levels.max(axis=0) == counts - 1).all()
    assert np.abs(np.diff(levels, axis=0)).max() == 1


def test_blocks_are_written_as_they_come(tmp_path, capfdbinary):
    from play_along import main

    name, out = tmp_path / "small.toml", tmp_path / "walk.wav"
    name.write_text(dump_config(ExperimentConfig(model=CONFIG)))
    words = ["--seconds", "0.01", "--block-ms", "3"]
    assert main([str(name), str(out), *words]) == 0
    printed = capfdbinary.readouterr()
    assert printed.out == b"" and b"real-time factor" in printed.err
    assert b"0.01 s of audio in blocks of 3 ms, 0.3 ms late" in printed.err
    audio, rate = sf.read(out, dtype="int16")
    assert rate == 16000 and len(audio) == 160 and np.any(audio)
    assert main([str(name), "-", *words]) == 0
    raw = np.frombuffer(capfdbinary.readouterr().out, "<i2")
    np.testing.assert_allclose(raw, audio, atol=1)  # libsndfile rounds in its own way


def test_mistakes_are_one_line_that_names_them(tmp_path, capsys):
    from play_along import main

    for words, message in {
        ("small", "a.wav", "--seconds", "0"): "--seconds and --block-ms: must be more than 0",
        ("small", "a.wav", "--prompt", "b.wav"): "--prompt: is for --tokens repeat",
        ("nowhere", "a.wav"): "nowhere: is neither a model",
    }.items():
        assert main(list(words)) == 2
        printed = capsys.readouterr()
        assert printed.err.startswith(f"play_along.py: error: {message}")
        assert printed.err.count("\n") == 1
