"""Correlations by band, by the script."""

import importlib
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from l3ac_jax.audio.writing import write_audio
from l3ac_jax.evaluation.clips import EvaluationClip
from l3ac_jax.evaluation.codecs import Coded
from l3ac_jax.metrics.music import correlations

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
RATE = 16000
NOISE = 0.1 * np.random.default_rng(0).normal(size=RATE).astype(np.float32)


@pytest.fixture
def phases(monkeypatch):
    """The script, which finds its neighbours where it lies."""
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    return importlib.import_module("phases")


def without_phases_above(audio: np.ndarray, edge: float) -> np.ndarray:
    """The same spectrum of magnitudes with other phases from `edge` Hz on."""
    spectrum = np.fft.rfft(audio)
    high = np.fft.rfftfreq(len(audio), 1 / RATE) >= edge
    turns = np.random.default_rng(1).uniform(0, 2 * np.pi, high.sum())
    spectrum[high] *= np.exp(1j * turns)
    return np.fft.irfft(spectrum, len(audio)).astype(np.float32)


class Noisy:
    """A codec that keeps phases up to 1 kHz."""

    info = SimpleNamespace(sample_rate=RATE)

    def code(self, audio):
        return Coded(without_phases_above(audio, 1000), 0.0)


def test_the_band_where_phases_end_is_found_and_bands_past_half_the_rate_have_none(
    phases, tmp_path
):
    path = tmp_path / "noise.wav"
    write_audio(path, NOISE[None], RATE)
    clips = [EvaluationClip("noise.wav", "all", path)]
    edges = (0, 500, 1000, 2000, 8000, 12000)
    ((name, row),) = phases.of_codec(Noisy(), clips, edges)  # pyright: ignore[reportArgumentType]
    assert name == "noise.wav"
    assert row[:2] == pytest.approx([1, 1], abs=1e-3)  # 16 bits of the file
    assert np.abs(row[2:4]).max() < 0.15  # 1 kHz of a second has 1,000 independent phases
    assert np.isnan(row[4])


@pytest.mark.parametrize("cut", [100.0, 999.0, 4321.0])
def test_bands_that_meet_share_no_frequency(cut):
    """So that the whole is made of its parts."""
    decoded = without_phases_above(NOISE, cut)
    below, above = correlations(NOISE, decoded, RATE, [(0, cut), (cut, np.inf)])
    assert below == pytest.approx(1, abs=1e-6) and abs(above) < 0.1


def test_the_script_prints_and_writes(phases, model_folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    write_audio(tmp_path / "noise.wav", NOISE[None], RATE)
    out = tmp_path / "out.json"
    words = [str(model_folder), str(tmp_path / "noise.wav"), "--out", str(out)]
    assert phases.main([*words, "--edges", "0", "1000", "20000"]) == 0
    shown = capsys.readouterr().out
    assert "0 to 1000" in shown and "1000 to 20000" in shown
    report = json.loads(out.read_text())
    ((low, none),) = report["correlation"][str(model_folder)].values()
    assert report["edges"] == [0, 1000, 20000] and -1 <= low <= 1 and none is None
    assert phases.main(words) == 2
    assert "already exists" in capsys.readouterr().err


@pytest.mark.parametrize("edges", [("5",), ("0", "0"), ("3", "2"), ("-1", "2")])
def test_edges_that_do_not_rise_are_one_error(phases, edges, tmp_path, capsys):
    words = ["small", str(tmp_path), "--out", str(tmp_path / "out.json"), "--edges", *edges]
    assert phases.main(words) == 2
    assert "--edges: two or more that rise from 0 or above, got: " in capsys.readouterr().err
