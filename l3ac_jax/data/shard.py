"""Making one shard: a fixed list of recordings -> one ArrayRecord file and a note of its making.

A shard depends on nothing but its recordings and the settings, so that it does not matter when,
beside what and after how many interruptions it is made: the bytes are the same.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial

from pydantic import BaseModel, ValidationError

from l3ac_jax.data.clip import encode_record
from l3ac_jax.data.dataset import ShardInfo
from l3ac_jax.data.recordings import Cut, Recording, UnusableError, is_silent, read_pieces
from l3ac_jax.system.packages import needs_extra
from l3ac_jax.system.targets import TargetFolder, open_target

with needs_extra("train", "a data set of audio"):
    from array_record.python.array_record_module import ArrayRecordWriter

NOTES = ".shards"
USED_IN_PART = "used in part"  # the reason why a recording is listed that is not whole


class Skipped(BaseModel, frozen=True, extra="forbid"):
    """A recording, or one piece of it, that is not used or not whole, and why."""

    source: str
    reason: str


class ShardNote(BaseModel, frozen=True, extra="forbid"):
    """Kept beside the shards: what was made (None where no clip was left), and what was skipped.

    `input` is a checksum of the recordings and settings that it was made from.
    """

    input: str
    shard: ShardInfo | None
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True)
class ShardPlan:
    """What goes into one shard."""

    name: str
    recordings: tuple[Recording, ...]

    def __str__(self) -> str:
        return f"shard {self.name}"

    @property
    def bytes(self) -> int:
        return sum(recording.bytes or 0 for recording in self.recordings)

    def checksum(self, cut: Cut | None = None) -> str:
        """Of the recordings, but not their content; with `cut`, of all that makes the shard."""
        digest = hashlib.sha256(json.dumps(asdict(cut) if cut else None).encode())
        for r in self.recordings:
            digest.update(json.dumps([r.id, r.source, r.bytes, r.text]).encode() + b"\n")
        return digest.hexdigest()


class StoppedError(Exception):
    """Making a shard was given up half-way, since the run is to end."""


def plan_shards(
    recordings: Sequence[Recording], split: str, max_bytes: int = 1 << 29, max_files: int = 8192
) -> list[ShardPlan]:
    """Consecutive recordings, by size and number only: independent of cores and hosts.

    Small corpora too are cut into up to 64 shards, so that all cores have work and several hosts
    have shards of their own.
    """
    max_files = min(max_files, max(16, -(-len(recordings) // 64)))
    groups: list[list[Recording]] = []
    size = 0
    for recording in recordings:
        added = recording.bytes or 0
        if not groups or len(groups[-1]) == max_files or size + added > max_bytes:
            groups.append([])
            size = 0
        groups[-1].append(recording)
        size += added
    return [ShardPlan(f"{split}-{i:05d}", tuple(group)) for i, group in enumerate(groups)]


def read_note(target: TargetFolder, plan: ShardPlan, cut: Cut) -> ShardNote | None:
    """The note of a shard that is there and whole; None if it is still to be made."""
    try:
        note = ShardNote.model_validate_json(target.below(NOTES).read(_note_name(plan)))
        whole = note.shard is None or target.size(note.shard.file) == note.shard.bytes
    except (OSError, ValidationError):
        return None
    return note if whole and note.input == plan.checksum(cut) else None


def make_shard(
    target: str | os.PathLike[str] | TargetFolder,
    plan: ShardPlan,
    cut: Cut,
    advance: Callable[[int], None] = lambda _: None,
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Write the shard and then its note, each complete or not at all.

    `advance` hears the bytes of each recording that is done; `stopped` is asked before each.
    Raises OutputError when the disk is full, SourceError and StoppedError.
    """
    target = open_target(target)
    notes = target.below(NOTES)
    notes.remove(_note_name(plan))
    name = f"{plan.name}.array_record"
    skipped: list[Skipped] = []
    clips = samples = 0
    with target.writing(name) as temporary:
        # Records are compressed already; groups of one make random access cheap.
        writer = ArrayRecordWriter(str(temporary), "group_size:1,uncompressed")
        try:
            for recording in plan.recordings:
                if stopped():
                    raise StoppedError
                for record, length in _records(recording, cut, skipped):
                    writer.write(record)
                    clips += 1
                    samples += length
                advance(recording.bytes or 0)
        finally:
            _close(writer)
        with temporary.open("rb") as written:
            digest = hashlib.file_digest(written, "sha256").hexdigest()
        shard = ShardInfo(
            file=name,
            clips=clips,
            samples=samples,
            bytes=temporary.stat().st_size,
            sha256=digest,
        )
    if not clips:
        target.remove(name)
    note = ShardNote(
        input=plan.checksum(cut), shard=shard if clips else None, skipped=tuple(skipped)
    )
    with notes.writing(_note_name(plan)) as temporary:
        temporary.write_text(note.model_dump_json(), encoding="utf-8")


def shard_maker(target: TargetFolder, cut: Cut) -> Callable[[ShardPlan], None]:
    """What makes shards elsewhere: `make_shard`, to be sent with what it needs."""
    return partial(_make, target, cut)


def _make(target: TargetFolder, cut: Cut, plan: ShardPlan) -> None:
    make_shard(target, plan, cut)


def _records(recording: Recording, cut: Cut, skipped: list[Skipped]) -> Iterator[tuple[bytes, int]]:
    """Record and number of samples of each piece that is used; what is missing is noted."""
    damage: list[str] = []
    try:
        pieces = read_pieces(recording, cut, damage.append)
    except UnusableError as error:
        skipped.append(Skipped(source=recording.source, reason=str(error)))
        return
    for message in damage:
        reason = f"{USED_IN_PART}: {message.removeprefix(f'{recording.path}: ')}"
        skipped.append(Skipped(source=recording.source, reason=reason))
    for number, piece in enumerate(pieces):
        part = f"#{number:03d}" if len(pieces) > 1 else ""
        if is_silent(piece, cut):
            skipped.append(Skipped(source=recording.source + part, reason="silent"))
            continue
        record = encode_record(
            piece, cut.sample_rate, recording.id + part, recording.source, recording.text
        )
        yield record, len(piece)


def _close(writer: ArrayRecordWriter) -> None:
    """ArrayRecord reports at the end, and without a type, that the disk is full."""
    try:
        writer.close()
    except RuntimeError as error:
        raise OSError(None, str(error)) from error


def _note_name(plan: ShardPlan) -> str:
    return f"{plan.name}.json"
