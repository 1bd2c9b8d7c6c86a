"""Containers whose header says how many bytes of audio follow: whether that is so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from l3ac_jax.audio.containers.layout import Layout, Part
from l3ac_jax.audio.containers.mpeg_frames import tag_size
from l3ac_jax.audio.containers.pieces import Piece
from l3ac_jax.audio.damage import Damage

__all__ = ["UNKNOWN_32", "SizedData", "check_size"]

# What writers that cannot go back put there: all ones, the largest signed number, their size with
# the header taken off, 2 GiB less a page (SoX), or nothing at all.
UNKNOWN_32 = {0, *range(2**32 - 256, 2**32), *range(2**31 - 4096 - 64, 2**31 + 1)}
TRAILER = 2**16  # bytes behind the audio that are looked at
PADDING = 4096  # zeros: more may be silence
SMALL = 16  # bytes that nobody misses


@dataclass(frozen=True)
class SizedData:
    """Audio from `start` on, of which the header says that it has `size` bytes (None: unknown).

    `byte_rate` is bytes per second. `goes_on(place)` says whether what is at that place is the
    container's and no audio; `pieces(size)` are a file whose header has another size. Where packets
    vary in size, there is no `byte_rate`, and another size is of no use.
    """

    start: int
    size: int | None
    byte_rate: float | None
    goes_on: Callable[[int], bool]
    pieces: Callable[[int], list[Piece]]


def check_size(source: BinaryIO, begin: int, end: int, data: SizedData) -> Layout:
    """The layout of a file from `begin` to `end`: the audio that is there, and what is not."""
    there = max(0, end - data.start)
    size = data.size
    if data.byte_rate is None:
        cut = size is not None and size > there
        return Layout([Part([(begin, end)], cut_off=cut)])
    if size is None:
        # An empty recording with something behind it, or one whose writer did not come back.
        if there and data.goes_on(data.start):
            return Layout([Part([(begin, end)])])
        return Layout([Part(data.pieces(there))], there / data.byte_rate)
    if size > there:
        missing = (size - there) / data.byte_rate
        damage = Damage(there / data.byte_rate, missing, "is cut off, or its header is wrong")
        return Layout([Part(data.pieces(there))], size / data.byte_rate, [damage])
    rest = data.start + size + size % 2
    if end - rest > SMALL and _is_file(source, rest):
        damage = Damage(size / data.byte_rate, None, "another file follows, which is not read")
        return Layout([Part(data.pieces(size))], size / data.byte_rate, [damage])
    if end - rest <= SMALL or data.goes_on(rest) or _is_trailer(source, rest, end):
        return Layout([Part([(begin, end)])], size / data.byte_rate)
    cause = "its header says that the audio ends here"
    damage = Damage(size / data.byte_rate, 0.0, cause)
    return Layout([Part(data.pieces(there))], there / data.byte_rate, [damage])


def _is_file(source: BinaryIO, start: int) -> bool:
    """Whether another recording begins there, as where files were written one after another."""
    source.seek(start)
    head = source.read(12)
    return head[:4] in (b"RIFF", b"RF64", b"FORM") and head[8:] in (b"WAVE", b"AIFF", b"AIFC")


def _is_trailer(source: BinaryIO, start: int, end: int) -> bool:
    """Tags, or a few zeros."""
    source.seek(start)
    data = source.read(min(TRAILER, end - start))
    return tag_size(data) > 0 or (end - start <= PADDING and not any(data))
