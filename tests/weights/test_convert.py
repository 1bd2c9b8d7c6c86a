"""convert_torch_weights.py, as a user calls it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import tomli_w
import torch

from l3ac_jax.config import ExperimentConfig, dump_config, published_config
from l3ac_jax.official.weights import to_official_config
from l3ac_jax.oracle.codec import seeded_codec
from l3ac_jax.weights.convert import find_config
from l3ac_jax.weights.folder import load_model, save_model
from l3ac_jax.weights.hub import WEIGHT_FILES
from tests.small_configs import SMALL_CONFIGS
from tests.weights.test_folder import assert_same_trees, random_params

SCRIPT = Path(__file__).parents[2] / "convert_torch_weights.py"
CONFIG = ExperimentConfig(model=SMALL_CONFIGS["compress2"])


@pytest.fixture(scope="module")
def command():
    """The script's `main`, without the seconds that a process of its own takes."""
    spec = importlib.util.spec_from_file_location("convert_torch_weights", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return lambda *words: module.main([str(word) for word in words])


@pytest.fixture
def official_folder(tmp_path) -> Path:
    seeded_codec(CONFIG.model).save_checkpoint(tmp_path / "official")
    (tmp_path / "config.toml").write_text(dump_config(CONFIG))
    return tmp_path / "official"


def tensors(folder: Path) -> dict[tuple[str, str], torch.Tensor]:
    return {
        (file, name): tensor
        for file in WEIGHT_FILES
        for name, tensor in torch.load(folder / file, weights_only=True).items()
    }


def test_there_and_back(command, official_folder, tmp_path, capsys):
    there = (official_folder, tmp_path / "model", "--config", tmp_path / "config.toml")
    assert command(*there) == 0
    assert f"{tmp_path / 'model'}: a model folder, 7876 bit/s" in capsys.readouterr().out
    assert command(tmp_path / "model", tmp_path / "back", "--to-torch") == 0
    # What was written says itself which model it is.
    assert command(tmp_path / "back", tmp_path / "again") == 0

    expected, found = tensors(official_folder), tensors(tmp_path / "back")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    config, params = load_model(tmp_path / "again")
    assert config == CONFIG
    assert_same_trees(params, load_model(tmp_path / "model")[1])


def test_a_published_name_is_downloaded(command, hub, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("L3AC_JAX_CACHE", str(tmp_path / "cache"))
    seeded_codec(published_config("3kbps").model).save_checkpoint(tmp_path / "official")
    hub.publish("3kbps", {f: (tmp_path / "official" / f).read_bytes() for f in WEIGHT_FILES})
    assert command("3kbps", tmp_path / "model") == 0
    assert "2989 bit/s" in capsys.readouterr().out
    assert load_model(tmp_path / "model")[0] == published_config("3kbps")


def test_mistakes_exit_with_2_and_one_message(command, official_folder, tmp_path, capsys):
    save_model(tmp_path / "model", CONFIG, random_params(CONFIG))
    config = ("--config", tmp_path / "config.toml")
    new = tmp_path / "new"
    cases = [
        ((official_folder, new), "which model it holds is not known"),
        ((official_folder, new, "--config", "2kbps"), "2kbps: cannot be read"),
        ((official_folder, new, "--config", "3kbps"), "en_encoder.pt: unexpected: down_trans"),
        ((tmp_path / "nowhere", new), "nowhere: is neither a folder nor a published model"),
        ((official_folder, tmp_path / "model", *config), "exists already"),
        ((tmp_path / "model", new), "encoder.pt: No such file or directory"),
        ((official_folder, new, "--to-torch"), "official: is not a model folder"),
        ((tmp_path / "model", new, "--to-torch", *config), "--config goes with .pt files"),
        ((tmp_path / "model", tmp_path, "--to-torch", "--overwrite"), "is not overwritten"),
        ((official_folder,), "TARGET"),
        ((official_folder, new, "--spelling"), "--spelling"),
    ]
    before = sorted(path.name for path in tmp_path.iterdir())
    for words, reason in cases:
        assert command(*words) == 2, words
        output = capsys.readouterr()
        assert reason in output.err, words
        assert "Traceback" not in output.err
        assert not output.out
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_malicious_file_is_not_executed(command, official_folder, tmp_path, capsys):
    class Harm:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "executed",))

    torch.save({"x": Harm()}, official_folder / "encoder.pt")
    config = ("--config", tmp_path / "config.toml")
    assert command(official_folder, tmp_path / "model", *config) == 2
    assert "encoder.pt: it names" in capsys.readouterr().err
    assert not (tmp_path / "executed").exists()
    assert not (tmp_path / "model").exists()


def test_the_help_shows_an_example():
    process = subprocess.run(
        [sys.executable, str(SCRIPT), "--help"], capture_output=True, text=True, check=True
    )
    assert "python convert_torch_weights.py 3kbps models/3kbps" in process.stdout
    assert "--to-torch" in process.stdout


def test_the_configuration_is_found_beside_the_weights_or_by_the_folders_name(tmp_path):
    for name in ("1kbps", "1kbps.v1"):
        (tmp_path / name).mkdir()
        assert find_config(tmp_path / name) == published_config("1kbps")
    official = tmp_path / "mine"
    official.mkdir()
    (official / "some.toml").write_text(tomli_w.dumps(to_official_config(CONFIG.model)))
    assert find_config(official) == CONFIG
    (tmp_path / "1kbps" / "config.toml").write_text(dump_config(CONFIG))
    assert find_config(tmp_path / "1kbps") == CONFIG
