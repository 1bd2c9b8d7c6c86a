"""The script from configurations to a comparison, with the smallest codec that trains."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile as sf
from PIL import Image

from l3ac_jax.config import dump_config
from tests.data.trees import speech
from tests.quick import QUICK_FLAGS
from tests.training.small_run import ROOT, prepare_corpus, small_experiment


def run(*words: object, cache: Path, code: int) -> subprocess.CompletedProcess:
    done = subprocess.run(
        [sys.executable, "experiments/ablate.py", *map(str, words)],
        cwd=ROOT,
        env={**os.environ, "L3AC_JAX_CACHE": str(cache), "XLA_FLAGS": QUICK_FLAGS},
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture
def folder(tmp_path) -> Path:
    """A baseline and two changes of it, of which one cannot be trained; recordings."""
    base = dump_config(small_experiment(prepare_corpus(tmp_path)))
    (tmp_path / "plain.toml").write_text(base)
    based = 'base = "plain.toml"\n'
    (tmp_path / "broken.toml").write_text(
        f'{based}[training]\nwhisper = "nowhere.safetensors"\n[training.loss]\nperceptual = 1.0\n'
    )
    (tmp_path / "quiet.toml").write_text(f"{based}[model.quantizer]\nnoise_rate = 0.0\n")
    (tmp_path / "recordings").mkdir()
    for number in range(2):
        clip = tmp_path / "recordings" / f"{number}.wav"
        sf.write(clip, speech(0.5, start=1.0 + number), 16000)
    return tmp_path


def test_runs_are_compared_and_one_that_fails_does_not_end_the_others(folder, compiled):
    configs = [folder / f"{name}.toml" for name in ("plain", "broken", "quiet")]
    options = ["--data", folder / "recordings", "--out", folder / "out", "--steps", 6]
    options += ["--metrics", "si_sdr", "usage", "--training.loss.adversarial", "0"]
    done = run(*configs, *options, cache=compiled, code=1)
    assert (
        "failed: broken, seed 0: training ended with exit code 2: train.py: error:" in done.stderr
    )
    assert "nowhere.safetensors" in done.stderr
    lines = done.stdout.splitlines()
    assert [any(name in line for line in lines) for name in ("plain", "quiet")] == [True, True]

    content = json.loads((folder / "out" / "ablation.json").read_text())
    assert [row["variant"] for row in content["rows"]] == ["plain", "quiet"]
    assert (content["steps"], content["seeds"], len(content["failures"])) == (6, [0], 1)
    for row in content["rows"]:
        assert row["scores"]["si_sdr"]["interval"]["clips"] == 2
    plain, quiet = (row["scores"]["si_sdr"] for row in content["rows"])
    # Six steps from the same parameters on the same data: the noise makes the only difference.
    assert plain["mean"] != quiet["mean"]
    assert quiet["difference"]["mean"] == pytest.approx(quiet["mean"] - plain["mean"])
    with Image.open(folder / "out" / "ablation.png") as image:
        assert min(image.size) > 200

    # Again, without what failed: nothing is trained or evaluated twice.
    made = [path for path in folder.glob("out/*/seed-0/**/*") if path.is_file()]
    kept = {path: path.stat().st_mtime_ns for path in made}
    assert sum(path.name == "evaluation.json" for path in kept) == 2
    done = run(configs[0], configs[2], *options, cache=compiled, code=0)
    assert "failed" not in done.stderr
    assert kept == {path: path.stat().st_mtime_ns for path in kept}
    assert json.loads((folder / "out" / "ablation.json").read_text()) == {**content, "failures": []}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere.toml", "--steps", "0"], "--steps: at least 1 is needed, got 0"),
        (["nowhere.toml", "--metrics", "mos"], "--metrics: 'mos' is none of pesq, stoi"),
        (
            ["nowhere.toml", "--metrics", "visqol"],
            "--metrics: visqol is a score of music: it needs",
        ),
        (
            ["nowhere.toml", "--fresh", "quantizer"],
            "--fresh: needs --fine-tune MODEL, whose layers",
        ),
        (["configs/smoke.toml", "nowhere.toml"], "nowhere.toml: cannot be read"),
        (["configs/smoke.toml", "--model.x.y", "1"], "the command line: model.x: unknown key"),
    ],
)
def test_mistakes_are_named_before_anything_is_written(tmp_path, words, message):
    common = ["--data", tmp_path / "nothing", "--out", tmp_path / "out"]
    done = run(*words, *common, cache=tmp_path, code=2)
    assert done.stderr.startswith(f"ablate.py: error: {message}")
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()
