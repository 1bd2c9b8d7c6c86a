"""Training over tokens: what it learns, exact resuming, and its folder."""

import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import jax
import numpy as np
import pytest

from l3ac_jax.errors import (
    ConfigError,
    TokenDatasetError,
    TrainingDivergedError,
    WeightsError,
    WrongModelError,
)
from l3ac_jax.generation.codecs import codec_of
from l3ac_jax.generation.config import load_language_config
from l3ac_jax.generation.data import WindowBatches
from l3ac_jax.generation.folder import CHECKPOINT_FILE, load_language_model
from l3ac_jax.generation.sampling import language_tokens, sampled_tokens
from l3ac_jax.generation.training import train_language_model
from l3ac_jax.model.levels import levels_to_tokens, tokens_to_levels
from l3ac_jax.tokens.dataset.index import describe
from l3ac_jax.training.logs import read_metrics
from l3ac_jax.training.run import CODEC_RUN
from tests.generation.token_folders import write_tokens

ROOT = Path(__file__).parents[2]
LEVELS = (3, 2, 4)
SIZE = 24
STEPS = 150


def cycle(length: int, start: int) -> np.ndarray:
    """Tokens of which each but the first is known from the one before."""
    order = np.random.default_rng(7).permutation(SIZE)
    return order[(start + np.arange(length)) % SIZE].astype(np.int32)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokens")
    for name, form, count in (("train", "levels", 12), ("held-out", "tokens", 3)):
        rows = [cycle(40 + 3 * number, 5 * number) for number in range(count)]
        write_tokens(folder / name, rows, LEVELS, form)
    return folder


def small(data, tmp_path, **changes):
    """Its file, and words that change it."""
    text = f"""
        [model]
        width = 64
        depth = 1
        context = 12
        [training]
        steps = {STEPS}
        batch_size = 4
        log_every = 5
        evaluate_every = 75
        checkpoint_every = 50
        [training.optimizer]
        peak_rate = 1e-2
        initial_rate = 1e-3
        [data]
        train = ["{data / "train"}"]
        evaluation = ["{data / "held-out"}"]
    """
    path = tmp_path / "small.toml"
    path.write_text(text)
    words = [word for key, value in changes.items() for word in (f"--{key}", str(value))]
    return path, words


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    path, _ = small(data, folder)
    assert subprocess.run(command(path, folder / "run")).returncode == 0
    return folder / "run"


def command(path, run) -> list[str]:
    words = [ROOT / "experiments" / "train_language.py", path, "--run-dir", run, "--quiet"]
    return [sys.executable, *map(str, words)]


def test_it_learns_what_follows(trained):
    entries = read_metrics(trained / "metrics.jsonl")
    held_out = [entry for entry in entries if entry["kind"] == "evaluation"]
    assert [entry["step"] for entry in held_out] == [75, 150]
    # Of 4.6 bits, only the first token of a window is left.
    assert held_out[-1]["late_bits_per_token"] < 0.3
    assert held_out[-1]["bits_per_second"] == pytest.approx(
        held_out[-1]["bits_per_token"] * 1000 / 6
    )
    model = load_language_model(trained)
    assert model.step == STEPS
    prompt = cycle(5, 3)[None]
    tokens = sampled_tokens(language_tokens(model, prompt, temperature=0), jax.random.key(0), 20)
    np.testing.assert_array_equal(tokens[:, :5], prompt)
    order = cycle(SIZE, 0).tolist()
    followed = [order.index(b) == (order.index(a) + 1) % SIZE for a, b in pairwise(tokens[0])]
    assert np.mean(followed) > 0.8  # by chance 1 in 24
    drawn = sampled_tokens(language_tokens(model, batch=3), jax.random.key(0), 30)
    assert drawn.shape == (3, 30) and drawn.min() >= 0 and drawn.max() < SIZE


def test_a_run_that_is_killed_comes_to_the_same_parameters(data, trained, tmp_path):
    path, _ = small(data, tmp_path)
    words = command(path, tmp_path / "run")
    for how in (signal.SIGKILL, signal.SIGTERM):
        with subprocess.Popen(words) as process:
            before = (tmp_path / "run" / CHECKPOINT_FILE).exists()
            while process.poll() is None:
                lines = tmp_path / "run" / "metrics.jsonl"
                if lines.exists() and lines.read_text().count("\n") > (20 if before else 12):
                    process.send_signal(how)
                    break
                time.sleep(0.01)
        assert process.returncode in (0, -how, 128 + how)
    assert subprocess.run(words).returncode == 0
    ours, theirs = (load_language_model(folder).params for folder in (tmp_path / "run", trained))
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    steps = [entry["step"] for entry in read_metrics(tmp_path / "run" / "metrics.jsonl")]
    assert steps == [entry["step"] for entry in read_metrics(trained / "metrics.jsonl")]


def test_batches_are_known_by_their_number(data):
    batches = WindowBatches([str(data / "train"), str(data / "train")], 12, 4, seed=3)
    windows = sum(40 + 3 * number for number in range(12)) // 12
    assert len(batches) == 2 * windows and batches.levels == LEVELS
    first = [batch.tokens for batch, _ in zip(batches.batches(), range(40), strict=False)]
    for start in (0, 1, 17, 39):
        np.testing.assert_array_equal(next(batches.batches(start)).tokens, first[start])
    in_epoch = 2 * windows // 4
    epochs = np.concatenate(first[:in_epoch]), np.concatenate(first[in_epoch : 2 * in_epoch])
    assert not np.array_equal(*epochs)


def test_levels_and_tokens_are_the_same_windows(data, tmp_path):
    rows = [cycle(30, 0)]
    for form in ("tokens", "levels"):
        write_tokens(tmp_path / form, rows, LEVELS, form)
    both = [WindowBatches([str(tmp_path / form)], 10, 1, 0) for form in ("tokens", "levels")]
    for number in range(3):
        np.testing.assert_array_equal(both[0][number].tokens, both[1][number].tokens)


def test_the_first_dimensions_alone_are_another_vocabulary(data, tmp_path):
    """Tokens of levels 3 x 2, as a codec with these two dimensions would give them."""
    whole = WindowBatches([str(data / "train")], 10, 1, 0)
    kept = WindowBatches([str(data / "held-out"), str(data / "train")], 10, 1, 0, dimensions=2)
    assert kept.levels == (3, 2) and whole.levels == LEVELS
    offset = len(kept) - len(whole)
    for number in range(3):
        levels = tokens_to_levels(whole[number].tokens, LEVELS)[:, :2]
        found = tokens_to_levels(kept[offset + number].tokens, (3, 2))
        np.testing.assert_array_equal(found, levels)
    path, words = small(data, tmp_path, **{"data.dimensions": 2, "training.steps": 2})
    heads = ("softmax", "levels")
    for head in heads:
        config = load_language_config(path, [*words, "--model.head", head])
        train_language_model(config, tmp_path / head, quiet=True)
        model = load_language_model(tmp_path / head)
        assert model.levels == (3, 2)
        tokens = sampled_tokens(language_tokens(model), jax.random.key(0), 40)
        assert set(tokens[0]) <= set(range(6))
    with pytest.raises(WrongModelError, match="2 of the 3 dimensions"):
        codec_of(model)
    config = load_language_config(path, [*words, "--data.dimensions", "1"])
    with pytest.raises(ConfigError, match=r"data\.dimensions was 2, is 1"):
        train_language_model(config, tmp_path / "levels", quiet=True)
    with pytest.raises(ConfigError, match=r"data\.dimensions: 4, and the codec's quantizer has 3"):
        WindowBatches([str(data / "train")], 10, 1, 0, dimensions=4)


def test_other_codecs_and_too_little_are_refused(data, tmp_path):
    write_tokens(tmp_path / "other", [cycle(30, 0)], (3, 2, 5), "tokens")
    with pytest.raises(TokenDatasetError, match="other: holds tokens of another codec"):
        WindowBatches([str(data / "train"), str(tmp_path / "other")], 12, 1, 0)
    with pytest.raises(TokenDatasetError, match="3 windows of 40 tokens, and a batch needs 4"):
        WindowBatches([str(data / "held-out")], 40, 4, 0)
    path, words = small(data, tmp_path, **{"data.evaluation": f'["{tmp_path / "other"}"]'})
    with pytest.raises(TokenDatasetError, match="another codec than the training"):
        train_language_model(load_language_config(path, words), tmp_path / "run", quiet=True)


def test_a_folder_keeps_its_model(data, trained, tmp_path):
    path, words = small(data, tmp_path, **{"model.depth": 2})
    with pytest.raises(ConfigError, match=r"another model: model\.depth was 1, is 2"):
        train_language_model(load_language_config(path, words), trained, quiet=True)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").touch()
    with pytest.raises(ConfigError, match="no training run of a language model, and not empty"):
        train_language_model(load_language_config(path), tmp_path / "full", quiet=True)


def test_neither_kind_of_run_goes_on_in_the_others_folder(data, trained, tmp_path):
    with pytest.raises(ConfigError, match="is no training run, and not empty"):
        CODEC_RUN.check(trained)
    codec_run = tmp_path / "codec"
    (codec_run / "checkpoints").mkdir(parents=True)
    (codec_run / "config.toml").write_text("[model]")
    (codec_run / "lock").touch()
    CODEC_RUN.check(codec_run)
    path, _ = small(data, tmp_path)
    with pytest.raises(ConfigError, match="no training run of a language model"):
        train_language_model(load_language_config(path), codec_run, quiet=True)
    assert (codec_run / "config.toml").read_text() == "[model]"


def test_what_is_no_model_or_damaged_is_named(trained, tmp_path):
    with pytest.raises(ConfigError, match="is no language model"):
        load_language_model(tmp_path)
    for name in ("config.toml", "codec.json"):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    with pytest.raises(WeightsError, match="nothing was trained yet"):
        load_language_model(tmp_path)
    (tmp_path / CHECKPOINT_FILE).write_bytes((trained / CHECKPOINT_FILE).read_bytes()[:-100])
    with pytest.raises(WeightsError, match=r"checkpoint\.safetensors: cannot be read"):
        load_language_model(tmp_path)
    (tmp_path / "codec.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"codec\.json: is damaged"):
        load_language_model(tmp_path)


def test_training_that_diverges_says_so(data, tmp_path):
    changes = {"training.optimizer.peak_rate": 1e30, "training.optimizer.initial_rate": 1e30}
    path, words = small(data, tmp_path, **changes)
    with pytest.raises(TrainingDivergedError, match=r"step \d+: \w+ is not finite"):
        train_language_model(load_language_config(path, words), tmp_path / "run", quiet=True)


def test_what_diverged_is_not_saved_over_what_had_not(data, tmp_path):
    """Checkpoints are saved between two looks at the loss: each has a look of its own."""
    path, words = small(data, tmp_path, **{"training.steps": 2})
    train_language_model(load_language_config(path, words), tmp_path / "run", quiet=True)
    before = (tmp_path / "run" / CHECKPOINT_FILE).read_bytes()
    changes = {
        "training.checkpoint_every": 3,
        "training.log_every": 100,
        "training.optimizer.peak_rate": 1e38,
        "training.optimizer.initial_rate": 1e38,
    }
    path, words = small(data, tmp_path, **changes)
    with pytest.raises(TrainingDivergedError):
        train_language_model(load_language_config(path, words), tmp_path / "run", quiet=True)
    assert (tmp_path / "run" / CHECKPOINT_FILE).read_bytes() == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model.widht", "64"], "model.widht: unknown key; did you mean width?"),
        (["--model.width", "100"], "model.width: must be a multiple of 64"),
        (["--data.train", "[]"], "data.train: "),
        (["--training.steps", "0"], "training.steps: input should be greater than 0"),
    ],
)
def test_mistakes_in_the_configuration_are_named(data, tmp_path, words, message):
    path, _ = small(data, tmp_path)
    with pytest.raises(ConfigError, match=message):
        load_language_config(path, words)


def test_folders_are_seen_from_the_file(tmp_path):
    (tmp_path / "configs").mkdir()
    text = '[training]\nsteps = 1\nbatch_size = 1\n[data]\ntrain = ["../tokens", "/a/b"]\n'
    (tmp_path / "configs" / "a.toml").write_text(text)
    config = load_language_config(tmp_path / "configs" / "a.toml")
    assert config.data.train == (str(tmp_path / "tokens"), "/a/b")


def test_the_description_is_of_the_codec(data):
    data = WindowBatches([str(data / "train")], 12, 1, 0)
    assert data.description == describe("small", data.description.format, "levels")
    assert levels_to_tokens(np.array([[2, 1, 3]]), LEVELS) == SIZE - 1
