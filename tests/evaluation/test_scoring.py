"""Scores on all cores: the functions' own, and no clip ends the others."""

from pathlib import Path

import numpy as np
import pytest

from l3ac_jax.audio.reading import read_audio
from l3ac_jax.audio.writing import write_audio
from l3ac_jax.errors import MissingPackageError
from l3ac_jax.evaluation.scoring import SIGNAL_SCORES, Extras, ScoringJob, score_job, score_jobs
from l3ac_jax.metrics import learned, notes, signals
from l3ac_jax.metrics.speech import pesq_wb, stoi
from tests.conftest import FIXTURES
from tests.evaluation.crashing_job import CrashingJob

RATE = 16000


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """1.5 s of speech, and the same with noise at two levels."""
    folder = tmp_path_factory.mktemp("scoring")
    clip = read_audio(FIXTURES / "librivox_sense_0870.wav").samples[0, 8000:32000]
    noise = np.random.default_rng(0).normal(0, 1, len(clip)).astype(np.float32)
    paths = []
    for level in (0, 0.01, 0.1):
        paths.append(folder / f"{level}.flac")
        write_audio(paths[-1], (clip + level * noise)[None], RATE, "PCM_16", overwrite=True)
    return paths


def test_scores_are_those_of_the_functions(files):
    job = ScoringJob("clip", files[0], tuple(files[1:]), RATE)
    ((scored, results),) = score_jobs([job], workers=1)
    assert scored is job and not isinstance(results, str) and len(results) == 2
    reference = read_audio(files[0]).samples[0]
    for path, scores in zip(files[1:], results, strict=True):
        decoded = read_audio(path).samples[0]
        pitches = [signals.pitch_of(x, RATE) for x in (reference, decoded)]
        expected = {
            "pesq": pesq_wb(reference, decoded, RATE),
            "stoi": stoi(reference, decoded, RATE),
            "estoi": stoi(reference, decoded, RATE, extended=True),
            "si_sdr": signals.si_sdr(reference, decoded),
            "lsd": signals.log_spectral_distance(reference, decoded, RATE),
            "mel": signals.mel_distance(reference, decoded, RATE),
            **signals.pitch_scores(*pitches),
        }
        assert tuple(scores) == SIGNAL_SCORES == tuple(expected)
        np.testing.assert_equal(scores, expected)


def test_a_clip_that_crashes_or_cannot_be_read_costs_no_other(files):
    good = [ScoringJob(f"good {n}", files[0], (files[1],), RATE) for n in range(3)]
    crashing = CrashingJob("crashing", files[0], (files[1],), RATE)
    missing = ScoringJob("missing", files[0], (Path("nowhere.flac"),), RATE)
    results = dict(score_jobs([good[0], crashing, good[1], missing, good[2]], workers=2))
    assert results[crashing] == "the process that computed its scores crashed"
    assert results[missing] == "nowhere.flac: does not exist"
    assert all(len(results[job]) == 1 and not isinstance(results[job], str) for job in good)


class Recognizer:
    """Hears fewer words, the more noise there is; no model of faster-whisper is at hand."""

    def transcribe(self, audio, **_):
        loud = audio.std() > 0.12
        words = [" one two", " four. "] if loud else [" One two three,", " four. "]
        return (Segment(text) for text in words), None


class Segment:
    def __init__(self, text):
        self.text = text


@pytest.mark.parametrize(
    ("transcript", "expected"),
    [(None, [0, 25]), ("one two three four five", [20, 40])],  # without one, the original's words
)
def test_word_errors_are_those_against_the_transcript(files, monkeypatch, transcript, expected):
    asked = []
    monkeypatch.setattr(learned, "_recognizer", lambda model: asked.append(model) or Recognizer())
    extras = Extras(words="tiny.en")
    job = ScoringJob("clip", files[0], tuple(files[1:]), RATE, extras, transcript)
    assert [scores["wer"] for scores in score_job(job)] == pytest.approx(expected)
    assert set(asked) == {"tiny.en"}


def test_notes_are_compared_with_those_of_the_original(files, monkeypatch):
    song = [notes.Note(0.1 * k, 0.1 * k + 0.09, 60 + k) for k in range(10)]
    heard = iter([song, song, song, song[:5]])  # the original and the decoded audio, in turn
    monkeypatch.setattr(notes, "transcribe_notes", lambda audio, rate: next(heard))
    extras = Extras(notes=True)
    assert extras.names == ("note_f",)
    job = ScoringJob("clip", files[0], tuple(files[1:]), RATE, extras)
    # Half of the notes, and no other: 2 * 0.5 * 1 / (0.5 + 1).
    assert [scores["note_f"] for scores in score_job(job)] == pytest.approx([1, 2 / 3])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match="needs the model of basic-pitch"):
        extras.check()
