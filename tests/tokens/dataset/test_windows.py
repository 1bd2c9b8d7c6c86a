"""Training sequences: what they hold, their order, and how processes share them."""

import itertools

import numpy as np
import pytest

from l3ac_jax.tokens.dataset.reader import open_tokens
from tests.tokens.dataset.token_folders import write, write_sources

# Lengths below, at, and far above that of a window; a shard holds some of them.
FRAMES = [3, 8, 40, 7, 1, 25, 16, 9, 120, 2]


@pytest.fixture(scope="module", params=["tokens", "levels"])
def data(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("windows")
    recordings = {f"{number}.wav": (1, frames) for number, frames in enumerate(FRAMES)}
    source = write_sources(folder / "source", recordings)
    write(source, folder / "out", request.param, shard_tokens=60)
    return open_tokens(folder / "out")


def same(ours, theirs):
    pairs = list(itertools.zip_longest(ours, theirs))
    assert pairs and all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in pairs)


def test_windows_of_each_row_leave_out_what_is_left_at_its_end(data):
    windows = data.windows(8)
    expected = [
        row.values[begin : begin + 8] for row in data for begin in range(0, row.frames - 7, 8)
    ]
    assert len(windows) == len(expected) == sum(frames // 8 for frames in FRAMES)
    same(windows, expected)
    same(windows.epoch(3), expected)  # without a seed, each epoch is in order


@pytest.mark.parametrize("length", [1, 8, 50, 231])
def test_joined_windows_are_cut_from_one_stream(data, length):
    stream = np.concatenate([row.values for row in data])
    windows = data.windows(length, joined=True)
    assert len(windows) == len(stream) // length
    same(windows, stream[: len(windows) * length].reshape(-1, length, *stream.shape[1:]))


@pytest.mark.parametrize("length", [1, 8, 50, 241])
def test_a_separator_stands_behind_each_row(data, length):
    separator = data.index.vocabulary_size
    pieces = [(row.values, np.full_like(row.values[:1], separator)) for row in data]
    stream = np.concatenate(list(itertools.chain(*pieces)))
    windows = data.windows(length, joined=True, separator=separator)
    assert len(windows) == len(stream) // length
    same(windows, stream[: len(windows) * length].reshape(-1, length, *stream.shape[1:]))


def test_a_seed_shuffles_each_epoch_anew_and_always_in_the_same_way(data):
    windows = data.windows(4, seed=1)

    def epoch(windows, number):
        return [window.tobytes() for window in windows.epoch(number)]

    first, second = epoch(windows, 0), epoch(windows, 1)
    in_order = [window.tobytes() for window in windows]
    assert sorted(first) == sorted(second) == sorted(in_order)
    assert len({tuple(order) for order in (first, second, in_order)}) == 3
    assert epoch(open_tokens(data.folder).windows(4, seed=1), 1) == second
    assert epoch(data.windows(4, seed=2), 0) != first


@pytest.mark.parametrize("joined", [False, True])
def test_an_epoch_goes_on_where_a_checkpoint_says(data, joined):
    windows = data.windows(4, seed=1, joined=joined).shard(1, 2)
    whole = list(windows.epoch(2))
    for start in (0, 1, len(whole) - 1):
        same(windows.epoch(2, start), whole[start:])
    assert list(windows.epoch(2, len(whole))) == []


@pytest.mark.parametrize("processes", [2, 3, 7])
def test_processes_share_the_windows_in_equal_parts(data, processes):
    windows = data.windows(4, seed=1)
    parts = [windows.shard(process, processes) for process in range(processes)]
    assert {len(part) for part in parts} == {len(windows) // processes}
    every = [window.tobytes() for window in windows.epoch(5)]
    # Process by process, they are the same order without its last few.
    taken = zip(*(part.epoch(5) for part in parts), strict=True)
    dealt = [window.tobytes() for windows in taken for window in windows]
    assert dealt == every[: len(windows) // processes * processes]
    in_order = [window.tobytes() for windows in zip(*parts, strict=True) for window in windows]
    assert in_order == [window.tobytes() for window in windows][: len(in_order)]


def test_windows_may_be_written_to(data):
    window = data.windows(8)[0]
    window[:] = 0
    assert data.windows(8)[0].any()


def test_a_dataset_of_rows_that_are_all_shorter_has_no_windows(data):
    windows = data.windows(121, seed=0)
    assert len(windows) == 0 and list(windows.epoch(0)) == []
    with pytest.raises(IndexError, match="window 0 of 0"):
        windows[0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda data: data.windows(0), "at least 1 frame long, got 0"),
        (lambda data: data.windows(8, seed=-1), "seed must be at least 0, got -1"),
        (lambda data: data.windows(8, separator=60), "give joined=True"),
        (lambda data: data.windows(8, joined=True, separator=1), "separator must be .* got 1"),
        (lambda data: data.windows(8, joined=True, separator=2**31), "separator must be"),
        (lambda data: data.windows(8).shard(2, 2), "process must be 0 to 1, got 2"),
        (lambda data: data.windows(8).shard(0, 2).shard(0, 2), "are a part already"),
        (lambda data: data.windows(8).epoch(-1), "epoch must be at least 0"),
        (lambda data: data.windows(8).epoch(0, 1000), "start 0 to 27, got 0 and 1000"),
    ],
)
def test_mistakes_are_named_before_the_first_window(data, call, message):
    with pytest.raises(ValueError, match=message):
        call(data)
