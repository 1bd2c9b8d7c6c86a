"""MPEG audio (MP3): every frame of the file, whatever its headers or its size let one expect."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import BinaryIO

from l3ac_jax.audio.containers.layout import Layout, Part
from l3ac_jax.audio.containers.mpeg_frames import (
    FrameHeader,
    InfoFrame,
    parse_frame,
    parse_info,
    tag_size,
)
from l3ac_jax.audio.containers.pieces import Piece
from l3ac_jax.audio.containers.window import Window
from l3ac_jax.audio.damage import CUT_OFF, Damage

__all__ = ["lay_out_mpeg"]

CHAIN = 4  # frames that follow one another and are of one kind are no chance
TAG_BYTES = 2**16  # Lyrics3 is found by its end
PADDING = 4096  # zeros at the end that may be nobody's loss
# libsndfile stops where the size divided by that of the first frames ends. The largest frame of a
# stream is 40 times the smallest.
CLAIM = 64
GARBAGE = "bytes that are no MPEG frames"
ZEROS = "zeros"
OTHER = "frames of another sample rate or number of channels"


def lay_out_mpeg(source: BinaryIO, start: int, end: int) -> Layout | None:
    """Where the frames are; None where there are none, or too few of what there is."""
    scan = _Scan(Window(source, start, end))
    scan.run()
    if scan.kind is None or scan.covered < (end - start) / 2:
        return None
    return scan.layout()


@dataclass
class _Scan:
    window: Window
    kind: tuple[int, int, int, bool] | None = None
    info: InfoFrame | None = None
    info_frame: bytes = b""
    runs: list[tuple[int, int]] = field(default_factory=list)
    frames: int = 0
    samples: int = 0  # of a frame
    covered: int = 0  # bytes of frames and tags
    gaps: list[tuple[int, int, str]] = field(default_factory=list)  # frames before, bytes, cause

    def run(self) -> None:
        position, last, end = self.window.start, 0, self.window.end
        while position < end:
            header = parse_frame(self.window.at(position, 4))
            if header is not None and header.kind == self.kind and position + header.size <= end:
                self._take(position, header)
                last, position = position, position + header.size
                continue
            size = tag_size(self.window.at(position, TAG_BYTES))
            if size and position + size <= end:
                self.covered += size
                position += size
                continue
            position = self._skip(position, last)

    def _take(self, position: int, header: FrameHeader) -> None:
        if not self.frames and self.info is None and header.kind[1] == 3:
            frame = self.window.at(position, header.size)
            self.info = parse_info(frame, header)
            if self.info is not None:
                self.info_frame = frame
                self.covered += header.size
                return
        self._append(position, header.size)

    def _append(self, position: int, size: int) -> None:
        if self.runs and self.runs[-1][1] == position:
            self.runs[-1] = self.runs[-1][0], position + size
        else:
            self.runs.append((position, position + size))
        self.frames += 1
        self.covered += size

    def _skip(self, position: int, last: int) -> int:
        """Over what is no frame, to the next; where a piece was taken out, it is before `position`.

        The frame before then goes over the place: what is left of it is no frame.
        """
        whole_run = bool(self.runs) and self.runs[-1][1] == position
        found, kind = self._next(last + 1 if whole_run else position)
        if found < position:
            begin, end = self.runs.pop()
            if begin < last:
                self.runs.append((begin, last))
            self.frames -= 1
            self.covered -= end - last
            position = last
        if self.kind is None and kind is not None:
            self.kind, self.samples = kind.kind, kind.samples
        cause = OTHER if kind is not None and kind.kind != self.kind else GARBAGE
        if found == self.window.end and found - position <= PADDING:
            cause = cause if any(self.window.at(position, PADDING)) else ZEROS
        if found > position:
            self.gaps.append((self.frames, found - position, cause))
        if cause == OTHER and kind is not None:
            return self._over(found, kind)
        return found

    def _over(self, position: int, kind: FrameHeader) -> int:
        """Behind the frames of another kind."""
        begin = position
        while (header := parse_frame(self.window.at(position, 4))) and header.kind == kind.kind:
            position += header.size
        frames, size, _ = self.gaps.pop() if self.gaps else (self.frames, 0, OTHER)
        self.gaps.append((frames, size + position - begin, OTHER))
        return min(position, self.window.end)

    def _next(self, position: int) -> tuple[int, FrameHeader | None]:
        while (position := self.window.find(b"\xff", position)) < self.window.end:
            header = parse_frame(self.window.at(position, 4))
            if header is not None and self._is_chain(position, header):
                return position, header
            position += 1
        return position, None

    def _is_chain(self, position: int, first: FrameHeader) -> bool:
        header: FrameHeader | None = first
        for _ in range(CHAIN):
            if header is None or header.kind != first.kind:
                return False
            position += header.size
            rest = self.window.end - position
            if rest < 4 or tag_size(self.window.at(position, TAG_BYTES)):
                return rest >= 0
            header = parse_frame(self.window.at(position, 4))
        return True

    def layout(self) -> Layout:
        assert self.kind is not None
        rate = self.kind[2]
        frame_bytes = sum(end - begin for begin, end in self.runs) / max(1, self.frames)
        damage = [
            Damage(
                frames * self.samples / rate,
                max(1, round(size / max(1, frame_bytes))) * self.samples / rate,
                CUT_OFF if self._is_cut(frames, size, frame_bytes) else cause,
            )
            for frames, size, cause in self.gaps
            if cause != ZEROS or (size >= frame_bytes and not self._is_complete())
        ]
        # Encoders that say how much they added count exactly; others may count their own frame.
        info = self.info
        slack = 0 if info is not None and info.trimmed is not None else 1
        frames, trimmed = self.frames, 0
        if info is not None and info.frames:
            trimmed = info.trimmed or 0
            if info.frames > self.frames + slack:
                frames = info.frames
        if frames > self.frames and not damage:
            lost = (frames - self.frames) * self.samples / rate
            damage = [Damage(self.frames * self.samples / rate, lost, CUT_OFF)]
        return Layout([self._part()], (frames * self.samples - trimmed) / rate, damage)

    def _is_complete(self) -> bool:
        return self.info is not None and 0 < self.info.frames <= self.frames

    def _is_cut(self, frames: int, size: int, frame_bytes: float) -> bool:
        return frames == self.frames and size < 2 * frame_bytes and frames > 0

    def _part(self) -> Part:
        pieces: list[Piece] = [*self.runs]
        size = sum(end - begin for begin, end in self.runs)
        if self.info is None or not self.info.frames:
            return Part(pieces, claimed=CLAIM * size)
        cut = self.frames < self.info.frames and (not self.gaps or self.gaps[-1][0] == self.frames)
        total = size + len(self.info_frame)
        info = self.info.changed(self.info_frame, self.frames, total, cut)
        return Part([info, *pieces])
