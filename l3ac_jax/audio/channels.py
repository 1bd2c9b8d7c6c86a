"""The order of channels: Vorbis and Opus have their own, everything here has that of WAV."""

from __future__ import annotations

import os
from typing import BinaryIO

__all__ = ["vorbis_order", "wav_order"]

# By the number of channels: at which place of Vorbis' order (Vorbis I specification, 4.3.9, and RFC
# 7845, 5.1.1.2) the channels are that WAV has first, second...: front left and right, front centre,
# LFE, back left and right (with 7: back centre), side left and right.
PLACES = {
    3: (0, 2, 1),
    5: (0, 2, 1, 3, 4),
    6: (0, 2, 1, 5, 3, 4),
    7: (0, 2, 1, 6, 5, 3, 4),
    8: (0, 2, 1, 7, 5, 6, 3, 4),
}
OPUS_HEAD = b"OpusHead"
FAMILY = 18  # its place in the header: 1 says that the order is that of Vorbis


def wav_order(source: BinaryIO, format: str, subtype: str, channels: int) -> list[int] | None:
    """At which place a file has the channels that come first, second... in WAV; None where it does.

    `format` and `subtype` are soundfile's names. `source` is looked into for Opus' header.
    """
    if format != "OGG" or channels not in PLACES:
        return None
    if subtype == "VORBIS" or (subtype == "OPUS" and _family(source) == 1):
        return list(PLACES[channels])
    return None


def vorbis_order(format: str, subtype: str, channels: int) -> list[int] | None:
    """The inverse, for a file to be written: WAV's place of what comes first, second... in it."""
    if format != "OGG" or subtype not in ("VORBIS", "OPUS") or channels not in PLACES:
        return None
    places = PLACES[channels]
    return [places.index(place) for place in range(channels)]


def _family(source: BinaryIO) -> int | None:
    source.seek(0, os.SEEK_SET)
    head = source.read(2**16)
    found = head.find(OPUS_HEAD)
    return head[found + FAMILY] if 0 <= found < len(head) - FAMILY else None
