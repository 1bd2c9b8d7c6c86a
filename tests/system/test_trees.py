"""Trees of files: which are found, what the outputs are called, and what is refused."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from l3ac_jax.errors import TreeError
from l3ac_jax.system.files import Temporary
from l3ac_jax.system.trees import Job, check_trees, find_files, in_words, remove_leftovers


def tree(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_files_are_found_by_their_ending_in_all_folders_and_in_order(tmp_path):
    tree(tmp_path, "b.wav", "a/ü b.WAV", "a/c/d.flac", "a/text.txt", ".git/e.wav", "a/.hidden.wav")
    (tmp_path / "a" / "folder.wav").mkdir()
    found = find_files(tmp_path, {".wav", ".flac"})
    assert found.files == [Path("a/c/d.flac"), Path("a/ü b.WAV"), Path("b.wav")]
    assert not found.unreadable and not found.loops
    assert found.others == {".txt": 1}


def test_files_with_other_endings_are_counted(tmp_path):
    tree(tmp_path, "a.wav", "b.M4A", "x/c.m4a", "x/README", "x/d.txt", ".hidden.m4a")
    found = find_files(tmp_path, {".wav"})
    assert found.others == {".m4a": 2, "": 1, ".txt": 1}
    assert in_words(found.others) == "2 .m4a, 1 without ending, 1 .txt"
    many = Counter({f".{number:02}": 1 for number in range(10)})
    assert in_words(many).endswith("1 .07, 2 with other endings")


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
    with pytest.raises(TreeError, match=r"with \.flac, \.wav, but 1 \.txt$"):
        find_files(tmp_path, {".wav", ".flac"})


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

    def part(name: str, process: int) -> str:
        return str(Temporary.of(name)._replace(process=process))

    removed = [part("a.wav", dead.pid), f"x/{part('b.wav', os.getpid())}"]
    kept = [
        part("c.wav", dead.pid),  # no target of this run
        part("a.wav", os.getppid()),  # its process is running
        ".a.wav.part",
        "a.wav",
    ]
    tree(tmp_path, *removed, *kept)
    planned = [Job(Path("in"), tmp_path / name) for name in ("a.wav", "x/b.wav", "y/d.wav")]
    assert remove_leftovers(planned) == 2
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == set(kept)
