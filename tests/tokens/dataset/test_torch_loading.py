"""PyTorch's loaders take windows as they are: a map-style dataset that each worker opens."""

import pickle

import numpy as np
import pytest

from l3ac_jax.tokens.dataset.reader import open_tokens
from tests.tokens.dataset.token_folders import write, write_sources

torch_data = pytest.importorskip("torch.utils.data")


@pytest.fixture(scope="module")
def windows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("loading")
    recordings = {f"{number}.wav": (1, 40 + number) for number in range(6)}
    write(write_sources(folder / "source", recordings), folder / "out", "tokens", shard_tokens=90)
    return open_tokens(folder / "out").windows(8)


def rows(batches):
    return [tuple(row) for batch in batches for row in batch.tolist()]


def expected(windows):
    return [tuple(window.tolist()) for window in windows]


@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")  # JAX's: workers do without it
@pytest.mark.parametrize(("start", "workers"), [("fork", 2), ("spawn", 1)])  # spawning is slow
def test_workers_give_what_one_process_gives(windows, start, workers):
    assert len(windows[0]) == 8  # a shard is open when the workers start
    loader = torch_data.DataLoader(
        windows, batch_size=4, num_workers=workers, multiprocessing_context=start
    )
    found = rows(loader)
    assert found == expected(windows) and len(set(found)) == len(found) == 30


def test_what_is_sent_to_a_worker_holds_no_tokens(windows):
    windows[0]
    size = len(pickle.dumps(windows))
    assert size < 10_000
    again = pickle.loads(pickle.dumps(windows))
    assert expected(again) == expected(windows)


def test_ranks_share_the_windows_by_sampler_or_by_shard(windows):
    by_shard = [set(rows(torch_data.DataLoader(windows.shard(rank, 3)))) for rank in range(3)]
    samplers = [torch_data.DistributedSampler(windows, 3, rank, seed=1) for rank in range(3)]
    by_sampler = [set(rows(torch_data.DataLoader(windows, sampler=each))) for each in samplers]
    for shares in (by_shard, by_sampler):
        assert [len(share) for share in shares] == [10, 10, 10]
        assert set.union(*shares) == set(expected(windows))


def test_a_batch_may_be_changed_without_changing_the_file(windows):
    before = windows[0]
    batch = next(iter(torch_data.DataLoader(windows, batch_size=2)))
    batch.zero_()
    np.testing.assert_array_equal(windows[0], before)
    assert before.any()
