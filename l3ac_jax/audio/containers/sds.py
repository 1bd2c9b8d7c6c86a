"""MIDI's sample dumps: packets of 120 bytes, of which libsndfile makes zeros where they are cut."""

from __future__ import annotations

from typing import BinaryIO

from l3ac_jax.audio.containers.layout import Layout, Part

__all__ = ["lay_out_sds"]

HEAD, PACKET, PAYLOAD = 21, 127, 120
COUNT = 10  # its place: three bytes of seven bits, the least significant first, as the period


def lay_out_sds(source: BinaryIO, start: int, end: int) -> Layout | None:
    """The packets that are there; None for what is no sample dump."""
    source.seek(start)
    head = source.read(HEAD)
    if head[:2] != b"\xf0\x7e" or len(head) < HEAD or head[-1] != 0xF7:
        return None
    count, nanoseconds = _number(head[COUNT : COUNT + 3]), _number(head[7:10])
    each = PAYLOAD // max(2, -(-head[6] // 7))
    there = min(count, (end - start - HEAD) // PACKET * each)
    shorter = bytes(there >> shift & 0x7F for shift in (0, 7, 14))
    head = head[:COUNT] + shorter + head[COUNT + 3 :]
    # libsndfile has whole numbers of samples a second, too.
    rate = 1_000_000_000 // max(1, nanoseconds)
    return Layout([Part([head, (start + HEAD, end)])], count / max(1, rate))


def _number(data: bytes) -> int:
    return data[0] | data[1] << 7 | data[2] << 14
