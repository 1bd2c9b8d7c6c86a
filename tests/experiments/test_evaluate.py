"""The script: its tables and files, its exit codes, and what it says of mistakes."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from l3ac_jax.audio.reading import read_audio
from l3ac_jax.audio.writing import write_audio
from l3ac_jax.evaluation.report import read_report
from tests.conftest import FIXTURES

ROOT = Path(__file__).parents[2]


def command(*words):
    return [sys.executable, str(ROOT / "experiments" / "evaluate.py"), *map(str, words)]


def run(*words, **options):
    return subprocess.run(command(*words), capture_output=True, text=True, **options)


def start(*words):
    pipe = subprocess.PIPE
    return subprocess.Popen(command(*words), stdout=pipe, stderr=pipe, text=True)


@pytest.fixture
def data(tmp_path):
    (tmp_path / "data").mkdir()
    shutil.copy(FIXTURES / "misc_crow.flac", tmp_path / "data")
    return tmp_path / "data"


def test_an_evaluation_of_a_model_folder(model_folder, data, tmp_path):
    (data / "damaged.wav").write_bytes(b"RIFF")
    done = run(model_folder, data, "--out", tmp_path / "out")
    assert done.returncode == 1, done.stderr
    assert f"evaluate.py: left out: {data}/damaged.wav: is not an audio file" in done.stderr
    assert "PESQ-WB" in done.stdout and "entropy-coded rate" in done.stdout
    report = read_report(tmp_path / "out")
    assert [clip.clip for clip in report.clips] == ["misc_crow.flac"]
    (data / "damaged.wav").unlink()
    again = run(model_folder, data, "--out", tmp_path / "out")
    assert again.returncode == 0, again.stderr
    assert read_report(tmp_path / "out") == report.model_copy(update={"failures": ()})


def test_killed_at_any_moment_it_goes_on(model_folder, tmp_path):
    audio = read_audio(FIXTURES / "librivox_sense_0870.wav")
    (tmp_path / "data").mkdir()
    for number in range(4):
        part = audio.samples[:, 12000 * number :][:, :12000]
        write_audio(tmp_path / "data" / f"{number}.wav", part, audio.sample_rate, "PCM_16")
    words = [model_folder, tmp_path / "data", "--workers", "1", "--out"]
    assert run(*words, tmp_path / "undisturbed").returncode == 0
    for moment in ("coded.jsonl", "scores.jsonl"):
        with start(*words, tmp_path / "killed") as process:
            while not any(lines(path) > 2 for path in tmp_path.glob(f"killed/*/{moment}")):
                assert process.poll() is None, process.communicate()
                time.sleep(0.02)
            process.kill()
    done = run(*words, tmp_path / "killed")
    assert done.returncode == 0, done.stderr
    first, second = (read_report(tmp_path / name) for name in ("undisturbed", "killed"))
    for one, two in zip(first.clips, second.clips, strict=True):
        timed = {"encode_rtf", "decode_rtf"}
        assert {k: v for k, v in one.scores.items() if k not in timed} == {
            k: v for k, v in two.scores.items() if k not in timed
        }
    assert first.summary(str(model_folder)).codebook == second.summary(str(model_folder)).codebook


def lines(path):
    return len(path.read_bytes().splitlines())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere", "DATA", "--out", "out"], "nowhere: is neither a model"),
        (["3kbps", "nowhere", "--out", "out"], "nowhere: is neither a folder nor a file"),
        (["DATA", "--out", "out"], "MODEL... DATA: two or more are needed, got 1"),
        (["3kbps", "DATA", "--out", "out", "--clips", "0"], "at least 1 clip is needed"),
        (["3kbps", "DATA", "--out", "out", "--workers", "0"], "--workers: at least 1 is needed"),
    ],
)
def test_mistakes_are_named(data, tmp_path, words, message):
    done = run(*(data if word == "DATA" else word for word in words), cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("evaluate.py: error: ") and message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()
