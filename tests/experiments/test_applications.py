"""The script: a table and a file, and mistakes that are named before anything is computed."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from l3ac_jax.audio.writing import write_audio
from l3ac_jax.evaluation.applications.report import ApplicationReport

ROOT = Path(__file__).parents[2]


def run(*words):
    command = [sys.executable, str(ROOT / "experiments" / "applications.py"), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture
def data(tmp_path):
    """Five sounds of each of two kinds."""
    for name, frequency in (("high", 3000), ("low", 150)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(5):
            angle = 2 * np.pi * frequency * (1 + number / 50) * np.arange(4000) / 16000
            path = tmp_path / "data" / name / f"{number}.wav"
            write_audio(path, 0.3 * np.sin(angle, dtype=np.float32)[None], 16000, "PCM_16")
    return tmp_path / "data"


def test_sounds_of_a_model_folder(model_folder, data, tmp_path):
    out = tmp_path / "sounds.json"
    words = [model_folder, data, "--application", "sounds", "--out", out, "--workers", "1"]
    done = run(*words, "--seed", "7")
    assert done.returncode == 0, done.stderr
    assert "sounds: 10 clips" in done.stdout and "accuracy (%)" in done.stdout
    report = ApplicationReport.model_validate_json(out.read_bytes())
    assert [row.codec for row in report.rows] == ["original", str(model_folder)]
    assert report.rows[0].figures["accuracy"].value == 100 and report.seed == 7
    again = run(*words)
    assert again.returncode == 2 and "already exists (--overwrite replaces it)" in again.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--application", "sounds", "--words", "tiny"], "--words: is a model for"),
        (["--application", "voices", "--clips-each", "1"], "voices: two speakers"),
    ],
)
def test_mistakes_cost_no_time(data, tmp_path, words, message):
    done = run("no-model", data, "--out", tmp_path / "out.json", *words)
    assert done.returncode == 2
    assert message in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out.json").exists()
