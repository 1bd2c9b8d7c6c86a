"""Ogg (Vorbis, Opus, FLAC): pages by number, check sum and position; streams one after another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import BinaryIO, cast

from l3ac_jax.audio.containers.flac import lay_out_flac
from l3ac_jax.audio.containers.layout import Layout, Part
from l3ac_jax.audio.containers.ogg_pages import Gap, Page, pages, renumbered
from l3ac_jax.audio.containers.pieces import Piece, PiecedFile, size_of
from l3ac_jax.audio.containers.window import Window
from l3ac_jax.audio.damage import Damage

__all__ = ["lay_out_ogg"]

LOST = "lost or damaged pages"
OPUS_RATE, OPUS_HEAD, OPUS_SKIP = 48000, b"OpusHead", 10
PAGE_HEADER, FLAC_MAPPING = 27, 9  # bytes


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
    is_flac: bool = False
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
    if streams[0].is_flac:
        return _lay_out_flac(source, streams[0])
    parts = [part for stream in streams for part in _parts(source, stream)]
    if len(parts) == 1 and not others and not streams[0].damaged and _is_in_order(streams[0]):
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
    elif packet[:8] == OPUS_HEAD and len(packet) >= 12:
        stream = _Stream(
            page.serial, 2, OPUS_RATE, int.from_bytes(packet[OPUS_SKIP : OPUS_SKIP + 2], "little")
        )
    elif packet[:5] == b"\x7fFLAC" and len(packet) >= 34:
        more, rate = int.from_bytes(packet[7:9], "big"), int.from_bytes(packet[27:30], "big") >> 4
        stream = _Stream(page.serial, 1 + more if more else 2, rate, 0, is_flac=True)
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


def _lay_out_flac(source: BinaryIO, stream: _Stream) -> Layout | None:
    """Its packets are a FLAC file, but for nine bytes. libsndfile does not read all FLAC in Ogg."""
    runs = _runs(stream)
    content: list[Piece] = []
    for page in [*stream.headers, *(page for run in runs for page in run)]:
        body = page.start + PAGE_HEADER + _content(source, page)[PAGE_HEADER - 1]
        content.append((body + (0 if content else FLAC_MAPPING), page.end))
    file = PiecedFile(source, content)
    layout = lay_out_flac(cast(BinaryIO, file), 0, sum(map(size_of, content)))
    if layout is None:
        return None
    cut_off = stream.cut_off or not runs[-1][-1].is_last
    part = replace(layout.parts[0], cut_off=cut_off)
    seconds = layout.seconds
    if seconds is None and not cut_off:
        seconds = max(page.position or 0 for page in runs[-1]) / stream.rate
    # libFLAC makes silence where frames are missing between whole ones.
    gaps = [0, *(run[-1].position or 0 for run in runs[:-1])]
    if runs[0][0].number == stream.headers[-1].number + 1:
        del gaps[0]
    damage = [Damage(gap / stream.rate, None, LOST) for gap in gaps]
    return replace(layout, parts=[part], seconds=seconds, damage=damage, source=file)


def _parts(source: BinaryIO, stream: _Stream) -> list[Part]:
    runs = _runs(stream)
    whole_end = runs[-1][-1].is_last and not stream.cut_off
    return [
        Part(
            _pieces(source, stream, run, begins=index == 0),
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


def _is_in_order(stream: _Stream) -> bool:
    numbers = [page.number for page in stream.audio]
    return numbers == sorted(set(numbers))


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


def _pieces(source: BinaryIO, stream: _Stream, run: Sequence[Page], begins: bool) -> list[Piece]:
    """Header pages and then those of a run, numbered without a gap, or else libogg drops some.

    Of Opus, samples are skipped where the stream `begins`, and not where a later run does.
    """
    pieces: list[Piece] = []
    for number, page in enumerate([*stream.headers, *run]):
        content = _content(source, page)
        place = content.find(OPUS_HEAD)
        if number == 0 and place >= 0 and not begins:
            content = content[: place + OPUS_SKIP] + bytes(2) + content[place + OPUS_SKIP + 2 :]
            pieces += [renumbered(content, number) + content[PAGE_HEADER + content[26] :]]
            continue
        header = renumbered(content, number)
        pieces += [header, (page.start + len(header), page.end)]
    return pieces


def _content(source: BinaryIO, page: Page) -> bytes:
    source.seek(page.start)
    return source.read(page.end - page.start)
