"""An evaluation from end to end, on codecs whose results are known."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest

from l3ac_jax.audio.reading import read_audio
from l3ac_jax.audio.writing import write_audio
from l3ac_jax.codec.pretrained import get_model
from l3ac_jax.errors import OutputError
from l3ac_jax.evaluation.clips import find_clips
from l3ac_jax.evaluation.codecs import Coded, NeuralCodec
from l3ac_jax.evaluation.evaluate import Settings, audio_path, evaluate
from l3ac_jax.evaluation.report import Codec, read_report
from l3ac_jax.evaluation.tables import report_tables
from l3ac_jax.metrics.speech import stoi
from tests.conftest import FIXTURES

RATE = 16000
SETTINGS = Settings(workers=1)


class Noise:
    """Adds noise of a level; counts what it codes."""

    def __init__(self, level: float, name: str = "noise", rate: int = RATE):
        self.level = level
        self.info = Codec(
            name=name,
            kind="l3ac",
            bitrate=800,
            sample_rate=rate,
            frame_rate=100,
            codebook_size=256,
            levels=(16, 16),
        )
        self.identity = f"noise {level}"
        self.coded = 0

    def code(self, audio):
        self.coded += 1
        noise = np.random.default_rng(0).normal(0, self.level, len(audio))
        tokens = np.arange(len(audio) // 160) % 256
        decoded = (audio + noise).astype(np.float32)
        seconds = len(audio) / self.info.sample_rate
        return Coded(decoded, 8.0 * len(tokens), tokens, 0.1 * seconds, 0.2 * seconds)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Two domains, three clips of speech of 1 s and one that is damaged."""
    folder = tmp_path_factory.mktemp("data")
    speech = read_audio(FIXTURES / "librivox_sense_0870.wav").samples[0]
    for number, name in enumerate(("one/a.flac", "one/b.flac", "two/c.flac")):
        (folder / name).parent.mkdir(exist_ok=True)
        start = 8000 + 20000 * number
        write_audio(folder / name, speech[None, start : start + 16000], RATE, "PCM_16")
    (folder / "two" / "d.flac").write_bytes(b"no audio")
    return folder


@pytest.fixture(scope="module")
def evaluated(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("evaluation")
    codecs = [Noise(0.001, "little"), Noise(0.05, "much")]
    return evaluate(codecs, find_clips(data), out, "data", SETTINGS), out


def test_scores_are_those_of_the_files_that_are_left(data, evaluated):
    report, out = evaluated
    for row in report.clips:
        reference = read_audio(data / row.clip).samples[0]
        decoded = read_audio(audio_path(out, row.codec, row.clip)).samples[0]
        assert row.scores["stoi"] == stoi(reference, decoded, RATE)
        assert row.scores["encode_rtf"] == pytest.approx(0.1)
    assert {(row.codec, row.clip) for row in report.clips} == {
        (codec, clip) for codec in ("little", "much") for clip in ("one/a.flac", "one/b.flac",
                                                                    "two/c.flac")
    }  # fmt: skip


def test_a_damaged_file_is_named_and_left_out(evaluated):
    report, _ = evaluated
    (failure,) = report.failures
    assert "two/d.flac: " in failure and "is not an audio file" in failure


def test_summaries_are_means_of_their_domain(evaluated):
    report, _ = evaluated
    assert [s.domain for s in report.summaries] == ["one", "two", "all"] * 2
    for domain, clips in (("one", 2), ("two", 1), ("all", 3)):
        rows = [r for r in report.clips if r.codec == "much" and domain in (r.domain, "all")]
        summary = report.summary("much", domain)
        assert summary.clips == summary.scores["pesq"].clips == len(rows) == clips
        mean = np.mean([row.scores["si_sdr"] for row in rows])
        assert summary.scores["si_sdr"].mean == pytest.approx(mean)
    everything = report.summary("little")
    assert everything.codebook["usage"] == pytest.approx(100 * 100 / 256)
    assert everything.codebook["perplexity"] == pytest.approx(100)
    assert report.summary("little").scores["stoi"].mean > report.summary("much").scores["stoi"].mean


def test_the_files_say_the_same_as_the_report(evaluated):
    report, out = evaluated
    assert read_report(out) == report
    with (out / "clips.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(report.clips)
    for row, clip in zip(rows, report.clips, strict=True):
        assert (row["codec"], row["clip"], row["domain"]) == (clip.codec, clip.clip, clip.domain)
        assert float(row["mel"]) == pytest.approx(clip.scores["mel"], rel=1e-5)
    tables = report_tables(report)
    assert [table.title for table in tables] == [
        "one: 2 clips, 2 s",
        "two: 1 clip, 1 s",
        "all: 3 clips, 3 s",
    ]
    cells = dict(zip(*(list(column.cells) for column in tables[2].columns[:2]), strict=True))
    stoi_of_all = report.summary("little").scores["stoi"]
    half = (stoi_of_all.high - stoi_of_all.low) / 2
    assert cells["STOI"] == f"{stoi_of_all.mean:.3f} ±{half:.3f}"
    assert cells["bit/s"] == "800" and cells["perplexity"] == "100"


def test_a_table_has_the_scores_that_fit_its_domain(evaluated):
    report, _ = evaluated
    (part,) = (s for s in report.summaries if (s.codec, s.domain) == ("little", "all"))
    scores = part.scores | {"visqol": part.scores["pesq"], "note_f": part.scores["stoi"]}
    named = [
        part.model_copy(update={"domain": name, "scores": scores})
        for name in ("speech", "music", "birds")
    ]
    tables = report_tables(report.model_copy(update={"summaries": tuple(named)}))
    speech, music, birds = (set(table.columns[0].cells) for table in tables)
    of_speech = {"STOI", "ESTOI", "F0 correlation", "voicing error (%)"}
    of_music = {"ViSQOL audio (MOS)", "notes, F-measure"}
    assert of_speech < speech and not of_music & speech
    assert of_music < music and not of_speech & music
    assert birds == speech | music


def test_a_second_run_computes_nothing_and_says_the_same(data, evaluated):
    report, out = evaluated
    again = Noise(0.001, "little")
    settings = Settings(workers=0)  # no process that could score
    assert evaluate([again], find_clips(data), out, "data", settings).clips == report.clips[:3]
    assert again.coded == 0


def test_only_what_is_missing_is_computed_again(data, evaluated):
    report, out = evaluated
    audio_path(out, "much", "one/b.flac").unlink()
    lines = (out / "little" / "scores.jsonl").read_text().splitlines(keepends=True)
    (out / "little" / "scores.jsonl").write_text("".join(lines[:-1]) + lines[-1][:40])  # killed
    codecs = [Noise(0.001, "little"), Noise(0.05, "much")]
    assert evaluate(codecs, find_clips(data), out, "data", SETTINGS) == report
    assert [codec.coded for codec in codecs] == [0, 1]


def test_a_changed_recording_is_evaluated_anew(data, tmp_path):
    clips = find_clips(data / "one" / "a.flac")
    codec = Noise(0.001)
    first = evaluate([codec], clips, tmp_path / "out", "data", SETTINGS)
    original = clips[0].path.read_bytes()
    write_audio(clips[0].path, read_audio(data / "one" / "b.flac").samples, RATE, "PCM_16", True)
    second = evaluate([codec], clips, tmp_path / "out", "data", SETTINGS)
    clips[0].path.write_bytes(original)
    assert codec.coded == 2
    assert first.clips[0].scores["si_sdr"] != second.clips[0].scores["si_sdr"]


def test_results_of_another_codec_of_the_same_name_are_not_mixed_in(data, evaluated):
    _, out = evaluated
    with pytest.raises(OutputError, match=r"little/coded\.jsonl: holds results of another codec"):
        evaluate([Noise(0.01, "little")], find_clips(data), out, "data", SETTINGS)


def test_codecs_of_several_rates_are_scored_at_the_highest(tmp_path):
    """What a codec of 16 kHz misses above 8 kHz is missing; one of 24 kHz has it."""
    random = np.random.default_rng(0)
    (tmp_path / "data").mkdir()
    hiss = random.normal(0, 0.1, (1, 24001)).astype(np.float32)  # as loud at all frequencies
    write_audio(tmp_path / "data" / "a.wav", hiss, 24000, "PCM_16")
    clips = find_clips(tmp_path / "data")
    low, high = Noise(1e-5, "low"), Noise(1e-5, "high", 24000)
    report = evaluate([low, high], clips, tmp_path / "out", "data", SETTINGS)
    scores = {row.codec: row.scores for row in report.clips}
    assert {row.seconds for row in report.clips} == {16001 / 16000, 24001 / 24000}
    # Of 12 kHz, 7.6 are left (soxr's filter begins there): 10·log10(7.6 / 4.4) = 2.4 dB.
    assert scores["low"]["si_sdr"] == pytest.approx(2.4, abs=0.3)
    assert scores["high"]["si_sdr"] > 60
    # Alone, it is scored at its own rate, anew.
    alone = evaluate([low], clips, tmp_path / "out", "data", SETTINGS)
    assert alone.clips[0].scores["si_sdr"] > 60 and low.coded == 1


def test_names_must_be_told_apart(data, tmp_path):
    with pytest.raises(ValueError, match="codecs need different names: got a_b, a_b"):
        evaluate([Noise(1, "a/b"), Noise(1, "a b")], find_clips(data), tmp_path, "data", SETTINGS)


def test_a_file_is_no_folder_for_results(data, tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(OutputError, match="out: exists and is not a folder"):
        evaluate([Noise(1)], find_clips(data), tmp_path / "out", "data", SETTINGS)


def test_a_codec_of_this_package_gives_what_it_reconstructs(data, model_folder, tmp_path):
    codec = get_model(model_folder)
    clips = find_clips(data / "one" / "a.flac")
    report = evaluate([NeuralCodec("small", codec)], clips, tmp_path, "data", SETTINGS)
    audio = read_audio(clips[0].path).samples
    decoded = read_audio(audio_path(tmp_path, "small", clips[0].name)).samples
    # Written with 16 bits.
    np.testing.assert_allclose(decoded, np.asarray(codec.reconstruct(audio)), atol=1 / 32768)
    coded = [json.loads(line) for line in (tmp_path / "small/coded.jsonl").read_text().splitlines()]
    np.testing.assert_array_equal(coded[1]["result"]["tokens"], np.asarray(codec.encode(audio))[0])
    info = report.codec("small")
    assert info.codebook_size == codec.codebook_size == math.prod(info.levels)
    assert report.summary("small").scores["decode_rtf"].mean > 0
