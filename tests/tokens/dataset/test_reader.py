"""What trainers read: Hugging Face datasets as the oracle, the reader, and how it finds damage."""

import json
import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pyarrow
import pyarrow.ipc
import pytest
from datasets import Dataset, concatenate_datasets, load_dataset

from l3ac_jax.errors import TokenDatasetError
from l3ac_jax.tokens.dataset.reader import open_tokens
from tests.tokens.dataset.token_folders import FORMAT, StandIn, content, write, write_sources

RECORDINGS = {
    "b.wav": (1, 40),
    "a/two.wav": (2, 30),
    "a/one.wav": (1, 70),
    "c/long.wav": (1, 250),
    "d.wav": (3, 1),
    "ünicode 語.wav": (1, 12),
}
# Sorted as text; shards of 100 tokens at most, but for a longer recording.
SHARDS = [["a/one.wav"], ["a/two.wav", "b.wav"], ["c/long.wav"], ["d.wav", "ünicode 語.wav"]]


@pytest.fixture
def source(tmp_path):
    return write_sources(tmp_path / "source", RECORDINGS)


@pytest.fixture(params=["tokens", "levels"])
def form(request):
    return request.param


@pytest.fixture
def folder(source, tmp_path, form):
    write(source, tmp_path / "out", form)
    return tmp_path / "out"


def expected_rows(source, form):
    """(path, channel, values), as the file's own content says."""
    for path in (path for shard in SHARDS for path in shard):
        for channel, tokens in enumerate(content(source / path).tokens):
            # NumPy's own mixed radix: the first dimension varies fastest
            levels = np.stack(np.unravel_index(tokens, FORMAT.levels, order="F"), axis=-1)
            yield path, channel, tokens if form == "tokens" else levels


def test_rows_are_the_channels_of_each_recording_in_the_order_of_paths(source, folder, form):
    data = open_tokens(folder)
    expected = list(expected_rows(source, form))
    assert len(data) == len(expected) == data.index.rows
    for row, (path, channel, values) in zip(data, expected, strict=True):
        assert (row.path, row.channel, row.channels) == (path, channel, RECORDINGS[path][0])
        assert (row.frames, row.samples, row.sample_rate) == (len(values), 6 * len(values), 16000)
        assert row.values.dtype == (np.int32 if form == "tokens" else np.uint8)
        np.testing.assert_array_equal(row.values, values)
    assert data[-1].path == data[len(data) - 1].path == "ünicode 語.wav"
    assert data.frames == sum(channels * frames for channels, frames in RECORDINGS.values())
    with pytest.raises(IndexError, match="row 9 of a dataset with 9 rows"):
        data[9]


def test_rows_are_never_split_over_shards(folder):
    data = open_tokens(folder)
    paths = [list(dict.fromkeys(data[row].path for row in rows)) for rows in ([0], [1, 2, 3], [4])]
    assert paths == SHARDS[:3]
    assert [shard.frames for shard in data.index.shards] == [70, 100, 250, 15]


def test_values_are_read_only_views_of_the_file(folder):
    data = open_tokens(folder)
    before = pyarrow.total_allocated_bytes()
    values = data[4].values
    assert not values.flags.writeable and not values.flags.owndata
    assert pyarrow.total_allocated_bytes() == before
    with open("/proc/self/maps") as maps:
        assert "tokens-00002.arrow" in maps.read()


def test_the_index_says_what_the_values_mean(folder, form):
    index = json.loads((folder / "dataset.json").read_text())
    assert index["format"] == {
        "config": "configuration",
        "weights": "weights",
        "sample_rate": 16000,
        "hop_length": 6,
        "levels": [5, 4, 3],
    }
    assert index["vocabulary_size"] == (60 if form == "tokens" else 5)
    assert (index["codebook_size"], index["version"], index["form"]) == (60, 1, form)
    assert (index["recordings"], index["rows"], index["failures"]) == (6, 9, 0)
    assert "unfinished" not in index
    data = open_tokens(folder)
    assert max(row.values.max() for row in data) == data.index.vocabulary_size - 1
    assert data.index.format == FORMAT


def test_hugging_face_datasets_maps_the_shards_as_they_are(source, folder, form):
    files = sorted(folder.glob("*.arrow"))
    before = pyarrow.total_allocated_bytes()
    parts = [Dataset.from_file(str(file)) for file in files]
    assert pyarrow.total_allocated_bytes() == before
    assert [type(part.data).__name__ for part in parts] == ["MemoryMappedTable"] * 4
    data = concatenate_datasets(parts).with_format("numpy")
    for row, (path, channel, values) in zip(data, expected_rows(source, form), strict=True):
        assert (row["path"], row["channel"]) == (path, channel)
        np.testing.assert_array_equal(row[form], values.reshape(-1))


def test_load_dataset_reads_them_as_arrow(source, folder, form, tmp_path):
    data = load_dataset(
        "arrow",
        data_files=[str(file) for file in sorted(folder.glob("*.arrow"))],
        split="train",
        cache_dir=str(tmp_path / "cache"),
    )
    for row, (path, _, values) in zip(data, expected_rows(source, form), strict=True):
        assert row["path"] == path
        assert row[form] == values.reshape(-1).tolist()


def test_it_can_be_sent_to_another_process(folder):
    data = open_tokens(folder)
    first = data[0].values
    sent = pickle.dumps(data)
    assert len(sent) < 4000  # the index, not the tokens
    np.testing.assert_array_equal(pickle.loads(sent)[0].values, first)


def test_a_missing_shard_and_one_that_is_cut_off_are_named_at_once(folder):
    (folder / "tokens-00000.arrow").unlink()
    cut = folder / "tokens-00002.arrow"
    size = cut.stat().st_size
    # A stream of Arrow that ends early is not an error of its own.
    cut.write_bytes(cut.read_bytes()[: size - 8])
    message = (
        f"tokens-00000.arrow is missing; tokens-00002.arrow has {size - 8} bytes instead of {size}"
    )
    with pytest.raises(TokenDatasetError, match=message):
        open_tokens(folder)


def test_a_flipped_bit_is_found_by_verify(folder):
    path = folder / "tokens-00002.arrow"
    data = bytearray(path.read_bytes())
    values = open_tokens(folder)[4].values.tobytes()
    data[data.index(values) + 10] ^= 1
    path.write_bytes(data)
    with pytest.raises(TokenDatasetError, match=r"tokens-00002.arrow is damaged: its checksum"):
        open_tokens(folder).verify()


def test_damage_anywhere_is_an_error_or_gives_rows_of_the_right_length(folder):
    """Whatever byte is wrong: never a crash, and never less than there should be."""
    path = folder / "tokens-00001.arrow"
    intact = path.read_bytes()
    whole = open_tokens(folder)
    frames = [row.frames for row in whole]
    random = np.random.default_rng(0)
    refused = read = 0
    for place in random.choice(len(intact), 400, replace=False):
        damaged = bytearray(intact)
        damaged[place] ^= 1 << random.integers(8)
        path.write_bytes(damaged)
        try:
            rows = list(open_tokens(folder))
        except TokenDatasetError as error:
            refused += "tokens-00001.arrow is damaged" in str(error)
        else:
            read += 1
            assert [row.frames for row in rows] == frames
            assert all(isinstance(row.path, str) for row in rows)
            assert all(isinstance(row.samples, int) for row in rows)
    assert refused + read == 400
    assert refused > 40
    path.write_bytes(intact)
    whole.verify()


def test_shards_of_another_dataset_are_refused(source, folder, form, tmp_path):
    other = StandIn(token_format=replace(FORMAT, weights="another"))
    write(source, tmp_path / "other", form, codec=other)
    shard = tmp_path / "other" / "tokens-00000.arrow"
    (folder / "tokens-00000.arrow").write_bytes(shard.read_bytes())
    with pytest.raises(TokenDatasetError, match="its tokens are not those that the dataset is of"):
        open_tokens(folder)[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "has version 2, and only 1 can be read here"),
        ({"form": "words"}, "is damaged: form: Input should be 'tokens' or 'levels'"),
        ({"rows": "many"}, "is damaged: rows: "),
        ({"extra": 1}, "is damaged: extra: "),
    ],
)
def test_an_index_that_cannot_be_read_is_named(folder, change, message):
    path = folder / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(TokenDatasetError, match=f"dataset.json: {message}"):
        open_tokens(folder)


def test_what_is_no_dataset_is_refused(tmp_path):
    with pytest.raises(TokenDatasetError, match="is no folder of tokens"):
        open_tokens(tmp_path / "nothing")
    with pytest.raises(TokenDatasetError, match=r"it has no dataset\.json"):
        open_tokens(tmp_path)
    (tmp_path / "dataset.json").write_bytes(b"\xff{")
    with pytest.raises(TokenDatasetError, match=r"dataset\.json: is damaged"):
        open_tokens(tmp_path)


def test_without_pyarrow_there_is_one_clear_error(tmp_path):
    script = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from l3ac_jax.tokens.dataset.reader import open_tokens\n"
        "from l3ac_jax.tokens.dataset.encoding import plan_dataset\n"
        "for call in (open_tokens, lambda folder: plan_dataset(folder, folder, {'.wav'})):\n"
        "    try: call('.')\n"
        "    except ValueError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    assert all("a dataset of tokens needs a package that is not installed" in x for x in lines)
    assert all("pip install 'l3ac-jax[tokens]'" in line for line in lines)
