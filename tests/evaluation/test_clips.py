"""Which files are evaluated on, and in which domain they are."""

import shutil
from collections import Counter

import numpy as np
import pytest
import soundfile as sf

from l3ac_jax.errors import TreeError
from l3ac_jax.evaluation.clips import choose_clips, find_clips, read_mono
from tests.conftest import FIXTURES


@pytest.fixture
def tree(tmp_path):
    for name in ("speech/a/1.flac", "speech/2.WAV", "music/3.flac", "4.flac", ".hidden.flac"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"audio, perhaps")
    (tmp_path / "speech" / "2.txt").write_text(" Some words\n")
    return tmp_path


def test_domains_are_the_first_folders(tree):
    clips = find_clips(tree)
    assert {clip.name: clip.domain for clip in clips} == {
        "4.flac": tree.name,
        "music/3.flac": "music",
        "speech/2.WAV": "speech",
        "speech/a/1.flac": "speech",
    }
    assert [clip.transcript for clip in clips] == [None, None, "Some words", None]


def test_folders_without_audio_are_refused(tmp_path):
    with pytest.raises(TreeError, match=r"holds no files that end with .*\.flac"):
        find_clips(tmp_path)
    with pytest.raises(TreeError, match="missing: is neither a folder nor a file"):
        find_clips(tmp_path / "missing")


def test_what_cannot_be_read_is_not_left_out_silently(tree, unreadable):
    unreadable("music")
    with pytest.raises(TreeError, match="music: cannot be read: Permission denied"):
        find_clips(tree)


def test_a_choice_is_even_over_domains_and_repeatable(tmp_path):
    for domain, count in (("few", 2), ("many", 30), ("more", 40)):
        (tmp_path / domain).mkdir()
        for number in range(count):
            (tmp_path / domain / f"{number}.wav").touch()
    clips = find_clips(tmp_path)
    chosen = choose_clips(clips, 12, seed=1)
    assert Counter(clip.domain for clip in chosen) == {"few": 2, "many": 5, "more": 5}
    assert chosen == choose_clips(clips, 12, seed=1) != choose_clips(clips, 12, seed=2)
    assert choose_clips(clips, None, seed=0) == choose_clips(clips, 100, seed=0) == clips
    with pytest.raises(ValueError, match="at least 1 clip"):
        choose_clips(clips, 0, seed=0)


def test_channels_are_averaged_and_resampled(tmp_path):
    shutil.copy(FIXTURES / "librivox_sense_0870.wav", tmp_path / "mono.wav")
    mono, rate = sf.read(tmp_path / "mono.wav", dtype="float32")
    sf.write(tmp_path / "stereo.wav", np.stack([mono, 0 * mono], axis=1), rate, "FLOAT")
    np.testing.assert_allclose(read_mono(tmp_path / "stereo.wav", rate), mono / 2, atol=1e-7)
    assert len(read_mono(tmp_path / "mono.wav", 2 * rate)) == 2 * len(mono)
