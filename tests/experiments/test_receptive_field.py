"""experiments/receptive_field.py, as a researcher runs it."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from l3ac_jax.config import ExperimentConfig, dump_config
from tests.small_configs import ABLATED_CONFIGS, SMALL_CONFIGS

SCRIPT = Path(__file__).parents[2] / "experiments" / "receptive_field.py"
PLACE = ("--samples", "1200", "--token", "80", "--sample", "500")


@pytest.fixture
def main(monkeypatch, tmp_path):
    """The script's main, in this process, which has JAX already."""
    monkeypatch.syspath_prepend(SCRIPT.parent)
    monkeypatch.chdir(tmp_path)
    spec = importlib.util.spec_from_file_location("receptive_field", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # A dataclass looks its module up.
    monkeypatch.setitem(sys.modules, "receptive_field", module)
    spec.loader.exec_module(module)
    return module.main


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(dump_config(ExperimentConfig(model=SMALL_CONFIGS["baseline"])))
    return path


def test_a_configuration_is_looked_at_with_random_parameters(tmp_path, config):
    command = [sys.executable, SCRIPT, config, *PLACE, "--figure", "field.png"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "small.toml, random parameters (seed 0); 1,200 samples of input" in done.stdout
    assert "comes from the encoder's convolutions, pooling and strides" in done.stdout
    assert "-inf to inf" in done.stdout and "0 to 1,199" in done.stdout
    assert done.stdout.endswith("All is as the structure says.\n")
    with Image.open(tmp_path / "field.png") as picture:
        assert picture.size == (1050, 840)


def test_a_causal_configuration_is_put_to_the_proof(tmp_path, main, capsys):
    config = ABLATED_CONFIGS["causal_look_ahead"]
    (tmp_path / "causal.toml").write_text(dump_config(ExperimentConfig(model=config)))
    assert main(["causal.toml", "--samples", "1200", "--token", "40", "--sample", "500"]) == 0
    printed = capsys.readouterr().out
    assert "own hop of 12 (0.8 ms) it declares a look-ahead of 8 (0.5 ms)" in printed
    assert "the encoder needs 2 samples and the decoder 5" in printed
    assert "derivative: 0 of the token's, 0 of the decoded sample's" in printed
    assert "the decoder has no norms over time" in printed and "statistics held" not in printed


def test_a_model_folder_is_looked_at_with_its_parameters(main, model_folder, capsys):
    assert main([str(model_folder), *PLACE]) == 0
    assert f"{model_folder}, its parameters; 1,200 samples" in capsys.readouterr().out


def test_mistakes_are_one_line_that_names_them(tmp_path, main, config, capsys):
    (tmp_path / "field.png").touch()
    name = str(config)
    mistakes = {
        ("nowhere",): "nowhere: is neither a model",
        ("nowhere.toml",): "nowhere.toml: ",
        (name, "--samples", "600", "--sample", "1"): "--token: must be 0 to 99 for 600",
        (name, "--samples", "700"): "--sample: must be 0 to 699 for 700 samples, got 10000",
        (name, "--samples", "0"): "--samples: must be 1 or more",
        (name, "--seed", "-1"): "--seed: must be 0 or more",
        (name, "--figure", "field.txt"): "field.txt: a figure's name ends with",
        (name, "--figure", "field.png"): "field.png: already exists",
        (name, "--audio", "nothing.wav"): "nothing.wav: does not exist",
    }
    for words, message in mistakes.items():
        assert main(list(words)) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.startswith(f"receptive_field.py: error: {message}")
        assert printed.err.count("\n") == 1
