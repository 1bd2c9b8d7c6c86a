"""WAV: RIFF, RIFX, RF64 (EBU Tech 3306) and Sony's W64, which are chunks with sizes."""

from __future__ import annotations

from dataclasses import replace
from typing import BinaryIO, Literal

from l3ac_jax.audio.containers.layout import Layout
from l3ac_jax.audio.containers.mpeg import lay_out_mpeg
from l3ac_jax.audio.containers.pieces import Piece
from l3ac_jax.audio.containers.sized import UNKNOWN_32, SizedData, check_size

__all__ = ["lay_out_riff", "lay_out_w64"]

Order = Literal["big", "little"]
SINGLES = {1, 3, 6, 7}  # tags of formats without blocks: PCM, float, A-law, mu-law
BLOCKS = {2, 0x11, 0x31}  # Microsoft's and IMA ADPCM, GSM 6.10: with samples of a block
MPEG_LAYER_3, EXTENSIBLE = 0x55, 0xFFFE
SEARCHED = 2**20  # bytes in which a chunk is looked for where the sizes before it are wrong
HEADER_LIMIT = 2**24  # of what comes before the audio and is copied
MOST_CHUNKS = 1000  # that are looked at: a gigabyte of empty ones would take minutes
FORM_LIMIT = 2**16  # of the chunk that says the format: few have more than 40 bytes
RF64_SIZES = 28


def lay_out_riff(source: BinaryIO, start: int, end: int) -> Layout | None:
    """None for what is no WAV file, or has no format or audio."""
    source.seek(start)
    head = source.read(12)
    if head[:4] not in (b"RIFF", b"RIFX", b"RF64") or head[8:] != b"WAVE":
        return None
    order: Order = "big" if head[:4] == b"RIFX" else "little"
    chunks = _chunks(source, start + 12, end, order)
    if b"fmt " not in chunks or b"data" not in chunks:
        return None
    place, size = chunks[b"fmt "]
    source.seek(place)
    form = source.read(min(size, FORM_LIMIT))
    place, size = chunks[b"data"]
    if len(form) < 14 or place - start > HEADER_LIMIT:
        return None
    byte_rate = _byte_rate(form, order)
    claimed: int | None = None if size in UNKNOWN_32 else size
    if b"ds64" in chunks:
        source.seek(chunks[b"ds64"][0] + 8)
        claimed = int.from_bytes(source.read(8), "little") or None

    def pieces(actual: int) -> list[Piece]:
        return _rebuilt(source, head[:4], order, form, chunks, (place, place + actual))

    def goes_on(position: int) -> bool:
        return _is_chain(source, position, end, order)

    frames = lay_out_mpeg(source, place, end) if _tag(form, order) == MPEG_LAYER_3 else None
    if frames is not None and frames.seconds:
        byte_rate = (end - place) / frames.seconds
    data = SizedData(place, claimed, byte_rate, goes_on, pieces)
    layout = check_size(source, start, end, data)
    if frames is None:
        return layout
    if claimed is not None and not layout.damage:
        frames = lay_out_mpeg(source, place, min(end, place + claimed)) or frames
    return replace(frames, damage=layout.damage or frames.damage)


def _byte_rate(form: bytes, order: Order) -> float:
    """Bytes of audio a second. Of what is coded in blocks, some writers say what PCM would take."""
    rate, average = (int.from_bytes(form[i : i + 4], order) for i in (4, 8))
    block = int.from_bytes(form[12:14], order)
    tag = _tag(form, order)
    if tag in BLOCKS and len(form) >= 20 and (samples := int.from_bytes(form[18:20], order)):
        return max(1.0, rate * block / samples)
    return float(rate * block if tag in SINGLES and rate * block else average or 1)


def _tag(form: bytes, order: Order) -> int:
    """How samples are coded."""
    tag = int.from_bytes(form[:2], order)
    return int.from_bytes(form[24:26], order) if tag == EXTENSIBLE and len(form) >= 26 else tag


def _chunks(source: BinaryIO, place: int, end: int, order: Order) -> dict[bytes, tuple[int, int]]:
    """Where the content of each chunk up to the audio begins, and how long it says it is."""
    first = place
    chunks: dict[bytes, tuple[int, int]] = {}
    for _ in range(MOST_CHUNKS):
        if b"data" in chunks or place + 8 > end:
            break
        source.seek(place)
        head = source.read(8)
        size = int.from_bytes(head[4:], order)
        chunks.setdefault(head[:4], (place + 8, size))
        place += 8 + size + size % 2
    if b"data" in chunks and b"fmt " in chunks:
        return chunks
    source.seek(first)
    searched = source.read(SEARCHED)
    for name in (b"fmt ", b"data"):
        found = searched.find(name)
        if found >= 0 and name not in chunks:
            size = int.from_bytes(searched[found + 4 : found + 8], order)
            chunks[name] = (first + found + 8, size if name == b"data" else min(size, 40))
    return chunks


def _rebuilt(
    source: BinaryIO,
    magic: bytes,
    order: Order,
    form: bytes,
    chunks: dict[bytes, tuple[int, int]],
    audio: tuple[int, int],
) -> list[Piece]:
    """The format and the audio alone, with sizes that are right; RF64 where they need 64 bits."""
    size = audio[1] - audio[0]
    content = b"fmt " + len(form).to_bytes(4, order) + form + bytes(len(form) % 2)
    total = 4 + len(content) + 8 + size
    if magic == b"RF64" or total >= 2**32 - 256:
        sizes = (total + 8 + RF64_SIZES).to_bytes(8, "little") + size.to_bytes(8, "little")
        content = b"ds64" + RF64_SIZES.to_bytes(4, "little") + sizes + bytes(12) + content
        magic, total, size = b"RF64", 2**32 - 1, 2**32 - 1
    head = magic + total.to_bytes(4, order) + b"WAVE" + content
    return [head + b"data" + size.to_bytes(4, order), audio]


def _is_chain(source: BinaryIO, place: int, end: int, order: Order) -> bool:
    """Whether chunks go from here to the end (and not into it by chance)."""
    count = 0
    while place + 8 <= end and (count := count + 1) <= MOST_CHUNKS:
        source.seek(place)
        head = source.read(8)
        size = int.from_bytes(head[4:], order)
        if not all(0x20 <= byte < 0x7F for byte in head[:4]):
            return False
        place += 8 + size + size % 2
    return place <= end + 1 or (end - place < 8 and place <= end)


W64_RIFF = bytes.fromhex("726966662e91cf11a5d628db04c10000")
W64_WAVE = bytes.fromhex("77617665f3acd3118cd100c04f8edb8a")
W64_FORM = bytes.fromhex("666d7420f3acd3118cd100c04f8edb8a")
W64_DATA = bytes.fromhex("64617461f3acd3118cd100c04f8edb8a")
W64_HEAD = 24  # a GUID and a size, which counts both


def lay_out_w64(source: BinaryIO, start: int, end: int) -> Layout | None:
    """None for what is no W64 file, or has no format or audio."""
    source.seek(start)
    head = source.read(W64_HEAD + 16)
    if head[:16] != W64_RIFF or head[24:] != W64_WAVE:
        return None
    place, form = start + len(head), b""
    while place + W64_HEAD <= end and place - start < HEADER_LIMIT:
        source.seek(place)
        chunk = source.read(W64_HEAD)
        size = int.from_bytes(chunk[16:], "little")
        if chunk[:16] == W64_FORM:
            form = source.read(16)
        if chunk[:16] == W64_DATA:
            break
        place += max(W64_HEAD, size + -size % 8)
    else:
        return None
    audio, claimed = place + W64_HEAD, size - W64_HEAD
    before = place - start - len(head)

    def pieces(actual: int) -> list[Piece]:
        size = actual + W64_HEAD
        riff = W64_RIFF + (len(head) + before + size).to_bytes(8, "little") + W64_WAVE
        data = W64_DATA + size.to_bytes(8, "little")
        return [riff, (start + len(head), place), data, (audio, audio + actual)]

    def goes_on(position: int) -> bool:
        source.seek(position + -position % 8)
        following = source.read(W64_HEAD)
        return following[4:12] in (W64_DATA[4:12], W64_RIFF[4:12])

    known = claimed if 0 < claimed < 2**63 - 2**32 else None
    byte_rate = int.from_bytes(form[8:12], "little") or 1
    return check_size(source, start, end, SizedData(audio, known, byte_rate, goes_on, pieces))
