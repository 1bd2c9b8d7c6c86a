"""The whole way: clips, codecs that are known, workers, figures, file and table."""

import json

import numpy as np
import pytest
from rich.console import Console

from l3ac_jax.audio.writing import write_audio
from l3ac_jax.errors import ArgumentError, OutputError
from l3ac_jax.evaluation.applications.measuring import Settings, limit_each, measure
from l3ac_jax.evaluation.applications.report import ApplicationReport, report_table, write_report
from l3ac_jax.evaluation.applications.sounds import Sounds
from l3ac_jax.evaluation.clips import find_clips
from l3ac_jax.evaluation.codecs import Coded
from l3ac_jax.evaluation.report import Codec

RATE = 16000


class Known:
    """A codec that changes audio in a known way."""

    identity = "known"

    def __init__(self, name, change, sample_rate=RATE, kind="l3ac"):
        self.info = Codec(name=name, kind=kind, bitrate=1000, sample_rate=sample_rate)
        self.change = change
        self.lengths = []

    def code(self, audio):
        self.lengths.append(len(audio))
        return Coded(self.change(audio).astype(np.float32), 500.0)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Tones and noise, six of each, half a second long, and a file that is no audio."""
    folder = tmp_path_factory.mktemp("sounds")
    random = np.random.default_rng(0)
    for name in ("noise", "tone"):
        (folder / name).mkdir()
        for number in range(6):
            angle = 2 * np.pi * (200 + 20 * number) * np.arange(RATE // 2) / RATE
            audio = 0.1 * (random.normal(size=len(angle)) if name == "noise" else np.sin(angle))
            path = folder / name / f"{number}.wav"
            write_audio(path, audio[None].astype(np.float32), RATE, "PCM_16")
    (folder / "tone" / "damaged.wav").write_bytes(b"RIFF")
    return folder


@pytest.fixture(scope="module")
def noise():
    """What makes noise of all that it codes, and what leaves all as it is."""
    random = np.random.default_rng(1)
    return Known("noise", lambda audio: 0.1 * random.normal(size=len(audio)))


@pytest.fixture(scope="module")
def report(data, noise):
    codecs = [Known("same", np.array), noise, Known("opus", np.array, kind="opus")]
    return measure(Sounds(), codecs, find_clips(data), "sounds", Settings(workers=2))


def test_figures_are_of_the_original_and_of_each_codec(report):
    figures = {row.codec: row.figures["accuracy"] for row in report.rows}
    assert list(figures) == ["original", "same", "noise", "opus"]
    assert figures["original"].value == figures["same"].value == 100
    assert figures["original"].change is None
    assert (figures["same"].change, figures["same"].change_low) == (0, 0)
    found = figures["noise"]
    assert found.value == 50 and found.change == -50
    assert 15 <= found.low < 40 and 60 < found.high <= 85  # 6 of 12: binomial
    assert found.change_low == pytest.approx(found.low - 100)


def test_values_of_all_clips_are_there(report):
    noisy = next(row for row in report.rows if row.codec == "noise")
    assert [(clip.label, clip.values["accuracy"]) for clip in noisy.clips] == [
        ("noise", 100.0)
    ] * 6 + [("tone", 0.0)] * 6
    assert report.units == 12 and report.seconds == pytest.approx(6)
    assert [row.bitrate for row in report.rows] == [None, 1000, 1000, 1000]
    assert len(report.failures) == 1 and "damaged.wav" in report.failures[0]


def test_files_are_not_overwritten_and_tables_have_intervals(report, tmp_path):
    path = tmp_path / "sounds.json"
    write_report(path, report)
    assert ApplicationReport.model_validate(json.loads(path.read_text())) == report
    with pytest.raises(OutputError, match="already exists"):
        write_report(path, report)
    write_report(path, report, overwrite=True)
    console = Console(width=90)
    with console.capture() as capture:
        console.print(report_table(report, Sounds.metrics))
    lines = capture.get().splitlines()
    assert lines[0].startswith("sounds: 12 clips, 6 s; logistic regression")
    same = next(line for line in lines if line.startswith("same"))
    assert same.split() == ["same", "1000", "100.0", "[100.0,", "100.0]", "+0.0", "[+0.0,", "+0.0]"]


def test_clips_are_cut_and_come_at_the_rate_of_each_codec(data):
    narrow, wide = (Known(f"{rate}", np.array, rate) for rate in (8000, 24000))
    clips = [clip for clip in find_clips(data) if "damaged" not in clip.name]
    report = measure(Sounds(), [narrow, wide], clips, "sounds", Settings(1, seconds=0.2))
    assert set(narrow.lengths) == {1600} and set(wide.lengths) == {4800}
    assert report.seconds == pytest.approx(12 * 0.2)
    assert report.rows[1].figures["accuracy"].value == 100


def test_so_many_clips_of_each_folder(data):
    clips = find_clips(data)
    chosen = limit_each(clips, 2, 0)
    assert [clip.domain for clip in chosen] == ["noise"] * 2 + ["tone"] * 2
    assert chosen == limit_each(clips, 2, 0)
    assert len({tuple(c.name for c in limit_each(clips, 2, seed)) for seed in range(9)}) > 1
    assert limit_each(clips, None, 0) == clips
    with pytest.raises(ArgumentError, match="at least 1 clip of each folder"):
        limit_each(clips, 0, 0)
    with pytest.raises(ArgumentError, match="more than 0 seconds"):
        Settings(seconds=0)
