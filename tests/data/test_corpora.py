"""Corpora in their publishers' layouts: which recordings they hold, with splits, ids and texts."""

import shutil

import pytest

from l3ac_jax.data.corpora import find_recordings
from l3ac_jax.data.recordings import read_pieces
from l3ac_jax.errors import LayoutError
from tests.data import trees
from tests.data.trees import CUT, listed


def test_librispeech(tmp_path):
    source = trees.librispeech(tmp_path)
    expected = [
        ("1272-128104-0000", "validation", "dev-clean/1272/128104/1272-128104-0000.flac",
         "SENTENCE NUMBER 0"),
        ("1688-142285-0000", "test", "test-other/1688/142285/1688-142285-0000.flac",
         "SENTENCE NUMBER 0"),
        ("19-198-0000", "train", "train-clean-100/19/198/19-198-0000.flac", "SENTENCE NUMBER 0"),
        ("19-198-0001", "train", "train-clean-100/19/198/19-198-0001.flac", "SENTENCE NUMBER 1"),
        ("20-205-0000", "train", "train-other-500/20/205/20-205-0000.flac", "SENTENCE NUMBER 0"),
    ]  # fmt: skip
    assert listed("librispeech", source) == expected
    assert listed("librispeech", source / "LibriSpeech") == expected


def test_common_voice(tmp_path):
    source = trees.common_voice(tmp_path)
    expected = [
        ("common_voice_en_100", "train", "en/clips/common_voice_en_100.mp3", 'He said "no'),
        ("common_voice_en_101", "train", "en/clips/common_voice_en_101.mp3", "Two."),
        ("common_voice_en_102", "validation", "en/clips/common_voice_en_102.mp3", "Tabs, none."),
        ("common_voice_en_103", "test", "en/clips/common_voice_en_103.mp3", "Très bien!"),
    ]
    for place in (source, source / "en", source.parent):
        assert listed("common-voice", place) == expected


def test_mtg_jamendo(tmp_path):
    source = trees.mtg_jamendo(tmp_path)
    expected = [
        ("track_0000948", "train", "raw_30s_audio-low-48.tar/48/948.low.mp3", None),
        ("track_0001000", "train", "raw_30s_audio-low-00.tar/00/1000.low.mp3", None),
        ("track_0001048", "validation", "raw_30s_audio-low-48.tar/48/1048.low.mp3", None),
        ("track_0002100", "test", "raw_30s_audio-low-00.tar/00/2100.low.mp3", None),
    ]
    assert listed("mtg-jamendo", source) == expected
    assert listed("mtg-jamendo", source / "data") == expected
    for recording in find_recordings("mtg-jamendo", source):
        (piece,) = read_pieces(recording, CUT)
        assert len(piece) == pytest.approx(2.6 * 16000, abs=1200)  # MP3 pads to whole frames


def test_tracks_of_an_archive_that_was_not_downloaded_are_reported(tmp_path):
    source = trees.mtg_jamendo(tmp_path)
    (source / "data" / "audios" / "raw_30s_audio-low-48.tar").unlink()
    missing = [r for r in find_recordings("mtg-jamendo", source) if r.bytes is None]
    assert [r.id for r in missing] == ["track_0000948", "track_0001048"]
    with pytest.raises(ValueError, match="does not exist"):
        read_pieces(missing[0], CUT)


def test_an_incomplete_archive_is_named(tmp_path):
    source = trees.mtg_jamendo(tmp_path)
    archive = source / "data" / "audios" / "raw_30s_audio-low-48.tar"
    archive.write_bytes(archive.read_bytes()[:12000])
    with pytest.raises(LayoutError, match=r"raw_30s_audio-low-48\.tar: is not a complete tar"):
        find_recordings("mtg-jamendo", source)


def test_fsd50k(tmp_path):
    source = trees.fsd50k(tmp_path)
    assert listed("fsd50k", source) == [
        ("64760", "train", "FSD50K.dev_audio/64760.wav", None),
        ("16399", "validation", "FSD50K.dev_audio/16399.wav", None),
        ("37199", "test", "FSD50K.eval_audio/37199.wav", None),
    ]


def test_folder(tmp_path):
    source = trees.folder(tmp_path / "clips", count=8)
    (source / "notes.txt").write_text("no audio")
    suffixes = ("wav", "flac", "ogg", "mp3")
    names = [f"speaker{n}/clip{k:03d}.{suffixes[n]}" for n in range(4) for k in (n, n + 4)]
    assert listed("folder", source) == [(name, "train", name, None) for name in names]


@pytest.mark.parametrize("share", [0.01, 0.25, 0.5, 0.99])
def test_whole_folders_are_held_out(tmp_path, share):
    source = trees.folder(tmp_path, count=12)
    recordings = find_recordings("folder", source, held_out=share)
    splits = {}
    for recording in recordings:
        splits.setdefault(recording.path.parent, set()).add(recording.split)
    assert all(len(split) == 1 for split in splits.values())
    held_out = sum(r.split == "validation" for r in recordings)
    assert held_out == {0.01: 3, 0.25: 3, 0.5: 6, 0.99: 9}[share]
    assert recordings == find_recordings("folder", source, held_out=share)


@pytest.mark.parametrize("big", ["a", "b", "c"])
def test_a_big_folder_is_not_held_out_for_a_small_share(tmp_path, big):
    for name in "abc":
        for n in range(40 if name == big else 2):
            trees.write(tmp_path / name / f"{n}.wav", trees.speech(0.1))
    for share in (0.01, 0.06, 0.2):
        recordings = find_recordings("folder", tmp_path, held_out=share)
        assert sum(r.split == "validation" for r in recordings) == (4 if share == 0.2 else 2)


def test_links_are_followed_once(tmp_path):
    tree = trees.folder(tmp_path / "tree", count=4)
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "one").symlink_to(tree / "speaker1")
    (linked / "round").symlink_to(linked)
    assert [name for name, *_ in listed("folder", linked)] == ["one/clip001.flac"]


def test_folders_that_may_not_be_read_are_named(tmp_path, unreadable):
    tree = trees.folder(tmp_path, count=4)
    unreadable("speaker2")
    with pytest.raises(LayoutError, match="speaker2: cannot be read: Permission denied"):
        find_recordings("folder", tree)


def test_the_first_releases_of_common_voice_leave_out_the_ending(tmp_path):
    source = trees.common_voice(tmp_path)
    expected = find_recordings("common-voice", source)
    for table in (source / "en").glob("*.tsv"):
        table.write_text(table.read_text().replace(".mp3", ""), encoding="utf-8-sig")
    assert find_recordings("common-voice", source) == expected


def test_names_in_other_encodings_are_spelt_out(tmp_path):
    source = trees.folder(tmp_path, count=1)
    shutil.copy(source / "speaker0" / "clip000.wav", bytes(source) + b"/caf\xe9.wav")
    assert listed("folder", source)[0][0] == "caf\\xe9.wav"


@pytest.mark.parametrize(
    ("corpus", "message"),
    [
        ("librispeech", "has no folder such as train-clean-100"),
        ("common-voice", "has no folder clips"),
        ("mtg-jamendo", "has neither splits/split-0 nor data/splits/split-0"),
        ("fsd50k", "has no folder FSD50K.ground_truth"),
        ("folder", "has no audio files that can be read"),
    ],
)
def test_what_is_no_such_corpus_is_refused(tmp_path, corpus, message):
    with pytest.raises(LayoutError, match=message) as error:
        find_recordings(corpus, tmp_path)
    assert str(tmp_path) in str(error.value)


@pytest.mark.parametrize(
    ("table", "content", "message"),
    [
        ("train.tsv", "path\tage\na.mp3\t20\n", "train.tsv: its header has no column sentence"),
        ("dev.tsv", "", "dev.tsv: its header has no column path, sentence"),
        ("dev.tsv", "client_id\tpath\tsentence\nabc\n", "dev.tsv, line 2: has too few columns"),
        ("test.tsv", None, "test.tsv: cannot be read: No such file"),
        ("test.tsv", b"path\tsentence\n\xff\xfe\tx\n", "test.tsv: is not a table in UTF-8"),
    ],
)
def test_tables_that_make_no_sense_are_named(tmp_path, table, content, message):
    source = trees.common_voice(tmp_path)
    path = source / "en" / table
    path.unlink()
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(LayoutError, match=message):
        find_recordings("common-voice", source)


def test_impossible_shares_are_refused(tmp_path):
    source = trees.folder(tmp_path, count=4)
    with pytest.raises(LayoutError, match="must be at least 0 and less than 1, got 1"):
        find_recordings("folder", source, held_out=1)
    with pytest.raises(LayoutError, match="all 1 files lie in one folder"):
        find_recordings("folder", source / "speaker0", held_out=0.1)
    with pytest.raises(LayoutError, match="librispeech has splits of its own"):
        find_recordings("librispeech", source, held_out=0.1)
