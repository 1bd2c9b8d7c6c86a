"""Ogg (Vorbis, Opus, FLAC): pages by number, check sum and position; streams one after another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from l3ac_jax.audio.containers.layout import Layout, Part
from l3ac_jax.audio.containers.ogg_pages import Gap, Page, pages, renumbered
from l3ac_jax.audio.containers.pieces import Piece
from l3ac_jax.audio.containers.window import Window
from l3ac_jax.audio.damage import Damage

__all__ = ["lay_out_ogg"]

LOST = "lost or damaged pages"
OPUS_RATE = 48000


@dataclass
class _Stream:
    """A logical stream: its pages, in the order in which they lie in the file."""

    serial: int
    headers_left: int  # packets before the audio
    rate: int  # of positions, in Hz
    skipped: int  # samples that positions count and that are not heard
    headers: list[Page] = field(default_factory=list)
    audio: list[Page] = field(default_factory=list)
    damaged: int = 0  # pages
    cut_off: bool = False


def lay_out_ogg(source: BinaryIO, start: int, end: int) -> Layout | None:
    """The audio streams of the file; None where there is none whose beginning is there."""
    streams: list[_Stream] = []
    others: set[int] = set()
    lost = 0  # pages of streams whose beginning is not there
    for page in pages(Window(source, start, end)):
        if isinstance(page, Gap):
            if page.cut_off and streams:
                streams[-1].cut_off = True
            continue
        stream = next((s for s in reversed(streams) if s.serial == page.serial), None)
        if page.is_first and (stream is None or stream.audio):
            found = _begin(source, page)
            if found is None:
                others.add(page.serial)
            else:
                streams.append(found)
        elif stream is not None:
            _add(stream, page)
        elif page.serial not in others and page.whole:
            lost += 1
    streams = [stream for stream in streams if stream.audio]
    if not streams:
        return None
    parts = [part for stream in streams for part in _parts(source, stream)]
    if len(parts) == 1 and not others and not streams[0].damaged:
        parts = [replace(parts[0], pieces=[(start, end)])]
    damage = [Damage(0.0, None, f"{lost} pages whose beginning is lost")] if lost else []
    seconds = sum(max(0.0, _seconds(stream, stream.audio)) for stream in streams)
    return Layout(parts, seconds, damage)


def _begin(source: BinaryIO, page: Page) -> _Stream | None:
    """The stream that a first page begins, None for what is no audio that libsndfile decodes."""
    packet = _content(source, page)
    packet = packet[27 + packet[26] :]
    if packet[:7] == b"\x01vorbis" and len(packet) >= 16:
        stream = _Stream(page.serial, 3, int.from_bytes(packet[12:16], "little"), 0)
    elif packet[:8] == b"OpusHead" and len(packet) >= 12:
        stream = _Stream(page.serial, 2, OPUS_RATE, int.from_bytes(packet[10:12], "little"))
    elif packet[:5] == b"\x7fFLAC" and len(packet) >= 34:
        more, rate = int.from_bytes(packet[7:9], "big"), int.from_bytes(packet[27:30], "big") >> 4
        stream = _Stream(page.serial, 1 + more if more else 2, rate, 0)
    else:
        return None
    stream.headers.append(page)
    stream.headers_left -= page.packets
    stream.rate = stream.rate or 1
    return stream


def _add(stream: _Stream, page: Page) -> None:
    if stream.headers_left > 0 and not page.position:
        # A damaged header is tried as it is: without it nothing can be decoded.
        stream.headers.append(page)
        stream.headers_left -= page.packets
        stream.damaged += not page.whole
    elif page.whole:
        stream.audio.append(page)
    else:
        stream.damaged += 1


def _parts(source: BinaryIO, stream: _Stream) -> list[Part]:
    runs = _runs(stream)
    whole_end = runs[-1][-1].is_last and not stream.cut_off
    return [
        Part(
            _pieces(source, stream.headers, run),
            end=_seconds(stream, run),
            first=index == 0,
            follows=index == 0 and run[0].number == stream.headers[-1].number + 1,
            cause=LOST,
            cut_off=run is runs[-1] and not whole_end,
        )
        for index, run in enumerate(runs)
    ]


def _seconds(stream: _Stream, run: Sequence[Page]) -> float:
    """The time at which a run of pages ends."""
    position = max((page.position for page in run if page.position is not None), default=0)
    return (position - stream.skipped) / stream.rate


def _runs(stream: _Stream) -> list[list[Page]]:
    """The pages of the audio by their numbers, cut where some are missing."""
    runs: list[list[Page]] = []
    expected = stream.headers[-1].number + 1
    for page in sorted(stream.audio, key=lambda page: page.number):
        if runs and page.number < expected:  # twice in the file
            continue
        if not runs or page.number > expected:
            runs.append([])
        runs[-1].append(page)
        expected = page.number + 1
    return runs


def _pieces(source: BinaryIO, headers: Sequence[Page], run: Sequence[Page]) -> list[Piece]:
    """Header pages and then those of a run, numbered without a gap, or else libogg drops some."""
    pieces: list[Piece] = []
    for number, page in enumerate([*headers, *run]):
        header = renumbered(_content(source, page), number)
        pieces += [header, (page.start + len(header), page.end)]
    return pieces


def _content(source: BinaryIO, page: Page) -> bytes:
    source.seek(page.start)
    return source.read(page.end - page.start)
