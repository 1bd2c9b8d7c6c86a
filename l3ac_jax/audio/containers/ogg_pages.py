"""Pages of Ogg (RFC 3533): where they are, whether they are whole, and what they say."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from l3ac_jax.audio.containers.window import Window

__all__ = ["CAPTURE", "Gap", "Page", "pages", "renumbered"]

CAPTURE = b"OggS"
HEADER = 27
LARGEST = HEADER + 255 + 255 * 255
FIRST, LAST = 2, 4
# Ogg's CRC-32 takes bits from the most significant one on, zlib's from the least.
REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass(frozen=True, slots=True)
class Page:
    """A page at `start`; `position` is its granule position, None where no packet ends in it.

    `packets` end in it. A page that is not `whole` has another check sum than it should.
    """

    start: int
    end: int
    serial: int
    number: int
    position: int | None
    flags: int
    packets: int
    whole: bool

    @property
    def is_first(self) -> bool:
        """Of its stream."""
        return bool(self.flags & FIRST)

    @property
    def is_last(self) -> bool:
        """Of its stream."""
        return bool(self.flags & LAST)


@dataclass(frozen=True, slots=True)
class Gap:
    """Bytes that are no page. Where the file ends within a page, it is cut off."""

    start: int
    end: int
    cut_off: bool


def pages(window: Window) -> Iterator[Page | Gap]:
    """All pages of a file, and what lies between them."""
    position = window.start
    while position < window.end:
        found = window.find(CAPTURE, position)
        if found > position:
            yield Gap(position, found, False)
        if found == window.end:
            return
        page = _parse(window.at(found, LARGEST), found, window.end)
        if page is None or (not page.whole and not _goes_on(window, page.end)):
            is_cut = page is None and window.find(CAPTURE, found + 1) == window.end
            position = window.end if is_cut else window.find(CAPTURE, found + 1)
            yield Gap(found, position, is_cut)
        else:
            yield page
            position = page.end


def _goes_on(window: Window, position: int) -> bool:
    return position == window.end or window.at(position, 4) == CAPTURE


def _parse(data: bytes, start: int, end: int) -> Page | None:
    """None for what is cut off."""
    if len(data) < HEADER or len(data) < HEADER + data[26]:
        return None
    lacing = data[HEADER : HEADER + data[26]]
    size = HEADER + len(lacing) + sum(lacing)
    if start + size > end:
        return None
    data = data[:size]
    position = int.from_bytes(data[6:14], "little", signed=True)
    return Page(
        start,
        start + size,
        serial=int.from_bytes(data[14:18], "little"),
        number=int.from_bytes(data[18:22], "little"),
        position=None if position == -1 else position,
        flags=data[5],
        packets=sum(value < 255 for value in lacing),
        whole=data[4] == 0 and _checksum(data) == data[22:26],
    )


def renumbered(data: bytes, number: int) -> bytes:
    """The header of the page that `data` is, as page `number` of its stream."""
    changed = data[:18] + number.to_bytes(4, "little") + data[22:]
    header = changed[:22] + _checksum(changed) + changed[26:]
    return header[: HEADER + data[26]]


def _checksum(page: bytes) -> bytes:
    data = page[:22] + bytes(4) + page[26:]
    return (
        (zlib.crc32(data.translate(REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF)
        .to_bytes(4, "big")
        .translate(REVERSED)
    )
