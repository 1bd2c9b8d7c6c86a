"""How many bytes of an Ogg file are audio."""

from __future__ import annotations

from l3ac_jax.errors import ReferenceCodecError

_HEADER_BYTES = 27
_SEGMENTS_AT = 26
_CAPTURE = b"OggS"


def payload_bytes(data: bytes) -> int:
    """Bytes of the packets of an Ogg Opus file, without pages' headers and the two header packets.

    RFC 3533 and RFC 7845: the identification has a page of its own; the comment ends its last page.
    Raises ReferenceCodecError for what is no Ogg file.
    """
    audio, position, headers = 0, 0, 2
    while position < len(data):
        if data[position : position + 4] != _CAPTURE or position + _HEADER_BYTES > len(data):
            raise ReferenceCodecError(f"no Ogg page at byte {position}")
        segments = data[position + _SEGMENTS_AT]
        lacing = data[position + _HEADER_BYTES :][:segments]
        size = sum(lacing)
        if headers:
            headers -= sum(value < 255 for value in lacing)  # packets that end on this page
        else:
            audio += size
        position += _HEADER_BYTES + segments + size
    return audio
