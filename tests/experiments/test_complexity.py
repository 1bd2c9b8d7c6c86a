"""experiments/complexity.py, as a researcher runs it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from l3ac_jax.config import CodecConfig, ExperimentConfig, dump_config
from l3ac_jax.evaluation.complexity import COUNTED, complexity_of
from l3ac_jax.evaluation.complexity_figure import ModelResult, Speed, draw_complexity
from tests.quick import QUICK_FLAGS

SCRIPT = Path(__file__).parents[2] / "experiments" / "complexity.py"
# One stage, and one layer of each kind: it is compiled, in a process where little else is.
CONFIG = CodecConfig.model_validate(
    {
        "feature_dim": 8,
        "activation": "gelu",
        "encoder": {"rates": (4,), "dims": (4, 8), "depths": (1, 1)},
        "decoder": {"rates": (4,), "dims": (8, 4), "depths": (1, 1), "last_layer": "plain"},
        "transformer": {
            "encoder_depth": 1,
            "decoder_depth": 1,
            "window_size": 500,
            "compress_rate": 1,
        },
        "quantizer": {"levels": (5, 4, 3)},
    }
)


@pytest.fixture
def complexity(tmp_path, compiled):
    """Runs the script in a folder with a small configuration."""
    (tmp_path / "small.toml").write_text(dump_config(ExperimentConfig(model=CONFIG)))
    environment = os.environ | {"L3AC_JAX_CACHE": str(compiled), "XLA_FLAGS": QUICK_FLAGS}

    def complexity(*words):
        return subprocess.run(
            [sys.executable, SCRIPT, *words], cwd=tmp_path, env=environment, capture_output=True,
            text=True, check=False,
        )  # fmt: skip

    return complexity


def test_a_model_is_counted_measured_and_drawn(complexity, tmp_path):
    outputs = ("--out", "found.json", "--figure", "found.png")
    measured = ("--seconds", "0.05", "--batch", "2", "--repeats", "1")
    done = complexity("small.toml", *measured, *outputs)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    (model,) = found["models"]
    counted = complexity_of(CONFIG)
    assert model["formula"] == counted.formula and model["xla"] == counted.xla
    assert model["parameters"] == counted.parameters
    assert model["published"] is None
    (speed,) = model["speed"]
    assert (speed["seconds"], speed["batch"], speed["failure"]) == (0.05, 2, None)
    assert speed["encode"] > 0 and speed["decode"] > 0
    assert speed["memory_mib"] > 0 and speed["device"]
    assert "small.toml" in done.stdout and "weight-normed" in done.stdout
    assert found["counted"] == COUNTED
    with Image.open(tmp_path / "found.png") as image:
        assert image.width == 900


def test_mistakes_are_one_line_that_names_them(complexity, tmp_path):
    (tmp_path / "there.json").write_text("kept")
    mistakes = {
        ("4kbps",): "4kbps: is neither a model",
        ("3kbps", "--out", "there.json"): "there.json: already exists",
        ("3kbps", "--seconds", "0"): "--seconds: must be greater than 0, got 0.0",
        ("3kbps", "3kbps"): "MODEL: given twice: 3kbps 3kbps",
    }
    for words, message in mistakes.items():
        done = complexity(*words)
        assert (done.returncode, done.stdout.strip()) == (2, "")
        assert done.stderr.startswith(f"complexity.py: error: {message}")
        assert done.stderr.count("\n") == 1
    assert (tmp_path / "there.json").read_text() == "kept"


def test_a_figure_has_speeds_only_where_there_are_some():
    result = ModelResult("small", complexity_of(CONFIG), 0.1)
    (bars,) = draw_complexity([result]).axes
    assert bars.get_xlabel() == "GMAC per second of audio"
    assert [text.get_text() for text in bars.get_yticklabels()] == ["small, formula", "small, XLA"]
    widths = [bar.get_width() for bar in bars.patches]
    assert sum(widths[:5]) == pytest.approx(sum(result.complexity.formula.values()) / 1e9)
    hatches = {(bar.get_hatch(), bar.get_facecolor()) for bar in bars.patches}
    assert len(hatches) == 5

    failed = Speed(10, 4, failure="out of memory")
    assert len(draw_complexity([result._replace(speeds=(failed,))]).axes) == 1
    timed = (Speed(1, 1, 0.01, 0.02, 50, "CPU"), Speed(10, 1, 0.02, 0.04, 90, "CPU"), failed)
    _, encode, decode = draw_complexity([result._replace(speeds=timed)]).axes
    assert [line.get_xydata().tolist() for line in encode.lines] == [[[1, 0.01], [10, 0.02]]]
    assert [line.get_xydata().tolist() for line in decode.lines] == [[[1, 0.02], [10, 0.04]]]
