"""experiments/continuations.py: tables and a file, and what cannot be measured."""

import json
from pathlib import Path

import pytest
import soundfile as sf

from tests.generation.random_models import STEP, write_models
from tests.quick import speech
from tests.small_configs import SMALL_CONFIGS

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
RATE = 16000


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(EXPERIMENTS))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("continuations")
    write_models(folder, SMALL_CONFIGS["baseline"])
    (folder / "data").mkdir()
    for number, seconds in enumerate((0.6, 0.6, 0.1)):
        audio = speech(round((number + seconds) * RATE))[0][number * RATE :]
        sf.write(folder / "data" / f"{number}.wav", audio, RATE)
    return folder


def run(folder, *words):
    from continuations import main

    words = ("--prompt", "0.1", "--seconds", "0.4", *words)
    return main([str(folder / "language"), str(folder / "data"), *map(str, words)])


def test_results_are_printed_and_written_with_the_audio(folder, tmp_path, capsys):
    words = ["--out", tmp_path / "a.json", "--audio", tmp_path / "heard", "--temperature", 1, 0.5]
    assert run(folder, *words) == 0
    said = capsys.readouterr().out
    assert "2 clips" in said and "drawn, T 0.5" in said and "backwards" in said
    report = json.loads((tmp_path / "a.json").read_text())
    assert report["clips"] == ["0.wav", "1.wav"] and report["step"] == STEP
    ways = [way["name"] for way in report["ways"]]
    assert ways == [
        "recorded",
        "coded",
        "shuffled",
        "drawn, T 1, top-p 0.95",
        "drawn, T 0.5, top-p 0.95",
    ]
    assert set(report["bits_per_token"]) >= {"in order", "backwards", "shuffled"}
    files = sorted((tmp_path / "heard").rglob("*.flac"))
    assert len(files) == 2 * len(ways)
    assert {sf.info(file).frames for file in files} == {1334 * 6}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--prompt", "0"], "--prompt: must be more than 0"),
        (["--seconds", "3"], "0 of 3 clips have the 3.1"),
        (["--codec", "small"], "small: is not the codec whose tokens"),
        (["--audio", "."], ".: exists already"),
        (["--temperature", "-1"], "temperature must be at least 0"),
    ],
)
def test_mistakes_are_named(folder, tmp_path, words, message, capsys):
    assert run(folder, "--out", tmp_path / "a.json", *words) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "a.json").exists()


def test_results_are_not_overwritten(folder, tmp_path, capsys):
    (tmp_path / "a.json").write_text("mine")
    assert run(folder, "--out", tmp_path / "a.json") == 2
    assert "a.json: already exists" in capsys.readouterr().err
    assert (tmp_path / "a.json").read_text() == "mine"
