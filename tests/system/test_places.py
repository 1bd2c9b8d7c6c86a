"""Folders that are written and trees that are read: the same here and behind a URL."""

import contextlib
import pickle
from collections import Counter
from pathlib import Path

import fsspec
import pytest

from l3ac_jax.errors import (
    ArgumentError,
    MissingPackageError,
    OutputError,
    SourceError,
    TreeError,
)
from l3ac_jax.system.locks import FolderInUseError
from l3ac_jax.system.remote import RemoteFolder, fetched_file, is_url
from l3ac_jax.system.shares import Share
from l3ac_jax.system.sources import LocalTree, RemoteTree, check_apart, open_tree
from l3ac_jax.system.targets import LocalTarget, RemoteTarget, open_target


@pytest.fixture
def memory(request):
    """A URL of this process's memory."""
    url = f"memory://{request.node.name.partition('[')[0]}"
    yield url
    fs = fsspec.filesystem("memory")
    if fs.exists(url):
        fs.rm(url, recursive=True)


@pytest.fixture(params=["path", "file", "memory"])
def target(request, tmp_path, memory):
    folder = tmp_path / "out"
    places = {"path": folder, "file": f"file://{folder}", "memory": memory}
    return open_target(places[request.param])


def test_a_url_is_what_is_no_file_of_this_machine(target):
    assert is_url("s3://bucket/x") and is_url("memory://x")
    assert not is_url("file:///x") and not is_url(Path("s3://x")) and not is_url("a:b")
    assert isinstance(target, LocalTarget | RemoteTarget)
    assert open_target(target) is target


def test_a_file_is_there_when_it_is_complete(target):
    assert not target.exists() and target.names() == [] and target.size("a") is None
    target.make()
    with contextlib.suppress(ZeroDivisionError), target.writing("a") as path:
        path.write_text("half of")
        raise ZeroDivisionError
    assert target.names() == []
    for text in ("first", "the second"):
        with target.writing("a") as path:
            path.write_text(text)
        assert target.read("a") == text.encode() and target.size("a") == len(text)
        with target.here("a") as path:
            assert path.read_text() == text
    assert target.exists() and target.is_folder() and target.names() == ["a"]
    target.remove("a")
    target.remove("a")
    assert target.names() == [] and target.size("a") is None
    with pytest.raises(FileNotFoundError):
        target.read("a")


def test_folders_in_a_folder_are_among_its_names(target):
    target.make()
    below = target.below(".parts")
    below.make()
    for name in ("x", "y"):
        with below.writing(name) as path:
            path.touch()
    assert target.names() == [".parts"] and sorted(below.names()) == ["x", "y"]
    for name in below.names():
        below.remove(name)
    below.remove_folder()
    assert target.names() == []


def test_sent_to_another_process_it_is_the_same_folder(target, monkeypatch, tmp_path):
    assert str(pickle.loads(pickle.dumps(target))) == str(target)
    monkeypatch.chdir(tmp_path)
    assert str(LocalTarget(Path("out")).absolute()) == str(tmp_path / "out")


def test_what_is_left_out_while_writing_is_an_error(target):
    target.make()
    with pytest.raises(OutputError, match="cannot be written: No such file"), target.writing("a"):
        pass


def test_two_machines_that_write_one_file_do_not_mix_it(tmp_path):
    """Their processes may have the same number, as in containers."""
    target = LocalTarget(tmp_path)
    with target.writing("a") as one, target.writing("a") as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    assert target.read("a") == b"one"  # which was the last to be done
    assert target.names() == ["a"]


def test_locks_are_shared_or_not(tmp_path):
    target = LocalTarget(tmp_path)
    with (
        target.locked(".lock", together=True),
        target.locked(".lock", together=True),
        pytest.raises(FolderInUseError),
        target.locked(".lock"),
    ):
        pytest.fail("one of three is alone")
    with target.locked(".lock"):
        for together in (True, False):
            with pytest.raises(FolderInUseError), target.locked(".lock", together):
                pass


FILES = ("a.wav", "sub/b.FLAC", "sub/deep er/ü.wav", "notes.txt", ".hidden.wav", ".git/c.wav")


def fill(tmp_path: Path, url: str) -> Path:
    fs = fsspec.filesystem("memory")
    for name in FILES:
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        fs.pipe_file(f"{url}/{name}", name.encode())
    return tmp_path / "tree"


def test_a_tree_holds_the_same_files_here_and_behind_a_url(tmp_path, memory):
    trees = [open_tree(fill(tmp_path, memory)), open_tree(memory)]
    assert [type(tree) for tree in trees] == [LocalTree, RemoteTree]
    for tree in trees:
        listing = tree.find({".wav", ".flac"})
        files = [Path("a.wav"), Path("sub/b.FLAC"), Path("sub/deep er/ü.wav")]
        assert listing.found.files == files
        assert listing.found.others == Counter({".txt": 1})
        assert [listing.stamp(file)[0] for file in files] == [len(str(f).encode()) for f in files]
        assert all(listing.stamp(file)[1] for file in files)
        with pickle.loads(pickle.dumps(tree)).at_hand(files[::-1]) as at_hand:
            assert {file: path.read_text() for file, path in at_hand.items()} == {
                file: str(file) for file in files
            }
            assert [path.suffix for path in at_hand.values()] == [".wav", ".FLAC", ".wav"]
        with pytest.raises(TreeError, match=r"no files that end with \.mp3, but .*1 \.txt"):
            tree.find({".mp3"})
    assert not any(path.exists() for path in at_hand.values())  # copies


def test_names_that_no_folder_can_hold_are_left_out(memory):
    fs = fsspec.filesystem("memory")
    fs.store[f"/{memory.removeprefix('memory://')}/a//b.wav"] = fs.open("memory://x", "wb")
    fs.pipe_file(f"{memory}/up/c.wav", b"")
    fs.store[f"/{memory.removeprefix('memory://')}/../../c.wav"] = fs.open("memory://x", "wb")
    found = open_tree(memory).find({".wav"}).found
    assert found.files == [Path("up/c.wav")]
    assert [str(error) for error in found.unreadable] == [
        "a//b.wav: cannot be read: its name is no path"
    ]


def test_what_cannot_be_reached_is_one_clear_error(memory):
    with pytest.raises(SourceError, match=r"memory://.*: cannot be read: .*b\.wav"):
        fetched_file(f"{memory}/b.wav")
    with pytest.raises(SourceError, match="cannot be read"), open_tree(memory).at_hand([Path("a")]):
        pass
    with pytest.raises(ArgumentError, match=r"s4://x: .*s4"):
        _ = RemoteFolder("s4://x").fs
    with pytest.raises(TreeError, match="neither inside the other"):
        check_apart(open_tree("s3://bucket/a"), open_target("s3://bucket/a/b"))
    check_apart(open_tree("s3://bucket/a"), open_target("s3://bucket/ab"))


def test_a_scheme_whose_package_is_missing_says_what_to_install(monkeypatch):
    import fsspec.core

    def missing(*args, **options):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(MissingPackageError, match=r"s3://x: .*: pip install s3fs$"):
        _ = RemoteFolder("s3://x").fs


def test_shares_are_disjoint_and_all_there_is():
    items = list(range(11))
    for count in (1, 2, 3, 11, 20):
        shares = [Share.parse(f"{n + 1}/{count}") for n in range(count)]
        assert sorted(item for share in shares for item in share.of(items)) == items
    for text in ("0/3", "4/3", "3", "a/b", "-1/2", "1/0", ""):
        with pytest.raises(ArgumentError, match="--shard must be I/N"):
            Share.parse(text)
