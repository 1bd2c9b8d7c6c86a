"""AIFF and AIFF-C, CAF, and AU: big-endian headers that say how long the audio is."""

from __future__ import annotations

import struct
from typing import BinaryIO, Literal

from l3ac_jax.audio.containers.layout import Layout
from l3ac_jax.audio.containers.pieces import Piece
from l3ac_jax.audio.containers.sized import UNKNOWN_32, SizedData, check_size

__all__ = ["lay_out_aiff", "lay_out_au", "lay_out_caf"]

HEADER_LIMIT = 2**24  # of what comes before the audio and is copied
MOST_CHUNKS = 1000  # that are looked at: a gigabyte of empty ones would take minutes
AU_HEAD = 24
AU_BYTES = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 23: 0.5, 24: 0.5, 25: 0.375, 26: 0.625, 27: 1}


def lay_out_aiff(source: BinaryIO, start: int, end: int) -> Layout | None:
    """None for what is no AIFF file, or has no format or audio before the end."""
    source.seek(start)
    head = source.read(12)
    if head[:4] != b"FORM" or head[8:] not in (b"AIFF", b"AIFC"):
        return None
    found = _chunks(source, start + 12, end, 4, b"SSND")
    if b"COMM" not in found or b"SSND" not in found:
        return None
    place, size = found[b"COMM"]
    source.seek(place)
    common = source.read(min(size, 64))
    if len(common) < 18:
        return None
    channels, frames = int.from_bytes(common[:2], "big"), int.from_bytes(common[2:6], "big")
    width = -(-int.from_bytes(common[6:8], "big") // 8)
    rate = _extended(common[8:18])
    begin, size = found[b"SSND"]
    audio = begin + 8
    # The audio's size is said twice where a sample has a fixed width.
    packed = common[18:22].lower() not in (b"", b"none", b"sowt", b"twos", b"fl32", b"fl64")
    claimed = None if size in UNKNOWN_32 or size <= 8 else size - 8
    byte_rate = max(1.0, channels * width * rate)
    if packed and frames and rate and claimed:
        byte_rate = max(1.0, claimed * rate / frames)

    def pieces(actual: int) -> list[Piece]:
        count = frames if packed else actual // max(1, channels * width)
        return [
            head[:4] + (audio + actual - start - 8).to_bytes(4, "big") + head[8:],
            (start + 12, place),
            common[:2] + min(count, 2**32 - 1).to_bytes(4, "big"),
            (place + 6, begin - 4),
            min(actual + 8, 2**32 - 1).to_bytes(4, "big"),
            (begin, audio + actual),
        ]

    def goes_on(position: int) -> bool:
        return _is_chain(source, position, end, 4)

    if place > begin or begin - start > HEADER_LIMIT:
        return None
    return check_size(source, start, end, SizedData(audio, claimed, byte_rate, goes_on, pieces))


def lay_out_caf(source: BinaryIO, start: int, end: int) -> Layout | None:
    """None for what is no CAF file, or has no format or audio."""
    source.seek(start)
    head = source.read(8)
    if head[:4] != b"caff":
        return None
    found = _chunks(source, start + 8, end, 8, b"data")
    if b"desc" not in found or b"data" not in found:
        return None
    source.seek(found[b"desc"][0])
    description = source.read(32)
    begin, size = found[b"data"]
    if len(description) < 32 or begin - start > HEADER_LIMIT:
        return None
    audio = begin + 4
    claimed = None if size in (0, 4) or size >= 2**63 else size - 4
    packet, frames = (int.from_bytes(description[i : i + 4], "big") for i in (16, 20))
    byte_rate = _double(description[:8]) * packet / max(1, frames) or None

    def pieces(actual: int) -> list[Piece]:
        size = (actual + 4).to_bytes(8, "big")
        return [(start, begin - 8), size, (begin, audio + actual)]

    def goes_on(position: int) -> bool:
        return _is_chain(source, position, end, 8)

    return check_size(source, start, end, SizedData(audio, claimed, byte_rate, goes_on, pieces))


def lay_out_au(source: BinaryIO, start: int, end: int) -> Layout | None:
    """None for what is no AU file."""
    source.seek(start)
    head = source.read(AU_HEAD)
    if head[:4] not in (b".snd", b"dns.") or len(head) < AU_HEAD:
        return None
    order: Literal["big", "little"] = "big" if head[:4] == b".snd" else "little"
    offset, size, encoding, rate, channels = (
        int.from_bytes(head[i : i + 4], order) for i in range(4, AU_HEAD, 4)
    )
    if not AU_HEAD <= offset < min(HEADER_LIMIT, end - start):
        return None
    byte_rate = max(1.0, AU_BYTES.get(encoding, 1) * rate * channels)

    def pieces(actual: int) -> list[Piece]:
        size = min(actual, 2**32 - 1).to_bytes(4, order)
        return [head[:8] + size + head[12:], (start + AU_HEAD, start + offset + actual)]

    claimed = None if size in UNKNOWN_32 else size
    data = SizedData(start + offset, claimed, byte_rate, lambda _: False, pieces)
    return check_size(source, start, end, data)


def _chunks(
    source: BinaryIO, place: int, end: int, width: int, last: bytes
) -> dict[bytes, tuple[int, int]]:
    """Where the content of each chunk up to `last` begins, and how long it says it is."""
    first = place
    found: dict[bytes, tuple[int, int]] = {}
    for _ in range(MOST_CHUNKS):
        if last in found or place + 4 + width > end:
            break
        source.seek(place)
        head = source.read(4 + width)
        size = int.from_bytes(head[4:], "big")
        found.setdefault(head[:4], (place + 4 + width, size))
        place += 4 + width + size + (size % 2 if width == 4 else 0)
    if last not in found:  # a size before it is wrong
        source.seek(first)
        at = (searched := source.read(2**20)).find(last)
        if at >= 0:
            size = int.from_bytes(searched[at + 4 : at + 4 + width], "big")
            found[last] = (first + at + 4 + width, size)
    return found


def _is_chain(source: BinaryIO, place: int, end: int, width: int) -> bool:
    """Whether chunks go from here to the end."""
    count = 0
    while place + 4 + width <= end and (count := count + 1) <= MOST_CHUNKS:
        source.seek(place)
        head = source.read(4 + width)
        if not all(0x20 <= byte < 0x7F for byte in head[:4]):
            return False
        size = int.from_bytes(head[4:], "big")
        place += 4 + width + size + (size % 2 if width == 4 else 0)
    return place <= end + 1


def _extended(data: bytes) -> float:
    """A number of 80 bits, as AIFF has its rate."""
    exponent = int.from_bytes(data[:2], "big") & 0x7FFF
    return int.from_bytes(data[2:10], "big") * 2.0 ** min(exponent - 16383 - 63, 900)


def _double(data: bytes) -> float:
    (value,) = struct.unpack(">d", data)
    return value if 0 <= value < 1e12 else 0.0
