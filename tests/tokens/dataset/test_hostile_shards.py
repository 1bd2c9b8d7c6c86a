"""Datasets of tokens made to do harm: nothing is unpacked in memory."""

import json

import numpy as np
import pyarrow
import pyarrow.ipc
import pytest

from l3ac_jax.errors import TokenDatasetError
from l3ac_jax.tokens.dataset.reader import open_tokens
from tests.tokens.dataset.token_folders import write, write_sources


@pytest.fixture
def folder(tmp_path):
    write(write_sources(tmp_path / "source", {"a.wav": (1, 40)}), tmp_path / "out")
    return tmp_path / "out"


def change_shard(folder, **changes) -> None:
    """Other facts about the one shard in dataset.json."""
    path = folder / "dataset.json"
    index = json.loads(path.read_text())
    index["shards"] = [index["shards"][0] | changes]
    path.write_text(json.dumps(index))


@pytest.mark.parametrize("codec", ["zstd", "lz4", None])
def test_compressed_shards_are_refused_before_they_are_unpacked(folder, codec):
    """Ten million equal tokens, 40 MB, are some kilobytes then; uncompressed they are mapped."""
    frames = 10**7
    path = folder / "tokens-00000.arrow"
    table = pyarrow.ipc.open_stream(path.read_bytes()).read_all()
    columns = {name: table.column(name).to_pylist() for name in table.schema.names}
    columns |= {"tokens": [np.zeros(frames, np.int32)], "frames": [frames]}
    arrays = [pyarrow.array(columns[field.name], field.type) for field in table.schema]
    batch = pyarrow.record_batch(arrays, schema=table.schema)
    options = pyarrow.ipc.IpcWriteOptions(compression=codec)
    with (
        pyarrow.OSFile(str(path), "wb") as sink,
        pyarrow.ipc.new_stream(sink, table.schema, options=options) as stream,
    ):
        stream.write_batch(batch)
    del arrays, batch, columns
    change_shard(folder, bytes=path.stat().st_size, frames=frames)
    before = pyarrow.total_allocated_bytes()
    data = open_tokens(folder)
    if codec is None:
        assert len(data[0].values) == frames
    else:
        assert path.stat().st_size < 500_000
        with pytest.raises(TokenDatasetError, match=r"tokens-00000\.arrow is damaged: it is compr"):
            data[0]
    assert pyarrow.total_allocated_bytes() - before < 2**20
