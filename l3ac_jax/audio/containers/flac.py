"""FLAC (RFC 9639): its decoder stops where it finds damage, and goes on at the next whole frame."""

from __future__ import annotations

import re
from typing import BinaryIO

from l3ac_jax.audio.containers.layout import Layout, Part
from l3ac_jax.audio.containers.mpeg_frames import tag_size
from l3ac_jax.audio.containers.window import Window

__all__ = ["lay_out_flac"]

MAGIC = b"fLaC"
STREAM_INFO = 34
TOTAL_BITS = 36
HEADER = 16  # bytes of a frame's header, at most
SYNC = re.compile(rb"\xff[\xf8\xf9]")


def lay_out_flac(source: BinaryIO, start: int, end: int) -> Layout | None:
    """The whole stream, without the number of samples that its header has; None if it has none."""
    window = Window(source, start, end)
    begin = start
    while (size := tag_size(window.at(begin, 10))) and begin + size < end:
        begin += size
    head = window.at(begin, 8 + STREAM_INFO)
    if head[:4] != MAGIC or len(head) < 8 + STREAM_INFO or head[4] & 0x7F != 0:
        return None
    numbers = int.from_bytes(head[18:26], "big")
    total, rate = numbers % 2**TOTAL_BITS, numbers >> 44
    if not rate:
        return None
    block = int.from_bytes(head[8:10], "big")
    # Decoders stop at the number of samples in the header, be it right or wrong.
    unknown = head[:18] + (numbers - total).to_bytes(8, "big") + head[26:]
    part = Part([unknown, (begin + len(head), end)], estimated=True)

    place = begin + len(head)

    def resume(position: int) -> tuple[int, Part] | None:
        nonlocal place
        found = _next_frame(window, place, position, block)
        if found is None:
            return None
        sample, place = found
        last = bytes([head[4] | 0x80]) + unknown[5:]  # no other metadata follows
        part = Part([unknown[:4] + last, (place, end)], estimated=True)
        place += 1
        return sample, part

    return Layout([part], total / rate if total else None, resume=resume)


def _next_frame(window: Window, place: int, after: int, block: int) -> tuple[int, int] | None:
    """First sample and place of the first frame from `place` on that begins behind a sample."""
    while (place := window.find(b"\xff", place)) < window.end:
        header = window.at(place, HEADER)
        if SYNC.match(header):
            sample = _first_sample(header, block)
            if sample is not None and sample > after:
                return sample, place
        place += 1
    return None


def _first_sample(header: bytes, block: int) -> int | None:
    """Of the frame that begins with this header; None where it is none."""
    if len(header) < 6 or header[2] >> 4 == 0 or header[2] & 15 == 15 or header[3] & 1:
        return None
    number, length = _coded_number(header[4:])
    if number is None:
        return None
    place = 4 + length
    place += {6: 1, 7: 2}.get(header[2] >> 4, 0) + {12: 1, 13: 2, 14: 2}.get(header[2] & 15, 0)
    if place >= len(header) or _crc8(header[:place]) != header[place]:
        return None
    return number if header[1] & 1 else number * block


def _coded_number(data: bytes) -> tuple[int | None, int]:
    """A number as UTF-8 has it, up to 36 bits, and how many bytes it takes."""
    first = data[0]
    if first < 0x80:
        return first, 1
    length = 8 - (first ^ 0xFF).bit_length()
    if not 2 <= length <= 7 or len(data) < length:
        return None, 0
    number = first & (0x7F >> length)
    for byte in data[1:length]:
        if byte >> 6 != 2:
            return None, 0
        number = number << 6 | byte & 0x3F
    return number, length


def _crc8(data: bytes) -> int:
    value = 0
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value << 1 ^ (0x107 if value & 0x80 else 0)) & 0x1FF
    return value
