"""The script: a table and a file, and mistakes that are named before anything is computed."""

import importlib
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


@pytest.fixture(scope="module")
def applications():
    """The script as a module, which finds its neighbours as a script does."""
    folder = str(ROOT / "experiments")
    sys.path.insert(0, folder)
    try:
        yield importlib.import_module("applications")
    finally:
        sys.path.remove(folder)


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
    words = ["--application", "sounds", "--out", out, "--workers", "1", "--seed", "7"]
    done = run(model_folder, data, *words)
    assert done.returncode == 0, done.stderr
    assert "sounds: 10 clips" in done.stdout and "accuracy (%)" in done.stdout
    report = ApplicationReport.model_validate_json(out.read_bytes())
    assert [row.codec for row in report.rows] == ["original", str(model_folder)]
    assert report.rows[0].figures["accuracy"].value == 100 and report.seed == 7


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--application", "sounds", "--words", "tiny"], "--words: is a model for"),
        (["--application", "captions"], "--captioner: is needed for --application captions"),
        (["--application", "sounds", "--captioner", "x"], "--captioner: is needed for"),
        (["--application", "sounds", "--prompt", "x"], "--prompt: is for a --captioner"),
        (["--application", "voices", "--clips-each", "1"], "voices: two speakers"),
        (["--application", "sounds"], "already exists (--overwrite replaces it)"),
    ],
)
def test_mistakes_are_named_before_a_model_is_looked_for(
    applications, data, tmp_path, capsys, words, message
):
    out = tmp_path / "out.json"
    if "exists" in message:
        out.touch()
    assert applications.main(["no-model", str(data), "--out", str(out), *words]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists() or out.read_bytes() == b""
