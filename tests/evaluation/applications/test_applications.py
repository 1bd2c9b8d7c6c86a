"""What each application makes of things heard that are known."""

from pathlib import Path

import numpy as np
import pytest

from l3ac_jax.errors import ArgumentError
from l3ac_jax.evaluation.applications.application import by_label, label_of
from l3ac_jax.evaluation.applications.captions import Captions
from l3ac_jax.evaluation.applications.notes import Notes
from l3ac_jax.evaluation.applications.sounds import FOLDS, Sounds, log_mel_statistics
from l3ac_jax.evaluation.applications.voices import Voices
from l3ac_jax.evaluation.applications.words import Words
from l3ac_jax.evaluation.clips import EvaluationClip
from l3ac_jax.metrics.bootstrap import drawn_weights
from l3ac_jax.metrics.notes import Note

RATE = 16000


def clips_of(*names, folder=Path("data")):
    return [EvaluationClip(name, Path(name).parts[0], folder / name) for name in names]


def value(compared, name):
    return float(compared.statistics[name](np.ones((1, compared.units)))[0])


def test_labels_are_folders():
    clips = clips_of("b/x/2.wav", "a.wav", "b/x/1.wav", "b/y/1.wav")
    assert [label_of(clip) for clip in clips] == ["b/x", "a.wav", "b/x", "b/y"]
    assert list(by_label(clips)) == ["a.wav", "b/x", "b/y"] and len(by_label(clips)["b/x"]) == 2


def test_errors_of_words_are_summed_over_clips(tmp_path):
    clips = clips_of("1.wav", "2.wav", "3.wav", folder=tmp_path)
    (tmp_path / "1.txt").write_text("One two, three four five six.\n")
    (tmp_path / "2.txt").write_text("seven eight")
    words = Words()
    assert words.choose(clips).remarks == [
        "1 of 3 clips have no transcript (a .txt file beside them): they count for changed words "
        "alone"
    ]
    originals = ["one two three four five six", "seven ate", ""]
    heard = ["one two four five six", "heaven ate", "nothing"]
    before, after = (words.compare(clips, originals, x) for x in (originals, heard))
    assert value(before, "wer") == pytest.approx(100 / 8)
    assert value(after, "wer") == pytest.approx(300 / 8)  # and not the mean of 17 % and 100 %
    assert value(after, "changed") == pytest.approx(200 / 8)
    assert [row["wer"] for row in after.values] == pytest.approx(
        [100 / 6, 100, np.nan], nan_ok=True
    )


def test_captions_are_compared_with_texts_and_with_those_of_the_originals(tmp_path):
    clips = clips_of("1.wav", "2.wav", folder=tmp_path)
    (tmp_path / "1.txt").write_text("A dog barks.")
    captions = Captions("model")
    assert captions.choose(clips).remarks == [
        "1 of 2 clips have no text (a .txt file beside them): they count for the original's "
        "caption alone"
    ]
    originals, heard = ["a dog", "rain falls"], ["a cat", "rain falls"]
    before, after = (captions.compare(clips, originals, x) for x in (originals, heard))
    assert value(before, "described") == pytest.approx(4 / 5)
    assert value(after, "described") == pytest.approx(2 / 5)
    assert value(after, "kept") == pytest.approx((1 / 2 + 1) / 2)
    assert np.isnan(after.values[1]["described"])


def voices(*angles):
    return [None if a is None else np.array([np.cos(a), np.sin(a)]) for a in angles]


def test_voices_that_stay_apart_are_told_apart():
    clips = clips_of("a/1.wav", "a/2.wav", "b/1.wav", "b/2.wav")
    originals = voices(0.0, 0.1, 1.0, 1.1)
    assert value(Voices().compare(clips, originals, originals), "eer") == 0
    # The codec makes a's voice that of b, and the other way round.
    swapped = voices(1.0, 1.1, 0.0, 0.1)
    assert value(Voices().compare(clips, originals, swapped), "eer") == 100
    alike = voices(0.5, 0.5, 0.5, 0.5)
    assert value(Voices().compare(clips, alike, alike), "eer") == pytest.approx(50)


def test_a_clip_is_not_tested_against_its_own_original():
    clips = clips_of("a/1.wav", "a/2.wav", "b/1.wav", "b/2.wav")
    originals = voices(0.0, 2.0, 1.0, 3.0)  # each is like itself alone, and nearer to the other one
    assert value(Voices().compare(clips, originals, originals), "eer") > 50


def test_without_speech_a_clip_is_like_no_other():
    clips = clips_of("a/1.wav", "a/2.wav", "b/1.wav", "b/2.wav")
    originals = voices(0.0, 0.1, 1.0, 1.1)
    compared = Voices().compare(clips, originals, [None, *originals[1:]])
    assert compared.values[0] == {"same_speaker": -1.0, "other_speakers": -1.0}
    # One of four trials of the same speaker is lost; the lowest of all others passes with it.
    assert 0 < value(compared, "eer") <= 25


def test_trials_of_a_speaker_are_drawn_together():
    clips = clips_of(*(f"{speaker}/{n}.wav" for speaker in "abc" for n in range(3)))
    random = np.random.default_rng(0)
    originals = voices(*(s + random.normal(0, 0.5) for s in range(3) for _ in range(3)))
    compared = Voices().compare(clips, originals, originals)
    assert compared.units == 3
    drawn = compared.statistics["eer"](np.array([[1.0, 2.0, 0.0]]))[0]
    # As if there were no c, and a second b whose trials against the first one nobody makes.
    kept, among = clips[:6], originals[:6]
    only = Voices().compare(kept, among, among).statistics["eer"](np.array([[1.0, 2.0]]))[0]
    assert drawn == pytest.approx(only)
    one_speaker = compared.statistics["eer"](np.array([[3.0, 0.0, 0.0]]))
    assert np.isnan(one_speaker).all()  # no trial of two
    assert len(compared.statistics["eer"](drawn_weights(3, 0, 70))) == 70


def test_sounds_are_known_until_they_sound_otherwise():
    random = np.random.default_rng(0)
    seconds = np.arange(RATE // 2) / RATE
    made = {
        "hiss": lambda: random.normal(0, 0.1, len(seconds)),
        "low": lambda: np.sin(2 * np.pi * random.uniform(100, 200) * seconds),
        "clicks": lambda: np.where(np.arange(len(seconds)) % random.integers(800, 1200) < 4, 1, 0),
    }
    clips = clips_of(*(f"{name}/{n}.wav" for name in made for n in range(6)))
    audios = [make().astype(np.float32) for make in made.values() for _ in range(6)]
    sounds = Sounds()
    originals = [sounds.analyse(audio, RATE) for audio in audios]
    assert value(sounds.compare(clips, originals, originals), "accuracy") == 100
    louder = [sounds.analyse(0.1 * audio, RATE) for audio in audios]
    assert value(sounds.compare(clips, originals, louder), "accuracy") == 100
    hiss = [originals[0]] * len(clips)
    found = sounds.compare(clips, originals, hiss)
    assert value(found, "accuracy") == pytest.approx(100 / 3)
    assert [row["accuracy"] for row in found.values] == [100.0] * 6 + [0.0] * 12
    assert np.isfinite(log_mel_statistics(np.zeros(10, np.float32), RATE)).all()


def test_notes_that_are_lost_count():
    clips = clips_of("1.wav", "2.wav", "3.wav")
    melody = [Note(0.5, 1.0, 60), Note(1.0, 1.5, 64)]
    compared = Notes().compare(clips, [melody, melody, []], [melody, melody[:1], []])
    assert value(compared, "note_f") == pytest.approx((1 + 2 / 3) / 2)
    assert compared.values[1] == {
        "note_f": pytest.approx(2 / 3),
        "notes": 2.0,
        "notes_decoded": 1.0,
    }
    assert np.isnan(compared.values[2]["note_f"])


def test_what_cannot_be_used_is_said():
    one_each = clips_of("a/1.wav", "b/1.wav")
    with pytest.raises(ArgumentError, match="two speakers"):
        Voices().choose(one_each)
    with pytest.raises(ArgumentError, match=r"2 clips in 1 folders"):
        Voices().choose(clips_of("a/1.wav", "a/2.wav"))
    assert Voices().choose([*one_each, *clips_of("b/2.wav")]).remarks == [
        "1 of 2 speakers have one clip: no trial of the same speaker"
    ]
    with pytest.raises(ArgumentError, match=f"two folders with at least {FOLDS} clips.*got 0"):
        Sounds().choose(one_each)
    many = clips_of(*(f"{name}/{n}.wav" for name in "ab" for n in range(FOLDS)))
    chosen = Sounds().choose([*many, *clips_of("c/1.wav")])
    assert chosen.clips == many
    assert chosen.remarks == ["left out, since they have fewer than 5 clips: c"]
