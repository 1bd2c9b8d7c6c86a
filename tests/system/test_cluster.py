"""Work on a Ray cluster of two nodes' processes, workers and nodes of which are killed.

One cluster for all of them: it takes seconds to start. The last test kills a node.
"""

import os
import socket
import time
from functools import partial
from pathlib import Path

import pytest

from experiments import prepare_data
from l3ac_jax.audio.reading import read_audio
from l3ac_jax.audio.writing import write_audio
from l3ac_jax.cli.main import main
from l3ac_jax.data.prepare import prepare
from l3ac_jax.errors import ArgumentError, SourceError, WorkError
from l3ac_jax.system import cluster as system_cluster
from l3ac_jax.system.cluster import on_cluster
from l3ac_jax.tokens.dataset import encoding as token_encoding
from l3ac_jax.tokens.dataset.encoding import plan_dataset
from tests.data import trees
from tests.system import workers
from tests.tokens.dataset.token_folders import FORMAT, files_of, write, write_sources

ROOT = Path(__file__).parents[2]

# Ray starts its processes by a fork and an exec, which JAX warns of once it is in use: nothing of
# JAX runs in between.
pytestmark = pytest.mark.filterwarnings(r"ignore:os\.fork\(\) was called:RuntimeWarning")


@pytest.fixture(scope="module")
def cluster():
    """Two nodes, of one core each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_enable_worker_prestart", "0")  # processes that nobody asked for
        patch.setenv("PYTHONPATH", str(ROOT))  # of the workers
        made = started()
        yield made
        made.shutdown()


def started(attempts: int = 4):
    """Ray waits 30 s for each of its own processes, which a busy machine can take."""
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 1, "include_dashboard": False, "include_log_monitor": False}
    for attempt in range(attempts):
        made = Cluster()
        try:
            made.add_node(**head)
            made.add_node(num_cpus=1, include_log_monitor=False)
            return made
        except Exception:
            made.shutdown()
            if attempt == attempts - 1:
                raise
    return None


def test_each_item_is_done_and_a_worker_that_dies_costs_its_own(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(system_cluster, "PAUSE_SECONDS", 0.0)
    told: list[str] = []
    items = [3, -1, *range(4, 12)]
    start = partial(workers.squares, tmp_path)
    done = list(on_cluster(cluster.address, start, items, note=told.append))
    assert sorted(done) == sorted((item, item**2) for item in items)
    assert len(told) == 1 and "died at -1, which is done again: " in told[0]
    assert list(on_cluster(cluster.address, start, [])) == []


def test_an_item_that_kills_its_workers_is_named_and_mistakes_are_raised(
    cluster, tmp_path, monkeypatch
):
    monkeypatch.setattr(system_cluster, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(system_cluster, "DEATHS", 2)
    start = partial(workers.squares, tmp_path)
    with pytest.raises(WorkError, match="-2: 2 workers died at it: "):
        list(on_cluster(cluster.address, start, [-2]))
    with pytest.raises(SourceError, match=r"-3: cannot be read \(worker 0 of "):
        list(on_cluster(cluster.address, start, [-3]))


def test_the_commands_come_to_the_bytes_of_one_machine(
    cluster, model_folder, speech, tmp_path, monkeypatch, capfd
):
    source = tmp_path / "audio"
    for number, length in enumerate((3843, 100, 2000, 3000)):
        samples = read_audio(speech).samples[:, :length]
        write_audio(trees_folder(source, number) / f"{number}.wav", samples, 16000)
    (source / "empty.wav").touch()
    monkeypatch.setattr(token_encoding, "GROUP_FILES", 2)
    monkeypatch.chdir(tmp_path)  # paths that are relative, and workers that are elsewhere
    words = ["tokens", "audio", "--model", os.path.relpath(model_folder), "--shard-tokens", "1000"]
    assert main([*words, "alone"]) == 1  # one file is empty
    assert main([*words, "out", "--ray", cluster.address, "--worker-cores", "1"]) == 1
    assert files_of(tmp_path / "out") == files_of(tmp_path / "alone")
    assert "out: was complete" not in capfd.readouterr().err

    assert prepare_data.main(["folder", "audio", "made", "--ray", cluster.address]) == 0
    prepare("folder", "audio", "plain", workers=1, cut=folder_cut())
    made, plain = (
        {path.relative_to(top): path.read_bytes() for path in top.rglob("*") if path.is_file()}
        for top in (tmp_path / "made", tmp_path / "plain")
    )
    assert made == plain and Path("dataset.json") in made


def trees_folder(source: Path, number: int) -> Path:
    folder = source / f"speaker{number % 2}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def folder_cut():
    from dataclasses import replace

    return replace(trees.CUT, piece_seconds=30.0)  # what the command has for folders


def test_where_no_cluster_is_one_line_says_so(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"  # closed again, and so free
    with pytest.raises(ArgumentError, match=rf"--ray {address}: nothing answers there: "):
        list(on_cluster(address, partial(workers.squares, tmp_path), [1]))


def test_a_node_that_is_killed_costs_its_parts_and_nothing_else(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(token_encoding, "GROUP_FILES", 2)
    source = write_sources(
        tmp_path / "source", {f"{n:02d}.wav": (n % 3, 10 + n) for n in range(16)}
    )
    write(source, tmp_path / "alone")
    seen = tmp_path / "seen"
    seen.mkdir()
    (killed,) = cluster.worker_nodes
    told: list[str] = []
    counts: list[int] = []

    def others(work, parts):
        start = partial(workers.part_maker, work, seen, 0.5)
        for _ in on_cluster(cluster.address, start, parts, note=told.append):
            counts.append(len(list(seen.glob(f"{killed.node_id}-*"))))
            if killed in cluster.worker_nodes and counts[-1]:
                # It may have done its part, and waits for another, which it gets only after this.
                given_up = time.monotonic() + 2
                while not busy(seen, killed.node_id) and time.monotonic() < given_up:
                    time.sleep(0.01)
                cluster.remove_node(killed, allow_graceful=False)

    plan = plan_dataset(source, tmp_path / "out", {".wav"}, shard_tokens=100)
    plan.write("stand-in", FORMAT, None, lambda done: None, others)
    assert killed not in cluster.worker_nodes
    assert files_of(tmp_path / "out") == files_of(tmp_path / "alone")
    assert len(counts) == 8 and any("died at part " in line for line in told)
    # One part at most was lost, and no part that was made was made again.
    files = [path.name.partition("-")[2] for path in seen.iterdir()]
    assert len(set(files)) == 16 and len(files) <= 18


def busy(seen: Path, node: str) -> bool:
    """Whether the node is in the middle of a part, of two files: an odd number is begun."""
    return len(list(seen.glob(f"{node}-*"))) % 2 == 1
