"""Reading prepared corpora: what is missing or damaged is named, with the command that mends it."""

import pickle
import shutil

import pytest

from l3ac_jax.config.data import CorpusConfig
from l3ac_jax.data.dataset import ClipSource, open_corpus, read_dataset_info
from l3ac_jax.data.prepare import prepare
from l3ac_jax.errors import DatasetError
from tests.data import trees
from tests.data.trees import CUT


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    root = tmp_path_factory.mktemp("prepared")
    prepare("folder", trees.folder(root / "tree"), root / "made", CUT, workers=1)
    return root / "made"


@pytest.fixture
def damaged(prepared, tmp_path):
    """A copy that a test may break."""
    shutil.copytree(prepared, tmp_path / "damaged")
    return tmp_path / "damaged"


def train(folder, index=0, count=1) -> ClipSource:
    return ClipSource(folder, read_dataset_info(folder, "folder"), "train", index, count)


def test_clips_by_their_number(prepared):
    source = train(prepared)
    assert len(source) == 40
    ids = [record.info.id for record in source]
    assert len(set(ids)) == 40
    assert source[-1].info.id == ids[-1]
    with pytest.raises(IndexError):
        source[40]


def test_each_process_reads_its_own_shards(prepared):
    everything = [record.info.id for record in train(prepared)]
    shares = [[record.info.id for record in train(prepared, i, 3)] for i in range(3)]
    assert sorted(id for share in shares for id in share) == sorted(everything)
    assert [len(share) for share in shares] == [16, 16, 8]
    with pytest.raises(DatasetError, match="3 shards in the train split are too few for 4 proc"):
        train(prepared, 0, 4)


def test_a_source_travels_to_other_processes(prepared):
    source = train(prepared)
    before = source[3].info
    assert pickle.loads(pickle.dumps(source))[3].info == before


@pytest.mark.parametrize("place", [100, 5000, 200_000])
def test_a_corrupted_shard_is_named(damaged, place):
    shard = damaged / "train-00001.array_record"
    content = bytearray(shard.read_bytes())
    content[place] ^= 255
    shard.write_bytes(content)
    with pytest.raises(DatasetError, match="this shard is missing or damaged: record") as error:
        list(train(damaged))
    assert str(shard) in str(error.value)
    assert "Remove it, and run python experiments/prepare_data.py again" in str(error.value)


def test_a_shard_cut_short_or_missing_is_named_before_training(damaged):
    shard = damaged / "train-00001.array_record"
    with shard.open("r+b") as file:
        file.truncate(65536)
    with pytest.raises(DatasetError, match=r"train-00001.*it has 65536 bytes, not \d+"):
        train(damaged)
    shard.unlink()
    with pytest.raises(DatasetError, match=r"train-00001.*No such file"):
        train(damaged)


def test_a_shard_with_other_clips_is_named(damaged):
    shutil.copy(damaged / "train-00002.array_record", damaged / "train-00001.array_record")
    size = (damaged / "train-00001.array_record").stat().st_size
    info = (damaged / "dataset.json").read_text()
    shard = read_dataset_info(damaged, "folder").splits["train"].shards[1]
    (damaged / "dataset.json").write_text(
        info.replace(f'"bytes": {shard.bytes}', f'"bytes": {size}')
    )
    with pytest.raises(DatasetError, match=r"train-00001.*it has 8 records, not 16"):
        list(train(damaged))


def test_a_missing_corpus_says_how_to_make_it(tmp_path, monkeypatch):
    corpus = CorpusConfig(corpus="fsd50k", path=str(tmp_path / "fsd50k"))
    command = f"python experiments/prepare_data.py fsd50k SOURCE {tmp_path}/fsd50k"
    with pytest.raises(DatasetError, match="fsd50k does not exist") as error:
        open_corpus(corpus, "train", 16000)
    assert command in str(error.value)
    (tmp_path / "fsd50k").mkdir()
    with pytest.raises(DatasetError, match="fsd50k is not finished") as error:
        open_corpus(corpus, "train", 16000)
    assert command in str(error.value)

    corpus = CorpusConfig(corpus="fsd50k", path="$L3AC_TEST_DATA/fsd50k")
    monkeypatch.delenv("L3AC_TEST_DATA", raising=False)
    with pytest.raises(DatasetError, match="the environment variable L3AC_TEST_DATA is not set"):
        open_corpus(corpus, "train", 16000)
    monkeypatch.setenv("L3AC_TEST_DATA", str(tmp_path))
    with pytest.raises(DatasetError, match="fsd50k is not finished"):
        open_corpus(corpus, "train", 16000)


def test_the_wrong_corpus_rate_or_split_is_refused(prepared):
    corpus = CorpusConfig(corpus="folder", path=str(prepared))
    assert len(open_corpus(corpus, "train", 16000).clips) == 40
    with pytest.raises(DatasetError, match="holds the corpus folder, not fsd50k"):
        open_corpus(corpus.model_copy(update={"corpus": "fsd50k"}), "train", 16000)
    with pytest.raises(DatasetError, match=r"have 16000 Hz, the model 24000 Hz; .* 24000$"):
        open_corpus(corpus, "train", 24000)
    with pytest.raises(DatasetError, match="folder has no clips in its validation split"):
        open_corpus(corpus, "validation", 16000)


@pytest.mark.parametrize("content", ["", "{}", '{"format": "l3ac-jax clips", "version": 2}'])
def test_a_dataset_of_another_kind_is_refused(damaged, content):
    (damaged / "dataset.json").write_text(content)
    with pytest.raises(DatasetError, match=r"dataset\.json: is not what this version reads"):
        train(damaged)
