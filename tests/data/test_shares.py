"""Corpora that several machines prepare: the bytes of one, whatever happens to them."""

import contextlib
import random
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments import prepare_data
from l3ac_jax.data import prepare as preparation
from l3ac_jax.data.corpora import find_recordings
from l3ac_jax.data.prepare import plan_preparation, prepare
from l3ac_jax.data.shard import make_shard
from l3ac_jax.errors import LayoutError, PrepareError
from l3ac_jax.system.shares import Share
from tests.data import trees
from tests.data.trees import CUT
from tests.object_store import object_store, objects, upload


class KilledError(Exception):
    """Ends a call."""


def contents(target: Path) -> dict[str, bytes]:
    return {
        path.relative_to(target).as_posix(): path.read_bytes()
        for path in target.rglob("*")
        if path.is_file() and path.name != "lock"
    }


@pytest.fixture(scope="module", autouse=True)
def in_this_process():
    """Shards are made one after the other: processes take a second to start, and have a test."""

    def make_shards(plans, missing, target, cut, workers, report):
        for number, plan in enumerate(missing):
            if number == stop_after[0]:
                raise KilledError
            make_shard(target, plan, cut)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preparation, "make_shards", make_shards)
        yield


stop_after: list[int | None] = [None]


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    tree = trees.folder(tmp_path_factory.mktemp("source"), count=70)
    (tree / "broken.mp3").write_bytes(b"nothing of the kind")
    return tree


@pytest.fixture(scope="module")
def undisturbed(source, tmp_path_factory) -> dict[str, bytes]:
    target = tmp_path_factory.mktemp("undisturbed") / "made"
    prepare("folder", source, target, CUT, held_out=0.3, workers=1)
    return contents(target)


def plan(source, target):
    return plan_preparation("folder", source, target, CUT, held_out=0.3)


@settings(max_examples=15)
@given(count=st.integers(1, 7), kills=st.integers(0, 5), seed=st.integers(0, 2**32))
def test_any_shares_in_any_order_killed_and_repeated_come_to_the_same_bytes(
    source, undisturbed, count, kills, seed
):
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "made")
        calls: list[tuple[int, int | None]] = [(number, None) for number in range(1, count + 1)]
        calls += [(chance.randint(1, count), chance.randint(0, 1)) for _ in range(kills)]
        chance.shuffle(calls)
        for number, stop in calls:
            stop_after[0] = stop
            with contextlib.suppress(KilledError):
                plan(source, target).make_share(Share(number, count))
            stop_after[0] = None
        plan(source, target).merge()
        assert contents(target) == undisturbed


def test_what_is_missing_is_said_and_one_machine_can_make_it(source, tmp_path, undisturbed):
    target = tmp_path / "made"
    with pytest.raises(PrepareError, match="made: no call with --shard has begun it"):
        plan(source, target).merge()
    assert not target.exists()
    shards = plan(source, target).shards
    made = plan(source, target).make_share(Share(1, 2))
    assert (made.made, made.already, made.shards) == (-(-len(shards) // 2), 0, len(shards))
    with pytest.raises(PrepareError, match=rf"made: {shards[1].name}.*: missing \(--shard I/N"):
        plan(source, target).merge()
    assert not (target / "dataset.json").exists()
    plan(source, target).make(workers=1)
    assert contents(target) == undisturbed


def test_other_input_and_others_who_still_work_are_refused(source, tmp_path):
    target = tmp_path / "made"
    plan(source, target).make_share(Share(1, 1))
    other = shutil.copytree(source, tmp_path / "other")
    (other / "broken.mp3").unlink()
    with pytest.raises(PrepareError, match=r"begun with other input"):
        plan(other, target).make_share(Share(1, 2))
    with (
        plan(source, target).target.below(".shards").locked("lock", together=True),
        pytest.raises(PrepareError, match="another run is writing here"),
    ):
        plan(source, target).merge()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--shard", "3"], "--shard must be I/N"),
        (["--shard", "1/2", "--ray", "auto"], "--shard and --ray: one of them at a time"),
        (["--shard", "1/2", "--overwrite"], "--overwrite is not for --shard and --merge"),
        (["--merge"], "made: no call with --shard has begun it"),
    ],
)
def test_mistakes_end_with_one_line(source, tmp_path, capsys, words, message):
    assert prepare_data.main(["folder", str(source), str(tmp_path / "made"), *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("prepare_data.py: error: ") and message in error


def test_the_command_reads_and_writes_urls(source, undisturbed, monkeypatch, capsys):
    with object_store(monkeypatch.setenv) as bucket:
        url = upload(source, f"{bucket()}/in")
        out = url.replace("/in", "/made")
        monkeypatch.setattr(preparation, "make_shards", from_pool())
        words = ["folder", url, out, "--held-out", "0.3", "--piece-seconds", "1000"]
        assert prepare_data.main([*words, "--shard", "1/2", "--workers", "1"]) == 0
        assert f"{out}: share 1/2: made " in capsys.readouterr().out
        assert prepare_data.main([*words, "--merge"]) == 2
        assert "missing (--shard I/N" in capsys.readouterr().err
        assert prepare_data.main([*words, "--shard", "2/2", "--workers", "1"]) == 0
        assert prepare_data.main([*words, "--merge"]) == 0
        made = objects(out)
    same = {name for name in undisturbed if not name.startswith(".shards")}
    assert {name: made[name] for name in same} == {name: undisturbed[name] for name in same}
    assert {name for name in made if not name.startswith(".shards")} == same


def from_pool():
    """What the processes of the command do."""
    from l3ac_jax.data.pool import make_shards

    return make_shards


def test_only_folders_are_read_from_urls():
    with pytest.raises(LayoutError, match="only the corpus folder is read from a URL: copy fsd50k"):
        find_recordings("fsd50k", "s3://bucket/FSD50K")
