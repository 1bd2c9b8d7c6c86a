"""Stereo by left and right, mid and side, and mid alone."""

import json

import numpy as np
import pytest

from experiments import stereo
from l3ac_jax.audio.writing import write_audio
from l3ac_jax.evaluation.stereo import WAYS, code_stereo

RATE = 16000
AUDIO = 0.1 * np.random.default_rng(0).normal(size=(2, 4000)).astype(np.float32)


class Lossless:
    """A codec whose tokens are the samples."""

    sample_rate = RATE

    def encode(self, audio):
        return audio

    def decode(self, tokens):
        return np.pad(tokens, ((0, 0), (0, 3)))


@pytest.mark.parametrize("way", WAYS)
def test_what_nothing_is_lost_of_comes_back(way):
    streams, split, join = WAYS[way]
    coded = split(AUDIO)
    assert coded.shape == (streams, 4000)
    if streams == 2:
        np.testing.assert_allclose(join(coded), AUDIO, atol=1e-7)
    else:
        np.testing.assert_allclose(join(coded), np.tile(AUDIO.mean(axis=0), (2, 1)), atol=1e-7)


def test_clips_are_scored_by_each_way():
    rows = {row.way: row for row in code_stereo(Lossless(), [("noise", AUDIO)])}
    assert rows.keys() == WAYS.keys()
    for way in ("left and right", "mid and side"):
        assert rows[way].si_sdr > 100 and rows[way].mel < 1e-5
        assert abs(rows[way].width) < 1e-5
    assert rows["mid alone"].width == -np.inf
    assert rows["mid alone"].image_sdr == pytest.approx(0)


def test_the_script_prints_and_writes(model_folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    (tmp_path / "audio").mkdir()
    write_audio(tmp_path / "audio" / "stereo.wav", AUDIO, RATE)
    write_audio(tmp_path / "audio" / "mono.wav", AUDIO[:1], RATE)
    words = [str(model_folder), str(tmp_path / "audio"), "--out", str(tmp_path / "out.json")]
    assert stereo.main(words) == 0
    shown = capsys.readouterr().out
    assert "1 stereo clips, 0 s; 1 of other channels left out" in shown
    assert "second less first" in shown and "side / its error, dB" in shown
    report = json.loads((tmp_path / "out.json").read_text())
    assert [row["way"] for row in report["clips"]] == list(WAYS)
    assert stereo.main(words) == 2
    assert "already exists" in capsys.readouterr().err


def test_without_stereo_recordings_it_says_so(model_folder, tmp_path, capsys):
    write_audio(tmp_path / "mono.wav", AUDIO[:1], RATE)
    words = [str(model_folder), str(tmp_path / "mono.wav"), "--out", str(tmp_path / "out.json")]
    assert stereo.main(words) == 2
    assert "none of 1 recordings is stereo" in capsys.readouterr().err
