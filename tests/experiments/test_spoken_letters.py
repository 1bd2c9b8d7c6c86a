"""Letters are laid out by label, without silence, and no voice is in both folders."""

import importlib
from pathlib import Path

import numpy as np
import pytest

from l3ac_jax.audio.reading import read_audio
from l3ac_jax.audio.writing import write_audio

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
RATE = 22050
NAMES = {"de": ("a", "b"), "en": ("A", "B"), "nb": ("U0061", "U0062"), "xx": ("a", "b-01")}


@pytest.fixture
def spoken_letters(monkeypatch):
    """The script, which finds its neighbours where it lies."""
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    return importlib.import_module("spoken_letters")


@pytest.fixture
def packages(tmp_path):
    """Half a second of sound between silence for each letter."""
    folder = tmp_path / "packages" / "klettres-data" / "usr" / "share" / "klettres"
    samples = np.zeros((1, 2 * RATE), np.float32)
    samples[:, RATE // 2 : RATE] = 0.3 * np.sin(np.arange(RATE - RATE // 2) / 10)
    for language, names in NAMES.items():
        (folder / language / "alpha").mkdir(parents=True)
        for name in names:
            write_audio(folder / language / "alpha" / f"{name}.ogg", samples, RATE, "VORBIS")
    return tmp_path / "packages"


def test_every_second_language_is_for_the_recognizer(spoken_letters, packages, tmp_path, capsys):
    out = tmp_path / "out"
    words = [str(out), "--letters", "ba", "--speeds", "1", "1.25", "--packages", str(packages)]
    assert spoken_letters.main(words) == 0
    assert f"{out / 'heard'}: 2 letters: de, nb\n" in capsys.readouterr().out
    found = {path.relative_to(out).as_posix() for path in out.rglob("*.flac")}
    assert found == {
        f"{folder}/{letter}/{language}-{speed}.flac"
        for folder, languages in (("heard", ("de", "nb")), ("others", ("en",)))
        for language in languages
        for letter in "ab"
        for speed in ("1", "1.25")
    }
    slow, fast = (read_audio(out / "heard" / "a" / f"de-{speed}.flac") for speed in ("1", "1.25"))
    assert slow.sample_rate == 16000
    # Half a second, and at most a step of 10 ms and Vorbis' smear at either end.
    assert slow.samples.shape[1] == pytest.approx(8000, abs=1000)
    assert fast.samples.shape[1] == pytest.approx(slow.samples.shape[1] / 1.25, abs=1)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--letters", "a"], "--letters: two or more of a to z, got 'a'"),
        (["--letters", "aä"], "--letters: two or more of a to z"),
        (["--speeds", "0"], "--speeds: must be from 0.5 to 2"),
        (["--rate", "100"], "--rate: 8000 to 48000 Hz, got 100"),
        (["--letters", "az"], "two languages with all of az are needed, 0 found"),
        (["--packages", "nowhere"], "two languages with all of fklmnprstx are needed, 0 found"),
    ],
)
def test_mistakes_are_one_line(spoken_letters, packages, tmp_path, capsys, words, message):
    of_packages = [] if "--packages" in words else ["--packages", str(packages)]
    assert spoken_letters.main([str(tmp_path / "out"), *of_packages, *words]) == 2
    error = capsys.readouterr().err
    assert message in error and len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_what_is_there_is_not_mixed_with(spoken_letters, packages, tmp_path, capsys):
    (tmp_path / "others").mkdir()
    assert spoken_letters.main([str(tmp_path), "--packages", str(packages)]) == 2
    assert "exists already: give a new folder" in capsys.readouterr().err
