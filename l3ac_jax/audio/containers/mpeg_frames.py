"""Frame headers of MPEG audio (ISO/IEC 11172-3, 13818-3, and MPEG 2.5), and tags around frames."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FrameHeader", "InfoFrame", "parse_frame", "parse_info", "tag_size"]

# kbit/s by index, from the first that is not free format: (version 1 or not, layer).
KILOBITS = {
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
CHUNK = 10  # bytes of the header of an ID3v2 tag
XING_FRAMES, XING_BYTES, XING_TABLE, XING_QUALITY = 1, 2, 4, 8


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """Of one frame; `size` in bytes, header included. `kind` is what a stream keeps to."""

    size: int
    samples: int
    rate: int
    kind: tuple[int, int, int, bool]  # version, layer, rate, one channel
    side_bytes: int  # of layer III, between the header and the data


# Of the four bytes all but the sync word's first eight bits decide; few combinations occur.
_known: dict[bytes, FrameHeader | None] = {}


def parse_frame(data: bytes) -> FrameHeader | None:
    """The header that four bytes are, None where they are none (or of free format)."""
    if len(data) != 4 or data[0] != 0xFF or data[1] < 0xE0:
        return None
    if data not in _known:
        if len(_known) > 4096:
            _known.clear()
        _known[data] = _parse(data)
    return _known[data]


def _parse(data: bytes) -> FrameHeader | None:
    version, layer = data[1] >> 3 & 3, 4 - (data[1] >> 1 & 3)
    bitrate, rate_index, padding = data[2] >> 4, data[2] >> 2 & 3, data[2] >> 1 & 1
    if version == 1 or layer == 4 or bitrate in (0, 15) or rate_index == 3 or data[3] & 3 == 2:
        return None
    rate, first, mono = RATES[version][rate_index], version == 3, data[3] >> 6 == 3
    bits = 1000 * KILOBITS[first, layer][bitrate - 1]
    samples = 384 if layer == 1 else 1152 if layer == 2 or first else 576
    if layer == 1:
        size = (12 * bits // rate + padding) * 4
    else:
        size = samples // 8 * bits // rate + padding
    side = (17 if mono else 32) if first else (9 if mono else 17)
    return FrameHeader(size, samples, rate, (version, layer, rate, mono), side)


@dataclass(frozen=True)
class InfoFrame:
    """A frame without audio that says how many follow: of Xing, LAME or Fraunhofer (VBRI).

    Places are offsets in the frame. `trimmed` is how many samples the encoder added at both ends,
    None where it does not say that.
    """

    frames: int
    frames_at: int
    bytes_at: int | None
    trimmed: int | None
    trim_at: int | None

    def changed(self, frame: bytes, frames: int, size: int, cut: bool) -> bytes:
        """The frame for another number of frames and bytes; without an added end if that is cut."""
        changed = bytearray(frame)
        changed[self.frames_at : self.frames_at + 4] = frames.to_bytes(4, "big")
        if self.bytes_at is not None:
            changed[self.bytes_at : self.bytes_at + 4] = min(size, 2**32 - 1).to_bytes(4, "big")
        if cut and self.trim_at is not None:
            changed[self.trim_at + 1] &= 0xF0
            changed[self.trim_at + 2] = 0
        return bytes(changed)


def parse_info(frame: bytes, header: FrameHeader) -> InfoFrame | None:
    """What an info frame says, None for a frame of audio."""
    place = 4 + header.side_bytes
    if header.kind[1] == 3 and frame[place : place + 4] in (b"Xing", b"Info"):
        return _parse_xing(frame, place)
    if header.kind[1] == 3 and frame[36:40] == b"VBRI" and len(frame) >= 54:
        return InfoFrame(int.from_bytes(frame[50:54], "big"), 50, 46, None, None)
    return None


def _parse_xing(frame: bytes, place: int) -> InfoFrame | None:
    flags = int.from_bytes(frame[place + 4 : place + 8], "big")
    frames_at = after = place + 8
    after += 4 if flags & XING_FRAMES else 0
    bytes_at = after if flags & XING_BYTES else None
    after += 4 * bool(flags & XING_BYTES) + 100 * bool(flags & XING_TABLE)
    after += 4 * bool(flags & XING_QUALITY)
    if not flags & XING_FRAMES or len(frame) < frames_at + 4:
        return InfoFrame(0, frames_at, None, None, None)
    trimmed = trim_at = None
    if frame[after : after + 4] in (b"LAME", b"Lavf", b"Lavc") and len(frame) >= after + 24:
        trim_at = after + 21
        both = int.from_bytes(frame[trim_at : trim_at + 3], "big")
        trimmed = (both >> 12) + (both & 0xFFF)
    frames = int.from_bytes(frame[frames_at : frames_at + 4], "big")
    return InfoFrame(frames, frames_at, bytes_at, trimmed, trim_at)


def tag_size(data: bytes) -> int:
    """The size of the tag (ID3, APE, Lyrics3) that begins with these bytes, 0 for none."""
    if data[:3] == b"ID3" and len(data) >= CHUNK and max(data[6:10]) < 0x80:
        size = 0
        for byte in data[6:10]:
            size = size << 7 | byte
        return CHUNK + size + (CHUNK if data[5] & 0x10 else 0)
    if data[:8] == b"APETAGEX" and len(data) >= 32:
        # The size counts the end, and not the beginning.
        return int.from_bytes(data[12:16], "little") + (32 if data[23] & 0x20 else 0)
    if data[:4] == b"TAG+":
        return 227
    if data[:3] == b"TAG":
        return 128
    if data[:11] == b"LYRICSBEGIN":
        for end in (b"LYRICS200", b"LYRICSEND"):
            if (found := data.find(end)) >= 0:
                return found + len(end)
    return 0
