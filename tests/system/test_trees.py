"""Trees of files: which are found, what the outputs are called, and what is refused."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from l3ac_jax.errors import TreeError
from l3ac_jax.system.trees import Job, check_trees, find_files, jobs, remove_leftovers


def tree(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def names(source: list[str], ending: str = ".l3ac") -> dict[str, str]:
    planned = jobs(Path("in"), Path("out"), map(Path, source), lambda _: ending)
    return {
        job.source.relative_to("in").as_posix(): job.target.relative_to("out").as_posix()
        for job in planned
    }


def test_files_are_found_by_their_ending_in_all_folders_and_in_order(tmp_path):
    tree(tmp_path, "b.wav", "a/ü b.WAV", "a/c/d.flac", "a/text.txt", ".git/e.wav", "a/.hidden.wav")
    (tmp_path / "a" / "folder.wav").mkdir()
    found = find_files(tmp_path, {".wav", ".flac"})
    assert found.files == [Path("a/c/d.flac"), Path("a/ü b.WAV"), Path("b.wav")]
    assert not found.unreadable and not found.loops


def test_links_are_followed_and_loops_left_out(tmp_path):
    tree(tmp_path, "in/a/b.wav", "elsewhere/c.wav")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "a" / "loop").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "self").symlink_to("self")
    found = find_files(tmp_path / "in", {".wav"})
    assert found.files == [Path("a/b.wav"), Path("link/c.wav")]
    assert found.loops == [tmp_path / "in" / "a" / "loop"]


def test_a_loop_over_two_links_ends(tmp_path):
    tree(tmp_path, "in/a.wav", "other/b.wav")
    (tmp_path / "in" / "there").symlink_to(tmp_path / "other")
    (tmp_path / "other" / "back").symlink_to(tmp_path / "in")
    found = find_files(tmp_path / "in", {".wav"})
    assert found.files == [Path("a.wav"), Path("there/b.wav")]
    assert found.loops == [tmp_path / "in" / "there" / "back"]


def test_folders_that_cannot_be_read_are_named(tmp_path, unreadable):
    tree(tmp_path, "a.wav", "closed/b.wav")
    unreadable("closed")
    found = find_files(tmp_path, {".wav"})
    assert found.files == [Path("a.wav")]
    assert [str(error) for error in found.unreadable] == [
        f"{tmp_path / 'closed'}: cannot be read: Permission denied"
    ]


def test_a_folder_without_audio_is_refused(tmp_path):
    tree(tmp_path, "notes.txt")
    with pytest.raises(TreeError, match=r"holds no files that end with \.flac, \.wav"):
        find_files(tmp_path, {".wav", ".flac"})


def test_the_ending_is_replaced():
    assert names(["a.wav", "x/a.flac", "b.tar.wav"]) == {
        "a.wav": "a.l3ac",
        "x/a.flac": "x/a.l3ac",
        "b.tar.wav": "b.tar.l3ac",
    }


def test_names_that_would_be_the_same_keep_their_ending():
    assert names(["a.wav", "a.flac", "A.mp3", "b.wav"]) == {
        "a.wav": "a.wav.l3ac",
        "a.flac": "a.flac.l3ac",
        "A.mp3": "A.mp3.l3ac",
        "b.wav": "b.l3ac",
    }
    # What they are decoded to cannot be the same.
    assert names(["a.wav.l3ac", "a.flac.l3ac"], ".wav") == {
        "a.wav.l3ac": "a.wav.wav",
        "a.flac.l3ac": "a.flac.wav",
    }


def test_names_that_are_still_the_same_are_refused():
    with pytest.raises(TreeError, match=r"would both become out/a\.wav\.l3ac"):
        names(["a.wav", "a.flac", "a.wav.mp3"])


@pytest.mark.parametrize("target", ["in", "in/out", ".", "in/../in/x", "link"])
def test_an_output_inside_the_input_and_the_reverse_are_refused(tmp_path, monkeypatch, target):
    monkeypatch.chdir(tmp_path)
    tree(tmp_path, "in/a.wav")
    Path("link").symlink_to("in")
    with pytest.raises(TreeError, match="neither inside the other"):
        check_trees(Path("in"), Path(target))


def test_an_output_that_cannot_be_a_folder_is_refused(tmp_path):
    tree(tmp_path, "in/a.wav", "file")
    check_trees(tmp_path / "in", tmp_path / "new")
    for target in ("file", "nowhere/new"):
        with pytest.raises(ValueError, match=r"is not a folder|nowhere does not exist"):
            check_trees(tmp_path / "in", tmp_path / target)


def test_only_what_dead_processes_left_of_these_targets_is_removed(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    tree(
        tmp_path,
        f".a.wav.{dead.pid}.part",
        f"x/.b.wav.{os.getpid()}.part",
        f".c.wav.{dead.pid}.part",  # no target of this run
        f".a.wav.{os.getppid()}.part",  # its process is running
        ".a.wav.part",
        "a.wav",
    )
    planned = [Job(Path("in"), tmp_path / name) for name in ("a.wav", "x/b.wav", "y/d.wav")]
    assert remove_leftovers(planned) == 2
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {
        f".c.wav.{dead.pid}.part",
        f".a.wav.{os.getppid()}.part",
        ".a.wav.part",
        "a.wav",
    }
