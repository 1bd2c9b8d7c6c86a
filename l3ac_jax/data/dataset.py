"""A prepared corpus on disk: `dataset.json`, shards in ArrayRecord files, and how they are read."""

from __future__ import annotations

import bisect
import itertools
import os
import re
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, SupportsIndex

from pydantic import BaseModel, ValidationError

from l3ac_jax.config.data import CorpusConfig, CorpusName, Split
from l3ac_jax.data.clip import Record
from l3ac_jax.errors import DatasetError, RecordError
from l3ac_jax.system.packages import needs_extra

with needs_extra("train", "a data set of audio"):
    from array_record.python.array_record_module import ArrayRecordReader

DATASET_FILE = "dataset.json"
SKIPPED_FILE = "skipped.tsv"
COMMAND = "python experiments/prepare_data.py"
MAX_OPEN = 512  # shards of a split at a time: most systems allow a process 1024 files


class ShardInfo(BaseModel, frozen=True, extra="forbid"):
    """One file of clips. `sha256` is of the whole file, `samples` the sum over its clips."""

    file: str
    clips: int
    samples: int
    bytes: int
    sha256: str


class SplitInfo(BaseModel, frozen=True, extra="forbid"):
    """The shards of a split, in order."""

    clips: int
    seconds: float
    shards: tuple[ShardInfo, ...]


class DatasetInfo(BaseModel, frozen=True, extra="forbid"):
    """The content of dataset.json. `sha256` is of the checksums of all shards, in order."""

    format: Literal["l3ac-jax clips"] = "l3ac-jax clips"
    version: Literal[1] = 1
    corpus: CorpusName
    sample_rate: int
    splits: dict[Split, SplitInfo]
    skipped: int
    sha256: str


def read_dataset_info(folder: str | os.PathLike[str], corpus: CorpusName) -> DatasetInfo:
    """What a prepared corpus holds. Raises DatasetError, which says how to make it."""
    path = Path(folder) / DATASET_FILE
    try:
        info = DatasetInfo.model_validate_json(path.read_bytes())
    except PermissionError:
        raise DatasetError(f"{path}: may not be read") from None
    except OSError:
        what = "is not finished" if path.parent.is_dir() else "does not exist"
        raise DatasetError(
            f"{folder}: the prepared corpus {corpus} {what} (there is no {DATASET_FILE}); "
            f"make it with: {COMMAND} {corpus} SOURCE {folder}"
        ) from None
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise DatasetError(
            f"{path}: is not what this version reads: {where}: {problem['msg']}"
        ) from None
    if info.corpus != corpus:
        raise DatasetError(f"{folder}: holds the corpus {info.corpus}, not {corpus}")
    return info


@dataclass(frozen=True)
class Corpus:
    """A split of a prepared corpus, ready to read."""

    info: DatasetInfo
    clips: ClipSource


def open_corpus(
    corpus: CorpusConfig,
    split: Split,
    sample_rate: int,
    process_index: int = 0,
    process_count: int = 1,
) -> Corpus:
    """The corpus that a configuration names. Raises DatasetError; see `ClipSource`."""
    path = os.path.expanduser(os.path.expandvars(corpus.path))
    if unset := re.search(r"\$\{?(\w+)", path):
        raise DatasetError(
            f"{corpus.path}: the environment variable {unset[1]} is not set; it should name the "
            f"folder with the prepared corpora (for {corpus.corpus}, make it with: "
            f"{COMMAND} {corpus.corpus} SOURCE {corpus.path})"
        )
    info = read_dataset_info(path, corpus.corpus)
    if info.sample_rate != sample_rate:
        raise DatasetError(
            f"{path}: its clips have {info.sample_rate} Hz, the model {sample_rate} Hz; make them "
            f"with: {COMMAND} {corpus.corpus} SOURCE TARGET --sample-rate {sample_rate}"
        )
    return Corpus(info, ClipSource(path, info, split, process_index, process_count))


class ClipSource:
    """Random access to the records of one split: a Grain data source.

    Every process may read its own shards: process `process_index` of `process_count` takes every
    `process_count`-th. Raises DatasetError for shards that are missing, cut short or damaged.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        info: DatasetInfo,
        split: Split,
        process_index: int = 0,
        process_count: int = 1,
    ):
        self.folder = Path(folder)
        shards = info.splits[split].shards if split in info.splits else ()
        if not shards:
            raise DatasetError(f"{folder}: {info.corpus} has no clips in its {split} split")
        if len(shards) < process_count:
            raise DatasetError(
                f"{folder}: {len(shards)} shards in the {split} split are too few for "
                f"{process_count} processes, each of which reads its own"
            )
        self._shards = shards[process_index::process_count]
        self._starts = [0, *itertools.accumulate(shard.clips for shard in self._shards)]
        self._readers: dict[int, ArrayRecordReader] = {}
        self._lock = threading.Lock()
        for shard in self._shards:
            self._check_size(shard)

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, index: SupportsIndex) -> Record:
        index = range(len(self))[index]  # counts from the end, and checks
        shard = bisect.bisect_right(self._starts, index) - 1
        number = index - self._starts[shard]
        try:
            return Record(self._reader(shard).read([number])[0])
        except (RuntimeError, IndexError, RecordError) as error:
            raise self._damaged(self._shards[shard], f"record {number}: {error}") from error

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_readers": {}, "_lock": None}  # readers open files: not carried

    def __setstate__(self, state: dict) -> None:
        self.__dict__ = state | {"_lock": threading.Lock()}

    def __repr__(self) -> str:
        return f"ClipSource({str(self.folder)!r}, {len(self._shards)} shards, {len(self)} clips)"

    def _reader(self, shard: int) -> ArrayRecordReader:
        with self._lock:
            if shard not in self._readers:
                info = self._shards[shard]
                try:  # ArrayRecord says of a file that it cannot open that it has no records
                    (self.folder / info.file).open("rb").close()
                except OSError as error:
                    raise DatasetError(f"{self.folder / info.file}: {error.strerror}") from error
                # Without the buffer that sequential reading would want: 16 MB for each shard.
                reader = ArrayRecordReader(
                    str(self.folder / info.file), options="readahead_buffer_size:0"
                )
                if reader.num_records() != info.clips:
                    raise self._damaged(
                        info, f"it has {reader.num_records()} records, not {info.clips}"
                    )
                self._readers[shard] = reader
                if len(self._readers) > MAX_OPEN:
                    del self._readers[next(iter(self._readers))]
            return self._readers[shard]

    def _check_size(self, shard: ShardInfo) -> None:
        try:
            size = (self.folder / shard.file).stat().st_size
        except OSError as error:
            raise self._damaged(shard, error.strerror or str(error)) from None
        if size != shard.bytes:
            raise self._damaged(shard, f"it has {size} bytes, not {shard.bytes}")

    def _damaged(self, shard: ShardInfo, reason: str) -> DatasetError:
        return DatasetError(
            f"{self.folder / shard.file}: this shard is missing or damaged: {reason}. "
            f"Remove it, and run {COMMAND} again as before: it makes just what is missing"
        )
