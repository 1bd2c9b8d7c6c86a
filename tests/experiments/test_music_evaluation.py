"""The set of music is cut as its manifest says, from the recordings that it means and no others."""

import csv
import hashlib
import importlib
from pathlib import Path

import numpy as np
import pytest

from l3ac_jax.audio.reading import read_audio
from l3ac_jax.audio.writing import write_audio

ROOT = Path(__file__).parents[2]
CORPUS = ROOT.parent / "shared" / "corpus" / "build.py"
RATE = 44100
LOUD = 0.25


@pytest.fixture
def music_evaluation(monkeypatch):
    """The script, which finds its neighbours where it lies."""
    monkeypatch.syspath_prepend(str(ROOT / "experiments"))
    return importlib.import_module("music_evaluation")


@pytest.fixture
def packages(music_evaluation, tmp_path, monkeypatch):
    """A package of one stereo recording, silent but for its third second, and a manifest."""
    folder = tmp_path / "packages"
    path = Path("usr/share/music/a song.flac")
    (folder / "songs" / path).parent.mkdir(parents=True)
    samples = np.zeros((2, 5 * RATE), np.float32)
    samples[:, 2 * RATE : 3 * RATE] = [[LOUD], [-LOUD / 2]]
    write_audio(folder / "songs" / path, samples, RATE, "PCM_16")
    sha256 = hashlib.sha256((folder / "songs" / path).read_bytes()).hexdigest()
    manifest = tmp_path / "manifest.csv"
    with manifest.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow((*music_evaluation.Cut._fields[:3], "start_seconds", "seconds", "sha256"))
        rows.writerow(["songs-a", "songs", str(path), 2, 1, sha256])
        rows.writerow(["songs-b", "songs", str(path), 3, 2, sha256])
    monkeypatch.setattr(music_evaluation, "MANIFEST", manifest)
    return folder


def clip(out: Path, name: str) -> np.ndarray:
    audio = read_audio(out / "music" / f"{name}.flac")
    assert audio.sample_rate == 24000
    return audio.samples


def test_clips_are_cut_where_the_manifest_says(music_evaluation, packages, tmp_path, capsys):
    out = tmp_path / "out"
    assert music_evaluation.main([str(out), "--packages", str(packages)]) == 0
    loud, silent = clip(out, "songs-a"), clip(out, "songs-b")
    assert (loud.shape, silent.shape) == ((1, 24000), (1, 48000))
    np.testing.assert_allclose(loud[0, 2000:-2000], LOUD / 4, atol=1e-3)  # the channels' mean
    assert np.abs(silent[:, 2000:]).max() < 1e-3
    (out / "music" / "songs-b.flac").unlink()
    assert music_evaluation.main([str(out), "--packages", str(packages)]) == 0
    assert "1 clips made, 1 were there" in capsys.readouterr().out


def test_channels_are_kept_if_wanted(music_evaluation, packages, tmp_path):
    out = tmp_path / "out"
    assert music_evaluation.main([str(out), "--stereo", "--packages", str(packages)]) == 0
    middle = clip(out, "songs-a")[:, 2000:-2000]
    np.testing.assert_allclose(middle, np.full_like(middle, 1) * [[LOUD], [-LOUD / 2]], atol=1e-3)


def test_packages_are_downloaded_once(music_evaluation, packages, tmp_path, monkeypatch):
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, script in {
        "apt-get": 'echo "$@" >> ../../calls && touch "$3_1.0_all.deb"',
        "dpkg-deb": f'cp -r "{packages}/${{2%%_*}}" "$3"',
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    out = tmp_path / "out"
    assert music_evaluation.main([str(out)]) == 0
    assert (tmp_path / "calls").read_text() == "download -qq songs\n"
    assert not list((out / "packages").glob("*.deb"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--rate", "100"], "--rate: 8000 to 48000 Hz, got 100"),
        (["--packages", "nowhere"], "a song.flac: cannot be read: No such file"),
        ([], "apt-get: not installed"),
    ],
)
def test_mistakes_are_one_line(
    music_evaluation, words, message, packages, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("PATH", "")
    assert music_evaluation.main([str(tmp_path / "out"), *words]) == 2
    error = capsys.readouterr().err
    assert message in error and len(error.splitlines()) == 1


def test_another_recording_is_refused(music_evaluation, packages, tmp_path, capsys):
    (song,) = packages.rglob("*.flac")
    write_audio(song, np.zeros((2, RATE), np.float32), RATE, "PCM_16", overwrite=True)
    assert music_evaluation.main([str(tmp_path / "out"), "--packages", str(packages)]) == 2
    assert "a song.flac: is another recording than in the manifest" in capsys.readouterr().err


def test_the_manifest_names_each_clip_once_and_nothing_outside_of_packages(music_evaluation):
    cuts = music_evaluation.read_manifest(music_evaluation.MANIFEST)
    assert len({cut.clip for cut in cuts}) == len(cuts) == 53
    assert all(cut.path.startswith("usr/share/") and ".." not in cut.path for cut in cuts)
    assert all(cut.start >= 0 and 3 < cut.seconds <= 8 for cut in cuts)


@pytest.mark.skipif(not CORPUS.is_file(), reason="../shared/corpus is not here")
def test_no_model_was_trained_on_it(music_evaluation):
    training = CORPUS.read_text()
    listed = training[training.index("SPEECH = {") : training.index("HELD_BACK")]
    cuts = music_evaluation.read_manifest(music_evaluation.MANIFEST)
    assert not [cut.package for cut in cuts if f'"{cut.package}"' in listed]
