"""experiments/receptive_field.py, as a researcher runs it."""

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from l3ac_jax.config import ExperimentConfig, dump_config
from tests.small_configs import SMALL_CONFIGS

SCRIPT = Path(__file__).parents[2] / "experiments" / "receptive_field.py"
PLACE = ("--samples", "1200", "--token", "80", "--sample", "500")


def look(folder, *words):
    return subprocess.run(
        [sys.executable, SCRIPT, *map(str, words)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(dump_config(ExperimentConfig(model=SMALL_CONFIGS["baseline"])))
    return path


def test_a_configuration_is_looked_at_with_random_parameters(tmp_path, config):
    done = look(tmp_path, config.name, *PLACE, "--figure", "field.png")
    assert done.returncode == 0, done.stderr
    assert "small.toml, random parameters (seed 0); 1,200 samples of input" in done.stdout
    assert "comes from the encoder's convolutions, pooling and strides" in done.stdout
    assert "-inf to inf" in done.stdout and "0 to 1,199" in done.stdout
    assert done.stdout.endswith("All is as the structure says.\n")
    with Image.open(tmp_path / "field.png") as picture:
        assert picture.size == (1050, 840)


def test_a_model_folder_gives_the_same_each_time(tmp_path, model_folder):
    once, again = (look(tmp_path, model_folder, *PLACE) for _ in range(2))
    assert once.returncode == 0, once.stderr
    assert ", its parameters;" in once.stdout
    assert again.stdout == once.stdout


def test_mistakes_are_one_line_that_names_them(tmp_path, config):
    (tmp_path / "field.png").touch()
    mistakes = {
        ("nowhere",): "nowhere: is neither a published model",
        ("nowhere.toml",): "nowhere.toml: ",
        (config.name, "--samples", "600", "--sample", "1"): "--token: must be 0 to 99 for 600",
        (config.name, "--samples", "700"): "--sample: must be 0 to 699 for 700 samples, got 10000",
        (config.name, "--samples", "0"): "--samples: must be 1 or more",
        (config.name, "--seed", "-1"): "--seed: must be 0 or more",
        (config.name, "--figure", "field.txt"): "field.txt: a figure's name ends with",
        (config.name, "--figure", "field.png"): "field.png: already exists",
        (config.name, "--audio", "nothing.wav"): "nothing.wav: does not exist",
    }
    for words, message in mistakes.items():
        done = look(tmp_path, *words)
        assert (done.returncode, done.stdout) == (2, ""), words
        assert done.stderr.startswith(f"receptive_field.py: error: {message}"), done.stderr
        assert done.stderr.count("\n") == 1
