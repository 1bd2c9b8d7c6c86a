"""Shards: the whole corpus is in them, and they are the same to the byte whatever happens."""

import csv
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experiments import prepare_data
from l3ac_jax.data.corpora import find_recordings
from l3ac_jax.data.dataset import ClipSource, read_dataset_info
from l3ac_jax.data.prepare import prepare
from l3ac_jax.data.recordings import Cut, read_pieces
from l3ac_jax.data.shard import make_shard, plan_shards
from l3ac_jax.errors import PrepareError, SourceError
from tests.data import trees
from tests.data.trees import CUT

ROOT = Path(__file__).parents[2]
FOLDER_CUT = replace(CUT, piece_seconds=30.0)  # what the command has for folders


def contents(target: Path) -> dict[str, bytes]:
    return {
        path.relative_to(target).as_posix(): path.read_bytes()
        for path in target.rglob("*")
        if path.is_file() and path.name != "lock"
    }


def clips(target: Path, corpus: str, split: str) -> ClipSource:
    return ClipSource(target, read_dataset_info(target, corpus), split)


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    return trees.folder(tmp_path_factory.mktemp("source"), count=150)


@pytest.fixture(scope="module")
def undisturbed(source, tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp("undisturbed") / "made"
    prepare("folder", source, target, FOLDER_CUT, workers=1)
    return target


def test_a_recording_that_is_not_whole_is_used_in_part_and_listed(tmp_path, capsys):
    for name in ("a.wav", "b.wav"):
        trees.write(tmp_path / "source" / name, trees.speech(2))
    data = (tmp_path / "source" / "a.wav").read_bytes()
    (tmp_path / "source" / "a.wav").write_bytes(data[: 44 + 16000])
    words = ["folder", tmp_path / "source", tmp_path / "made", "--workers", 1]
    assert prepare_data.main([str(word) for word in words]) == 0
    listed = tmp_path / "made" / "skipped.tsv"
    (_, line) = listed.read_text().splitlines()
    assert line.startswith("a.wav\tused in part: is not whole: 1.50 s of 2.00 s are missing")
    assert f"1 used in part, since they are not whole: listed in {listed}" in " ".join(
        capsys.readouterr().out.split()
    )
    lengths = sorted(clip.info.samples for clip in clips(tmp_path / "made", "folder", "train"))
    assert lengths == [8000, 32000]


@pytest.mark.parametrize("corpus", ["librispeech", "common-voice", "mtg-jamendo", "fsd50k"])
def test_every_corpus_comes_out_whole(tmp_path, corpus):
    source = getattr(trees, corpus.replace("-", "_"))(tmp_path)
    info, skipped = prepare(corpus, source, tmp_path / "made", CUT, workers=1)
    assert not skipped
    recordings = find_recordings(corpus, source)
    assert sum(split.clips for split in info.splits.values()) == len(recordings)
    for split in ("train", "validation", "test"):
        expected = [r for r in recordings if r.split == split]
        found = list(clips(tmp_path / "made", corpus, split))
        assert [(f.info.id, f.info.source, f.info.text) for f in found] == [
            (r.id, r.source, r.text) for r in expected
        ]
        for record, recording in zip(found, expected, strict=True):
            np.testing.assert_array_equal(record.audio() * 32768, read_pieces(recording, CUT)[0])
            assert record.info.sample_rate == 16000
        seconds = sum(record.info.samples for record in found) / 16000
        assert info.splits[split].seconds == pytest.approx(seconds, abs=0.0006)


def test_long_recordings_become_pieces(tmp_path):
    source = trees.mtg_jamendo(tmp_path)
    cut = Cut(16000, 0.1, 1e-3, piece_seconds=1.0)
    prepare("mtg-jamendo", source, tmp_path / "made", cut, workers=1)
    found = list(clips(tmp_path / "made", "mtg-jamendo", "validation"))
    assert [record.info.id for record in found] == [f"track_0001048#{n:03d}" for n in range(3)]
    assert [record.info.samples for record in found[:2]] == [16000, 16000]


def test_shards_do_not_depend_on_the_number_of_workers(source, undisturbed, tmp_path):
    prepare("folder", source, tmp_path / "made", FOLDER_CUT, workers=3)
    assert contents(tmp_path / "made") == contents(undisturbed)


def test_the_dataset_describes_its_shards(undisturbed):
    info = read_dataset_info(undisturbed, "folder")
    assert len(info.splits["train"].shards) == 10  # 16 files each: the smallest shard
    for shard in info.splits["train"].shards:
        content = (undisturbed / shard.file).read_bytes()
        assert (shard.bytes, shard.sha256) == (len(content), hashlib.sha256(content).hexdigest())


def test_shards_are_cut_by_number_and_size(tmp_path):
    recordings = find_recordings("folder", trees.folder(tmp_path, count=40))
    assert [len(plan.recordings) for plan in plan_shards(recordings, "train")] == [16, 16, 8]
    plans = plan_shards(recordings, "train", max_bytes=100_000)
    assert [r for plan in plans for r in plan.recordings] == recordings
    assert all(plan.bytes <= 100_000 or len(plan.recordings) == 1 for plan in plans)
    many = plan_shards(recordings * 100, "train")
    assert {len(plan.recordings) for plan in many[:-1]} == {63} and len(many) == 64


def test_what_cannot_be_used_is_listed_and_nothing_else_is_lost(source, tmp_path):
    tree = trees.folder(tmp_path / "tree", count=6)
    silence = np.zeros(16000, np.int16)
    trees.write(tree / "silent.wav", silence)
    trees.write(tree / "short.wav", silence[:100])
    (tree / "empty.flac").write_bytes(b"")
    (tree / "broken\tname.mp3").write_bytes(b"nothing of the kind")
    info, skipped = prepare("folder", tree, tmp_path / "made", CUT, workers=1)
    with (tmp_path / "made" / "skipped.tsv").open(newline="") as lines:
        rows = list(csv.reader(lines, delimiter="\t"))
    assert rows[0] == ["source", "reason"]
    assert rows[1:] == [[skip.source, skip.reason] for skip in skipped]
    assert {source: reason.split(":")[0] for source, reason in rows[1:]} == {
        "broken\tname.mp3": "is not an audio file that can be read",
        "empty.flac": "is an empty file",
        "short.wav": "too short",
        "silent.wav": "silent",
    }
    assert info.skipped == 4
    assert info.splits["train"].clips == 6


def prepare_command(source: Path, target: Path) -> list[str]:
    words = ["folder", str(source), str(target), "--workers", "2"]
    return [sys.executable, str(ROOT / "experiments" / "prepare_data.py"), *words]


ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}


def test_killed_at_any_moment_it_goes_on(source, undisturbed, tmp_path):
    target = tmp_path / "made"
    command = prepare_command(source, target)
    moments = random.Random(0)
    half_written = 0
    for _ in range(6):
        with subprocess.Popen(
            command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            before = set(target.glob(".*.part"))
            while process.poll() is None and set(target.glob(".*.part")) <= before:
                time.sleep(0.0005)
            time.sleep(moments.uniform(0, 0.02))
            process.kill()
        half_written += any(target.glob(".*.part"))
    assert half_written > 0
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert contents(target) == contents(undisturbed)


def test_a_second_run_waits_for_nobody(source, tmp_path):
    target = tmp_path / "made"
    first = subprocess.Popen(
        prepare_command(source, target), env=ENVIRONMENT, stdout=subprocess.DEVNULL
    )
    try:
        wait_until_it_writes(target)
        first.send_signal(signal.SIGSTOP)  # which it does for as long as this takes
        with pytest.raises(PrepareError, match="another run is writing here"):
            prepare("folder", source, target, FOLDER_CUT, workers=1)
    finally:
        first.kill()
        first.wait()


def wait_until_it_writes(target: Path) -> None:
    deadline = time.monotonic() + 600
    while not list(target.glob(".*.part")) and time.monotonic() < deadline:
        time.sleep(0.001)


def interrupted(source, target) -> tuple[int, str]:
    """Exit code and messages of a run that gets SIGINT while it writes."""
    # A program in the background of a script ignores SIGINT, and so does what it starts.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(
            prepare_command(source, target), env=ENVIRONMENT, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    finally:
        signal.signal(signal.SIGINT, before)
    wait_until_it_writes(target)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=600)
    return process.returncode, stderr


def test_an_interrupted_run_says_so_and_goes_on(source, undisturbed, tmp_path):
    target = tmp_path / "made"
    code, stderr = interrupted(source, target)
    while code == 0:  # it was done before the signal came
        shutil.rmtree(target)
        code, stderr = interrupted(source, target)
    assert code == 130
    assert stderr == "prepare_data.py: interrupted, the same command goes on\n"
    assert not list(target.glob(".*.part"))
    prepare("folder", source, target, FOLDER_CUT, workers=1)
    assert contents(target) == contents(undisturbed)


def test_a_full_disk_ends_with_one_line_and_a_state_that_goes_on(source, undisturbed, tmp_path):
    """The limit on the size of a file is what a full disk is to a process: a write that fails."""
    target = tmp_path / "made"
    limit = 3 * 65536
    assert max(map(len, contents(undisturbed).values())) > limit

    # By a shell, in blocks of 512 bytes: a function between fork and exec is not for processes with
    # threads, as this one is once a test beside this one has used JAX.
    limited = ["sh", "-c", f'ulimit -f {limit // 512} && exec "$@"', "sh"]
    failed = subprocess.run(
        [*limited, *prepare_command(source, target)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert failed.returncode == 2
    assert failed.stderr.startswith("prepare_data.py: error: ")
    assert "cannot be written: " in failed.stderr and "File too large" in failed.stderr
    assert failed.stderr.endswith("once the cause is removed, the same command goes on)\n")
    assert len(failed.stderr.splitlines()) == 1
    assert not (target / "dataset.json").exists() and not list(target.glob(".*.part"))
    prepare("folder", source, target, FOLDER_CUT, workers=1)
    assert contents(target) == contents(undisturbed)


def test_a_shard_that_is_removed_is_made_again(source, undisturbed, tmp_path):
    target = tmp_path / "made"
    prepare("folder", source, target, FOLDER_CUT, workers=1)
    (target / "train-00001.array_record").unlink()
    with (target / "train-00002.array_record").open("r+b") as shard:
        shard.truncate(65536)
    before = (target / "train-00000.array_record").stat().st_mtime_ns
    prepare("folder", source, target, FOLDER_CUT, workers=1)
    assert contents(target) == contents(undisturbed)
    assert (target / "train-00000.array_record").stat().st_mtime_ns == before


def test_other_input_is_refused_and_nothing_is_lost(source, undisturbed, tmp_path):
    tree = trees.folder(tmp_path / "tree", count=6)
    target = tmp_path / "made"
    prepare("folder", tree, target, FOLDER_CUT, workers=1)
    before = contents(target)
    with pytest.raises(PrepareError, match=r"other input \(files, recordings differ\)"):
        prepare("folder", source, target, FOLDER_CUT, workers=1)
    with pytest.raises(PrepareError, match=r"other input \(settings differ\)"):
        prepare("folder", tree, target, Cut(8000, 0.1, 1e-3), workers=1)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(PrepareError, match=r"holds other things already, such as thesis\.tex"):
        prepare("folder", tree, tmp_path / "mine", CUT, workers=1)
    assert contents(target) == before
    assert prepare_data.main(["folder", str(source), str(target), "--overwrite"]) == 0
    assert json.loads((target / "dataset.json").read_text())["splits"]["train"]["clips"] == 150


def test_overwriting_removes_what_is_ours_and_nothing_else(tmp_path):
    tree = trees.folder(tmp_path / "tree", count=3)
    mine = tmp_path / "mine"
    mine.mkdir()
    for name in ("dataset.json", "mine.array_record", "train-00000.array_record"):
        (mine / name).write_text("years of work")
    for _ in range(2):
        assert prepare_data.main(["folder", str(tree), str(mine), "--overwrite"]) == 2
    assert {path.name: path.read_text() for path in mine.iterdir()} == dict.fromkeys(
        ("dataset.json", "mine.array_record", "train-00000.array_record"), "years of work"
    )
    target = tmp_path / "made"
    assert prepare_data.main(["folder", str(tree), str(target)]) == 0
    (target / "notes.txt").write_text("added later")
    before = contents(target)
    assert prepare_data.main(["folder", str(tmp_path / "typo"), str(target), "--overwrite"]) == 2
    assert contents(target) == before
    (tree / "speaker0" / "clip000.wav").unlink()
    assert prepare_data.main(["folder", str(tree), str(target), "--overwrite"]) == 0
    assert (target / "notes.txt").read_text() == "added later"
    assert len(clips(target, "folder", "train")) == 2


def test_notes_of_other_input_do_not_count(tmp_path):
    """As an --overwrite that was killed half-way might leave them."""
    tree, other = trees.folder(tmp_path / "tree", count=3), trees.folder(tmp_path / "other", 5)
    prepare("folder", tree, tmp_path / "made", CUT, workers=1)
    (tmp_path / "made" / ".shards" / "plan.json").unlink()
    for path in (tmp_path / "made").glob("[a-z]*.*"):
        path.unlink()
    shutil.rmtree(tmp_path / "tree")
    info, skipped = prepare("folder", other, tmp_path / "made", CUT, workers=1)
    assert info.splits["train"].clips == 5 and not skipped


def test_recordings_that_vanish_end_the_run_and_are_not_lost(tmp_path):
    tree = trees.folder(tmp_path / "tree", count=20)
    recordings = find_recordings("folder", tree)
    (tree / "speaker1" / "clip017.flac").rename(tmp_path / "away")
    plans = plan_shards(recordings, "train")
    (plan,) = [p for p in plans if any("clip017" in r.id for r in p.recordings)]
    (tmp_path / "made" / ".shards").mkdir(parents=True)
    with pytest.raises(SourceError, match=r"clip017\.flac: cannot be read: No such file"):
        make_shard(tmp_path / "made", plan, CUT)
    assert not [path for path in (tmp_path / "made").rglob("*") if path.is_file()]


def test_a_corpus_without_a_usable_clip_is_no_success(tmp_path):
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "a.wav").write_bytes(b"")
    with pytest.raises(PrepareError, match=r"none of the files can be used: skipped\.tsv says why"):
        prepare("folder", tmp_path / "tree", tmp_path / "made", CUT, workers=1)
    assert "a.wav\tis an empty file" in (tmp_path / "made" / "skipped.tsv").read_text()
    assert not (tmp_path / "made" / "dataset.json").exists()


def test_the_command_prints_a_summary(tmp_path, capsys):
    tree = trees.folder(tmp_path / "tree", count=8)
    (tree / "empty.wav").write_bytes(b"")
    words = ["folder", str(tree), str(tmp_path / "made"), "--held-out", "0.25"]
    assert prepare_data.main(words) == 0
    printed = capsys.readouterr().out
    assert "train      │ 6 " in printed and "validation │ 2 " in printed
    assert (
        f"1 skipped, listed in {tmp_path / 'made' / 'skipped.tsv'}: 1 is an empty file" in printed
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["folder", "{tmp}/none", "{tmp}/made"], "none: is not a folder"),
        (["folder", "{tmp}", "{tmp}/made"], "has no audio files that can be read"),
        (["folder", "{tmp}", "{tmp}/made", "--piece-seconds", "0.05"], "--piece-seconds must be"),
        (["folder", "{tmp}", "{tmp}/made", "--workers", "0"], "--workers must be at least 1"),
        (["folder", "{tmp}", "{tmp}/made", "--silence-db", "3"], "--silence-db must be at most 0"),
        (["folder", "{tmp}", "{tmp}/made", "--sample-rate", "700000"], "between 1 and 655350"),
    ],
)
def test_mistakes_end_with_one_line(tmp_path, capsys, words, message):
    assert prepare_data.main([word.replace("{tmp}", str(tmp_path)) for word in words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("prepare_data.py: error: ") and message in error
    assert not (tmp_path / "made").exists()
