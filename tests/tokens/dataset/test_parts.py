"""Datasets of tokens that several machines make: the bytes of one, whatever happens to them."""

import contextlib
import json
import random
import shutil
import tempfile
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from l3ac_jax.audio.endings import AUDIO_ENDINGS
from l3ac_jax.audio.reading import read_audio
from l3ac_jax.audio.writing import write_audio
from l3ac_jax.cli.main import main
from l3ac_jax.errors import OutputError, SourceError, TokenDatasetError
from l3ac_jax.system.shares import Share
from l3ac_jax.system.targets import LocalTarget
from l3ac_jax.tokens.dataset import encoding as token_encoding
from l3ac_jax.tokens.dataset.encoding import plan_dataset
from l3ac_jax.tokens.dataset.index import INDEX, read_index
from l3ac_jax.tokens.dataset.writer import LOCK, PARTS
from tests.object_store import object_store, objects, upload
from tests.tokens.dataset import token_folders
from tests.tokens.dataset.token_folders import FORMAT, files_of, write, write_sources

RECORDINGS = {
    "a.wav": (1, 60),
    "b/bad.wav": (0, 0),
    "b/good.wav": (2, 45),
    "c.wav": (1, 20),
    "d.wav": (1, 80),
    "e.wav": (0, 0),
    "f.wav": (1, 10),
    "g.wav": (3, 7),
    "h.wav": (1, 1),
}


class KilledError(Exception):
    """Ends a call."""


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """Five parts."""
    monkeypatch.setattr(token_encoding, "GROUP_FILES", 2)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = write_sources(tmp_path_factory.mktemp("source") / "tree", RECORDINGS)
    (folder / "b" / "n\udcff.wav").write_text("1 5 0")
    return folder


@pytest.fixture(scope="module")
def undisturbed(source, tmp_path_factory):
    target = tmp_path_factory.mktemp("undisturbed") / "out"
    write(source, target)
    return files_of(target)


def encode(paths, on_damage, stop_after=None, seen=None):
    """The stand-in's, one file not whole; ends after so many files."""
    for number, (path, result) in enumerate(token_folders.encode(paths, on_damage)):
        if number == stop_after:
            raise KilledError
        if seen is not None:
            seen.append(path.name)
        yield path, result


def plan(source, target, **options):
    return plan_dataset(source, target, {".wav"}, shard_tokens=100, **options)


def make_share(source, target, share, **options):
    return plan(source, target).make_share(
        Share.parse(share), "stand-in", FORMAT, partial(encode, **options), lambda done: None
    )


def merge(source, target, **options):
    return plan(source, target, **options).merge(lambda done: None)


def hidden(target: Path) -> set[str]:
    return {path.name for path in target.iterdir() if path.name.startswith(".")}


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(count=st.integers(1, 8), kills=st.integers(0, 6), seed=st.integers(0, 2**32))
def test_any_shares_in_any_order_killed_and_repeated_come_to_the_same_bytes(
    source, undisturbed, count, kills, seed
):
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "out")
        calls: list[tuple[int, int | None]] = [(number, None) for number in range(1, count + 1)]
        calls += [(chance.randint(1, count), chance.randint(0, 1)) for _ in range(kills)]
        chance.shuffle(calls)
        for number, stop_after in calls:
            with contextlib.suppress(KilledError):
                make_share(source, target, f"{number}/{count}", stop_after=stop_after)
        merge(source, target)
        assert files_of(target) == undisturbed


def test_what_is_missing_is_said_and_another_number_of_shares_can_make_it(
    source, tmp_path, undisturbed
):
    target = tmp_path / "out"
    with pytest.raises(TokenDatasetError, match="no call with --shard has begun it"):
        merge(source, target)
    made = make_share(source, target, "1/2")
    assert (made.made, made.already, made.parts) == (3, 0, 5)
    with pytest.raises(TokenDatasetError, match=r"2 of 5 parts are missing: 2, 4 \(--shard"):
        merge(source, target)
    assert sorted(path.name for path in target.iterdir() if path.name != LOCK) == [PARTS, INDEX]
    seen: list[str] = []
    made = make_share(source, target, "1/1", seen=seen)
    assert (made.made, made.already, made.failures) == (2, 3, 2)
    assert seen == ["good.wav", "e.wav", "f.wav"]  # of parts 2 (the other name is no text) and 4
    assert merge(source, target).failures == 3
    assert files_of(target) == undisturbed


def test_one_machine_uses_the_parts_that_are_there(source, tmp_path, undisturbed):
    make_share(source, tmp_path / "out", "2/2")
    seen: list[str] = []
    plan(source, tmp_path / "out").write(
        "stand-in", FORMAT, partial(encode, seen=seen), lambda done: None
    )
    assert "good.wav" not in seen and "a.wav" in seen
    assert files_of(tmp_path / "out") == undisturbed


def test_merging_goes_on_where_it_was_ended(source, tmp_path, undisturbed, monkeypatch):
    target = tmp_path / "out"
    make_share(source, target, "1/1")
    writing = LocalTarget.writing

    def failing(self, name):
        if name == "tokens-00002.arrow":
            raise KilledError
        return writing(self, name)

    monkeypatch.setattr(LocalTarget, "writing", failing)
    with pytest.raises(KilledError):
        merge(source, target)
    monkeypatch.undo()
    monkeypatch.setattr(token_encoding, "GROUP_FILES", 2)
    assert len(read_index(target).shards) == 2
    left = len(list((target / PARTS).iterdir()))
    assert 0 < left < 5  # what is in shards takes no space
    merge(source, target)
    assert files_of(target) == undisturbed
    assert merge(source, target) == read_index(target)  # again: nothing to do


def test_calls_that_do_not_fit_together_are_refused(source, tmp_path):
    target = tmp_path / "out"
    make_share(source, target, "1/2")
    with pytest.raises(TokenDatasetError, match="was begun with --shard-tokens 100"):
        plan_dataset(source, target, {".wav"}, shard_tokens=99).make_share(
            Share(2, 2), "stand-in", FORMAT, encode, lambda done: None
        )
    other = shutil.copytree(source, tmp_path / "other")
    (other / "a.wav").write_text("1 61 0")
    with pytest.raises(TokenDatasetError, match="was begun with other files"):
        make_share(other, target, "2/2")
    with pytest.raises(TokenDatasetError, match="was begun with other files"):
        merge(other, target)


def test_a_merge_waits_for_nobody_who_still_works(source, tmp_path):
    target = tmp_path / "out"
    make_share(source, target, "1/1")
    with (
        LocalTarget(target).locked(LOCK, together=True),
        pytest.raises(TokenDatasetError, match="another process is writing"),
    ):
        merge(source, target)


def test_a_part_that_is_damaged_is_named(source, tmp_path, undisturbed):
    target = tmp_path / "out"
    make_share(source, target, "1/1")
    part = sorted((target / PARTS).iterdir())[2]
    part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(TokenDatasetError, match=rf"{part.name}: is damaged: .* remove it"):
        merge(source, target)
    part.unlink()
    make_share(source, target, "1/1")
    merge(source, target)
    assert files_of(target) == undisturbed


@pytest.mark.usefixtures("command_cache")
def test_the_command_in_shares_writes_what_it_writes_alone(run, speech, tmp_path, capsys):
    folder = audio(speech, tmp_path / "audio")
    run("tokens", folder, tmp_path / "alone", "--shard-tokens", 1000)
    for number in (3, 1, 2):
        run("tokens", folder, tmp_path / "out", "--shard-tokens", 1000, "--shard", f"{number}/3")
    assert "out: share 2/3: made 1 of 3 parts; when all shares are made: --merge\n" in (
        capsys.readouterr().err
    )
    merging = ["tokens", str(folder), str(tmp_path / "out"), "--shard-tokens", "1000", "--merge"]
    assert main(merging) == 0  # without a model
    assert files_of(tmp_path / "out") == files_of(tmp_path / "alone")


def audio(speech: Path, folder: Path) -> Path:
    (folder / "sub").mkdir(parents=True)
    samples = read_audio(speech).samples
    for number, length in enumerate((3843, 100, 2000, 1, 3000)):
        write_audio(
            folder / ("sub" if number > 2 else "") / f"{number}.wav", samples[:, :length], 16000
        )
    return folder


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--shard", "4/3"], "--shard must be I/N"),
        (["--shard", "1/2", "--merge"], "--shard and --merge: one of them at a time"),
        (["--merge", "--ray", "auto"], "--merge and --ray: one of them at a time"),
        (["--merge", "--overwrite"], "--overwrite is not for --shard and --merge"),
        (["--worker-cores", "0"], "--worker-cores must be at least 1"),
        (["--merge"], "is no folder of tokens: no call with --shard has begun it"),
    ],
)
def test_mistakes_end_with_one_line(source, tmp_path, capsys, words, message):
    assert main(["tokens", str(source), str(tmp_path / "out"), *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("l3ac-jax: error: ") and message in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


# ---- behind URLs ----


@pytest.fixture(scope="module")
def store():
    with pytest.MonkeyPatch.context() as patch, object_store(patch.setenv) as bucket:
        yield bucket


def without_stamps(files: dict[str, bytes]) -> dict[str, bytes]:
    """Times of change are others behind a URL, and they are in the fingerprint of the input."""
    index = json.loads(files[INDEX])
    return files | {INDEX: json.dumps(index | {"inputs": ""}).encode()}


def test_behind_a_url_are_the_same_bytes(source, store):
    url = store()
    for name in RECORDINGS:  # and not the name that is no text
        put(f"{url}/in/{name}", (source / name).read_bytes())
    with tempfile.TemporaryDirectory() as folder:
        local = write_sources(Path(folder, "tree"), RECORDINGS)
        write(local, Path(folder, "out"))
        expected = without_stamps(files_of(Path(folder, "out")))
    write(f"{url}/in", f"{url}/one")
    assert without_stamps(objects(f"{url}/one")) == expected
    for number in (2, 1):
        make_share(f"{url}/in", f"{url}/two", f"{number}/2")
    assert any(name.startswith(f"{PARTS}/") for name in objects(f"{url}/two"))
    merge(f"{url}/in", f"{url}/two")
    assert objects(f"{url}/two") == objects(f"{url}/one")
    with pytest.raises(TokenDatasetError, match="is complete already"):
        plan_dataset(f"{url}/in", f"{url}/two", {".wav"}, shard_tokens=99)


def put(url: str, content: bytes) -> None:
    import fsspec

    fs, path = fsspec.core.url_to_fs(url)
    fs.pipe_file(path, content)


def test_killed_before_any_upload_it_goes_on_to_the_same_bytes(tmp_path, monkeypatch):
    from fsspec.implementations.memory import MemoryFileSystem

    source = write_sources(tmp_path / "source", RECORDINGS)
    write(source, tmp_path / "out")
    put_file = MemoryFileSystem.put_file
    left = [0]

    def dying(self, *arguments, **options):
        if not left[0]:
            raise KilledError
        left[0] -= 1
        return put_file(self, *arguments, **options)

    monkeypatch.setattr(MemoryFileSystem, "put_file", dying)
    for uploads in range(12):
        url, left[0] = f"memory://killed/{uploads}", uploads
        with contextlib.suppress(OutputError):
            write(source, url)
            break
        left[0] = 100
        write(source, url)
        assert without_stamps(objects(url)) == without_stamps(files_of(tmp_path / "out"))
    # the index, four shards with the index after each, the failures, the index
    assert uploads == 1 + 2 * len(read_index(tmp_path / "out").shards) + 2


@pytest.mark.usefixtures("command_cache")
def test_the_command_reads_and_writes_urls(run, speech, tmp_path, store, capsys):
    folder = audio(speech, tmp_path / "audio")
    run("tokens", folder, tmp_path / "alone")
    url = upload(folder, f"{store()}/in")
    out = url.replace("/in", "/out")
    run("tokens", url, out)
    assert f"{out}: " in capsys.readouterr().err
    assert without_stamps(objects(out)) == without_stamps(files_of(tmp_path / "alone"))


def test_a_store_that_refuses_is_one_clear_error(source, tmp_path, store):
    url = store()
    with pytest.raises(SourceError, match=r"s3://no-such-bucket/x: cannot be listed"):
        plan_dataset("s3://no-such-bucket/x", tmp_path / "out", AUDIO_ENDINGS)
    put(f"{url}/out/thesis.tex", b"...")
    with pytest.raises(TokenDatasetError, match=r"is not written to, .* thesis\.tex"):
        plan_dataset(source, f"{url}/out", AUDIO_ENDINGS)
