"""Writes a dataset of tokens shard by shard, so that it can be stopped and gone on with.

`dataset.json` names the complete shards and how much of the input they hold. It is replaced after
each shard: whatever a killed process was doing then is done again, to the same bytes.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Sequence

import numpy as np

from l3ac_jax.errors import TokenDatasetError
from l3ac_jax.model.levels import tokens_to_levels
from l3ac_jax.system.files import Temporary
from l3ac_jax.system.targets import TargetFolder, open_target
from l3ac_jax.tokens.dataset.index import (
    INDEX,
    Description,
    Form,
    Index,
    Shard,
    Unfinished,
    damaged_sizes,
    file_sha256,
    read_index,
    refuse_damaged,
    require_arrow,
    schema,
    write_index,
)
from l3ac_jax.tokens.dataset.parts import Result, as_text, reason_of
from l3ac_jax.tokens.format import EncodedAudio

__all__ = [
    "FAILURES_FILE",
    "LOCK",
    "PARTS",
    "TokenWriter",
    "begun",
    "check_target",
    "clear",
    "is_complete",
    "remove_parts",
]

FAILURES_FILE = "failures.tsv"
LOCK = ".lock"
PARTS = ".parts"  # a folder, see parts.py
OURS = re.compile(rf"tokens-\d+\.arrow|{INDEX}|{FAILURES_FILE}|\{LOCK}|\{PARTS}")


def check_target(folder: TargetFolder, overwrite: bool) -> None:
    """Raise TokenDatasetError unless a dataset can be begun there, or gone on with."""
    if not folder.exists():
        return
    others = sorted(name for name in folder.names() if not _is_ours(name))
    if others:
        dots = ", ..." if len(others) > 3 else ""
        raise TokenDatasetError(
            f"{folder}: is not written to, since it also holds {', '.join(others[:3])}{dots}"
        )
    if not overwrite and _is_begun(folder):
        try:
            index = read_index(folder)
        except TokenDatasetError as error:
            raise TokenDatasetError(f"{error} (--overwrite begins anew)") from None
        if index.unfinished is None and index.inputs is None:
            raise _complete(folder, index)


def is_complete(folder: TargetFolder, form: Form, shard_tokens: int, inputs: str) -> bool:
    """Whether there is nothing left to do, as far as it is known without the model.

    Raises TokenDatasetError for a complete dataset of another input or with other options.
    """
    if folder.size(INDEX) is None:
        return False
    index = read_index(folder)
    if index.unfinished is not None:
        return False
    if (index.form, index.shard_tokens, index.inputs) != (form, shard_tokens, inputs):
        raise _complete(folder, index)
    return True


def _complete(folder: TargetFolder, index: Index) -> TokenDatasetError:
    return TokenDatasetError(
        f"{folder}: is complete already: rows {index.rows}, shards {len(index.shards)}, of another "
        "input or with other options (--overwrite writes it anew)"
    )


def clear(folder: TargetFolder) -> None:
    """Remove a dataset, the index first: what is left if that is cut short is no dataset."""
    folder.remove(INDEX)
    remove_parts(folder.below(PARTS))
    for name in folder.names():
        if _is_ours(name) and name not in (LOCK, PARTS):
            folder.remove(name)


def remove_parts(parts: TargetFolder) -> None:
    """Remove what is in the folder of the parts, and then that."""
    for name in parts.names():
        parts.remove(name)
    parts.remove_folder()


def begun(
    folder: TargetFolder, description: Description, shard_tokens: int, inputs: str
) -> tuple[Index, Unfinished | None]:
    """How far the dataset is that these make, which is begun if it is not; None if it is complete.

    Several machines may begin it at once: they write the same. Raises TokenDatasetError where
    anything differs from what it was begun with, OutputError.
    """
    unfinished = Unfinished(inputs=inputs, files=0)
    new = Index(**dict(description), shard_tokens=shard_tokens, unfinished=unfinished)
    if folder.size(INDEX) is None:
        write_index(folder, new)
        return new, unfinished
    index = _same_work(folder, read_index(folder), new)
    return index, index.unfinished


class TokenWriter:
    """Takes recordings one by one, in the order of the input, and writes a shard when it is full.

    A folder with an unfinished dataset of the same input and options is gone on with: `files` says
    how many of the input are dealt with; with a complete one there is nothing to do (`complete`).
    `inputs` is a fingerprint of the input. Raises TokenDatasetError where anything differs,
    OutputError where nothing can be written.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | TargetFolder,
        description: Description,
        shard_tokens: int,
        inputs: str,
    ):
        self._folder = folder = open_target(folder)
        self.index, state = begun(folder, description, shard_tokens, inputs)
        self.complete = state is None
        if state is None:
            return
        _remove_unnamed(folder, self.index)
        self.files, self._inputs = state.files, state.inputs
        self._failures = list(state.failures)
        self._waiting: list[tuple[str, EncodedAudio]] = []
        self._waiting_frames = 0

    @property
    def safe_files(self) -> int:
        """How many files of the input are in complete shards, or failed before."""
        return self.index.unfinished.files if self.index.unfinished else self.files

    def add(self, path: str, result: Result, damage: str | None = None) -> None:
        """The next file of the input, with its tokens or why it has none, and what is missing."""
        if isinstance(result, Exception):
            self._failures.append((as_text(path), reason_of(result)))
        else:
            full = self._waiting_frames + result.tokens.size > self.index.shard_tokens
            if self._waiting and full:
                self._write_shard()
            self._waiting.append((path, result))
            self._waiting_frames += result.tokens.size
            if damage is not None:
                self._failures.append((as_text(path), f"used in part: {damage}"))
        self.files += 1

    def finish(self, more_failures: Sequence[tuple[str, str]] = ()) -> Index:
        """Write what is left. `more_failures` are paths and reasons of what is no file."""
        if self._waiting:
            self._write_shard()
        failures = sorted([*self._failures, *more_failures])
        if failures:
            with (
                self._folder.writing(FAILURES_FILE) as temporary,
                temporary.open("w", encoding="utf-8", newline="") as file,
            ):
                table = csv.writer(file, delimiter="\t", lineterminator="\n")
                table.writerows([("path", "reason"), *failures])
        done = {"failures": len(failures), "unfinished": None, "inputs": self._inputs}
        self.index = self.index.model_copy(update=done)
        write_index(self._folder, self.index)
        return self.index

    def _write_shard(self) -> None:
        arrow = require_arrow()
        columns = schema(self.index.description)
        batch = arrow.record_batch(self._columns(), schema=columns)
        name = f"tokens-{len(self.index.shards):05d}.arrow"
        with self._folder.writing(name) as temporary:
            with (
                arrow.OSFile(str(temporary), "wb") as sink,
                arrow.ipc.new_stream(sink, columns) as stream,
            ):
                stream.write_batch(batch)
            shard = Shard(
                file=name,
                rows=batch.num_rows,
                frames=self._waiting_frames,
                bytes=temporary.stat().st_size,
                sha256=file_sha256(temporary),
            )
        self.index = self.index.model_copy(
            update={
                "recordings": self.index.recordings + len(self._waiting),
                "rows": self.index.rows + shard.rows,
                "frames": self.index.frames + shard.frames,
                "failures": len(self._failures),
                "shards": (*self.index.shards, shard),
                "unfinished": Unfinished(
                    inputs=self._inputs, files=self.files, failures=tuple(self._failures)
                ),
            }
        )
        self._waiting, self._waiting_frames = [], 0
        write_index(self._folder, self.index)

    def _columns(self) -> list:
        arrow = require_arrow()
        rows = [
            (encoded, path, channel)
            for path, encoded in self._waiting
            for channel in range(len(encoded.tokens))
        ]
        values = [self._values(encoded.tokens[channel]) for encoded, _, channel in rows]
        offsets = np.cumsum([0] + [len(value) for value in values])
        if offsets[-1] > np.iinfo(np.int32).max:
            raise TokenDatasetError(
                f"{rows[0][1]}: is too long: a shard holds at most {np.iinfo(np.int32).max} values"
            )
        return [
            arrow.ListArray.from_arrays(
                arrow.array(offsets, arrow.int32()), arrow.array(np.concatenate(values))
            ),
            [path for _, path, _ in rows],
            [channel for _, _, channel in rows],
            [len(encoded.tokens) for encoded, _, _ in rows],
            [encoded.samples for encoded, _, _ in rows],
            [encoded.sample_rate for encoded, _, _ in rows],
            [encoded.tokens.shape[1] for encoded, _, _ in rows],
        ]

    def _values(self, tokens: np.ndarray) -> np.ndarray:
        if self.index.form == "tokens":
            return tokens.astype(np.int32)
        return tokens_to_levels(tokens, self.index.format.levels).astype(np.uint8).reshape(-1)


def _same_work(folder: TargetFolder, old: Index, new: Index) -> Index:
    """The old index if what it began is what is wanted. Raises TokenDatasetError."""
    assert new.unfinished is not None
    inputs = old.inputs if old.unfinished is None else old.unfinished.inputs
    begun = f"{folder}: was begun with"
    anew = "(--overwrite begins anew)"
    # the name is not compared: one folder has many
    if old.format != new.format:
        raise TokenDatasetError(
            f"{begun} another model, {old.model} (fingerprints {old.format.config} and "
            f"{old.format.weights}), not {new.model} ({new.format.config} and "
            f"{new.format.weights}) {anew}"
        )
    if old.form != new.form:
        raise TokenDatasetError(f"{begun} {old.form}, not {new.form} {anew}")
    if old.shard_tokens != new.shard_tokens:
        raise TokenDatasetError(f"{begun} --shard-tokens {old.shard_tokens} {anew}")
    if inputs != new.unfinished.inputs:
        raise TokenDatasetError(
            f"{begun} other files: names, sizes or times of change differ from those that are "
            f"there now {anew}"
        )
    refuse_damaged(folder, damaged_sizes(folder, old))
    return old


def _remove_unnamed(folder: TargetFolder, index: Index) -> None:
    """What killed processes have left: halves of files, and a shard that is in no index yet."""
    named = {INDEX, LOCK, PARTS, *(shard.file for shard in index.shards)}
    for name in folder.names():
        if _is_ours(name) and name not in named:
            folder.remove(name)


def _is_ours(name: str) -> bool:
    return OURS.fullmatch(name) is not None or Temporary.parse(name) is not None


def _is_begun(folder: TargetFolder) -> bool:
    """Whether a dataset was begun: a run that ended before has left a lock or parts at most."""
    return any(not name.startswith(".") for name in folder.names())
