"""Notes of posteriors that are known, windows that join, and what two transcriptions share."""

import importlib.util

import numpy as np
import pytest

from l3ac_jax.errors import MissingPackageError
from l3ac_jax.metrics import notes
from l3ac_jax.metrics.notes import HOP, RATE, WINDOW, Note, note_f_measure, notes_of


def note(begin, end, key):
    """As a note of so many frames is written."""
    return Note(begin * HOP / RATE, end * HOP / RATE, key)


def posteriors(*played, frames=200):
    """(key, first frame, frame after the last)."""
    sounding, onsets = np.zeros((frames, 88)), np.zeros((frames, 88))
    for key, begin, end in played:
        sounding[begin:end, key] = 0.8
        onsets[begin, key] = 0.9
    return sounding, onsets


def test_a_note_lasts_as_long_as_its_key_sounds():
    sounding, onsets = posteriors((48, 30, 90), (52, 20, 60), (40, 100, 105))
    found = notes_of(sounding, onsets)
    assert found == [  # the third is too short for a note
        note(20, 60, 73),
        note(30, 90, 69),
    ]


def test_a_short_pause_is_within_a_note_and_a_new_onset_begins_one():
    sounding, onsets = posteriors((48, 10, 50), (48, 58, 100), (48, 130, 160))
    onsets[58] = 0
    assert notes_of(sounding, onsets) == [note(10, 100, 69), note(130, 160, 69)]
    onsets[70, 48] = 0.6
    expected = [note(10, 70, 69), note(70, 100, 69), note(130, 160, 69)]
    assert notes_of(sounding, onsets) == expected
    onsets[70, 48] = 0.4  # no onset
    assert len(notes_of(sounding, onsets)) == 2


class Loudness:
    """A model that finds every key as loud as the samples of its frame are."""

    def run(self, outputs, inputs):
        window = inputs[notes.INPUT][0, :, 0]
        assert window.shape == (WINDOW,) and window.dtype == np.float32
        padded = np.pad(window, (0, notes.FRAMES * HOP - WINDOW))
        frames = np.abs(padded).reshape(notes.FRAMES, HOP).mean(axis=1)
        found = np.repeat(frames[None, :, None], 88, axis=2)
        return [found, np.where(np.diff(found, axis=1, prepend=found[:, :1]) > 0.5, 1.0, 0.0)]


def test_windows_join_without_a_seam(monkeypatch):
    monkeypatch.setattr(notes, "_session", Loudness)
    frames = 700  # about eight seconds: five windows
    audio = np.zeros(frames * HOP, np.float32)
    starts = range(5, 680, 23)
    for start in starts:
        audio[start * HOP : (start + 14) * HOP] = 0.9
    found = [played for played in notes.transcribe_notes(audio, RATE) if played.key == 69]
    assert found == [note(s, s + 14, 69) for s in starts]
    assert notes.transcribe_notes(np.zeros(10, np.float32), RATE) == []


def test_notes_are_the_same_within_50_ms_and_50_cents():
    reference = [Note(0.5, 1.0, 60), Note(1.0, 1.5, 64)]
    assert note_f_measure(reference, reference) == 1
    assert note_f_measure(reference, [Note(s + 0.04, s + 0.2, k) for s, _, k in reference]) == 1
    assert note_f_measure(reference, [Note(s + 0.06, e, k) for s, e, k in reference]) == 0
    assert note_f_measure(reference, [Note(s, e, k + 1) for s, e, k in reference]) == 0
    assert note_f_measure(reference, reference[:1]) == pytest.approx(2 / 3)
    assert note_f_measure(reference, []) == note_f_measure([], reference) == 0
    assert np.isnan(note_f_measure([], []))


def test_without_the_model_it_is_said_how_to_have_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match=r"pip install --no-deps basic-pitch"):
        notes.require()


@pytest.mark.skipif(
    importlib.util.find_spec("basic_pitch") is None,
    reason="basic-pitch is in no extra, as the TensorFlow that it pins does not work",
)
def test_the_model_hears_a_melody():
    seconds = np.arange(8000) / 16000  # half a second for each note
    keys = [60, 64, 67, 72]
    tones = [
        sum(np.sin(2 * np.pi * n * 440 * 2 ** ((k - 69) / 12) * seconds) / n for n in (1, 2, 3, 4))
        * np.exp(-4 * seconds)
        for k in keys
    ]
    audio = np.concatenate([np.zeros(8000), *tones]).astype(np.float32)
    found = notes.transcribe_notes(0.3 * audio, 16000)
    expected = [Note(0.5 * (n + 1), 0.5 * (n + 2), key) for n, key in enumerate(keys)]
    assert note_f_measure(expected, found) > 0.85
