"""Words have their texts, voices and sounds their folders, and what is too short is left out."""

import gzip
import importlib
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from l3ac_jax.audio.reading import read_audio
from l3ac_jax.audio.writing import write_audio

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
RATE = 16000
LISTED = """;Header: of the list
vm-second: Press one, or two, to hear your messages again.
vm-first: Please enter your password followed by the pound key.
vm-again: Please enter your password, followed by the pound key!
vm-digits: Press 1 to hear all of your messages once again.
vm-short: Goodbye.
vm-missing: This one is not among the recordings of the package.
"""


@pytest.fixture
def application_sets(monkeypatch):
    """The script, which finds its neighbours where it lies."""
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    return importlib.import_module("application_sets")


def _tone(path, seconds):
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = 0.3 * np.sin(np.arange(round(seconds * RATE)) / 10, dtype=np.float32)
    write_audio(path, samples[None], RATE, "VORBIS" if path.suffix == ".ogg" else "PCM_16")


@pytest.fixture
def packages(tmp_path):
    """The five packages in small; prompts are as long as their names have letters, a tenth each."""
    folder = tmp_path / "packages"
    data = folder / "pocketsphinx-testdata/usr/share/pocketsphinx/test/data"
    _tone(data / "librivox/read.wav", 1)
    _tone(data / "cards/001.wav", 1)
    (data / "librivox/transcription").write_text("<s> he was young </s> (read)\n")
    (data / "cards/cards.transcription").write_text("<s> ten of clubs  </s> (001)\n")
    prompts = folder / "asterisk-core-sounds-en-g722/usr/share/asterisk/sounds/en_US_f"
    prompts.mkdir(parents=True)
    for name in ("vm-first", "vm-second", "vm-again", "vm-digits", "vm-short"):
        # G.722 has 8 bits for two samples; what they say does not matter here.
        (prompts / f"{name}.g722").write_bytes(bytes(800 * len(name)))
    texts = folder / "asterisk-core-sounds-en/usr/share/doc/asterisk-core-sounds-en"
    texts.mkdir(parents=True)
    (texts / "core-sounds-en.txt.gz").write_bytes(gzip.compress(LISTED.encode()))
    voices = folder / "hedgewars-data/usr/share/games/hedgewars/Data/Sounds/voices"
    for voice in ("British", "Pirate", "Robot"):
        for number, seconds in enumerate((1.5, 2.0, 1.0, 4.0, 4.0, 3.0)):
            _tone(voices / voice / f"{number}.ogg", seconds)
    samples = folder / "sonic-pi-samples/usr/share/sonic-pi/samples"
    for name, seconds in (("loop_a", 2), ("drum_b", 1.6), ("drum_c", 1.5), ("elec_d", 2)):
        _tone(samples / f"{name}.flac", seconds)
    return folder


@pytest.fixture
def decoded_prompts(application_sets, monkeypatch):
    """Prompts without ffmpeg, which need not be here."""
    if shutil.which("ffmpeg"):
        return
    run = subprocess.run

    def as_ffmpeg(command, **options):
        if command[0] != "ffmpeg":
            return run(command, **options)
        source, target = Path(command[-2]), Path(command[-1])
        _tone(target, 2 * source.stat().st_size / RATE)
        return None

    monkeypatch.setattr(application_sets.subprocess, "run", as_ffmpeg)


@pytest.mark.usefixtures("decoded_prompts")
def test_sets_are_laid_out(application_sets, packages, tmp_path, capsys):
    out = tmp_path / "out"
    words = [str(out), "--packages", str(packages), "--recordings", "2"]
    assert application_sets.main(words) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{out}/words: 4 recordings",
        f"{out}/voices: 4 recordings",
        f"{out}/sounds: 2 recordings",
    ]
    texts = {str(p.relative_to(out / "words")): p.read_text().strip() for p in out.rglob("*.txt")}
    assert texts == {
        "librivox/read.txt": "he was young",
        "cards/001.txt": "ten of clubs",
        # Of two with the same words, the first by name.
        "asterisk/vm-again.txt": "please enter your password followed by the pound key",
        "asterisk/vm-second.txt": "press one or two to hear your messages again",
    }
    found = {str(path.relative_to(out).with_suffix("")) for path in out.rglob("*.flac")}
    assert found == {
        *(f"words/{Path(name).with_suffix('')}" for name in texts),
        *(f"voices/{voice}/{number}" for voice in ("British", "Pirate") for number in (1, 2)),
        "sounds/loop/loop_a",
        "sounds/drum/drum_b",
    }
    # The first three phrases come to 4 s, the fourth has them alone.
    lengths = [read_audio(out / f"voices/Pirate/{n}.flac").samples.shape[1] for n in (1, 2)]
    assert lengths == [round(4.5 * RATE), 4 * RATE]
    prompt = read_audio(out / "words/asterisk/vm-second.flac")
    assert (prompt.sample_rate, prompt.samples.shape) == (RATE, (1, 1600 * len("vm-second")))


@pytest.mark.usefixtures("decoded_prompts")
def test_as_many_prompts_as_asked_for(application_sets, packages, tmp_path):
    out = tmp_path / "out"
    assert application_sets.main([str(out), "--packages", str(packages), "--prompts", "1"]) == 0
    assert [path.stem for path in (out / "words/asterisk").glob("*.flac")] == ["vm-again"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--prompts", "0"], "--prompts: at least 1 is needed, got 0"),
        (["--recordings", "-1"], "--recordings: at least 1 is needed, got -1"),
        (["--packages", "nowhere"], "librivox/transcription: cannot be read: No such file"),
    ],
)
def test_mistakes_are_one_line(application_sets, packages, tmp_path, capsys, words, message):
    of_packages = [] if "--packages" in words else ["--packages", str(packages)]
    assert application_sets.main([str(tmp_path / "out"), *of_packages, *words]) == 2
    error = capsys.readouterr().err
    assert message in error and len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_package_without_recordings_is_said(application_sets, packages, tmp_path, capsys):
    shutil.rmtree(packages / "sonic-pi-samples")
    assert application_sets.main([str(tmp_path / "out"), "--packages", str(packages)]) == 2
    assert "no sounds in these packages" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_without_ffmpeg(application_sets, packages, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert application_sets.main([str(tmp_path / "out"), "--packages", str(packages)]) == 2
    assert "ffmpeg: not installed: the prompts of Asterisk need it" in capsys.readouterr().err


def test_what_is_there_is_not_mixed_with(application_sets, packages, tmp_path, capsys):
    (tmp_path / "voices").mkdir()
    assert application_sets.main([str(tmp_path), "--packages", str(packages)]) == 2
    assert "exists already: give a new folder" in capsys.readouterr().err
