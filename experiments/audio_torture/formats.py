"""A recording in each format that libsndfile reads and writes, and two that others write."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import soundfile

__all__ = ["RECORDINGS", "Recording"]

RATE = 48000
SECONDS = 3


@dataclass(frozen=True)
class Recording:
    """How to make the bytes of a file, and what its format can tell of damage.

    `checked` formats have check sums for all samples. `sized` ones say how long they are: of the
    others nobody can know that their end is missing.
    """

    make: Callable[[], bytes]
    checked: bool = False
    sized: bool = True


def _samples() -> np.ndarray:
    """Noise that comes and goes, so that frames have different sizes."""
    random = np.random.default_rng(1)
    time = np.arange(SECONDS * RATE) / RATE
    return random.uniform(-0.5, 0.5, len(time)) * np.clip(np.sin(3 * np.pi * time), 0.01, 1)


def _written(format: str, subtype: str, rate: int = RATE) -> bytes:
    buffer = io.BytesIO()
    buffer.name = f"a.{format.lower()}"
    with soundfile.SoundFile(buffer, "w", rate, 1, subtype, format=format) as file:
        file.write(_samples())
    return buffer.getvalue()


def _without_xing() -> bytes:
    from l3ac_jax.audio.containers.mpeg_frames import parse_frame

    data = _written("MP3", "MPEG_LAYER_III")
    first = parse_frame(data[:4])
    assert first is not None
    return data[first.size :]


def _mp3_in_wav() -> bytes:
    data = _without_xing()
    form = (
        b"".join(
            value.to_bytes(size, "little")
            for value, size in ((0x55, 2), (1, 2), (RATE, 4), (16000, 4), (1, 2), (0, 2), (12, 2))
        )
        + bytes.fromhex("010002000000010001000000")[:12]
    )
    chunks = b"fmt " + len(form).to_bytes(4, "little") + form
    chunks += b"data" + len(data).to_bytes(4, "little") + data + bytes(len(data) % 2)
    return b"RIFF" + (4 + len(chunks)).to_bytes(4, "little") + b"WAVE" + chunks


def _of(format: str, subtype: str, **facts: bool) -> Recording:
    return Recording(partial(_written, format, subtype), **facts)


RECORDINGS = {
    "wav": _of("WAV", "PCM_16"),
    "wav-float": _of("WAVEX", "FLOAT"),
    "wav-ima": _of("WAV", "IMA_ADPCM"),
    "wav-ms": _of("WAV", "MS_ADPCM"),
    "wav-gsm": _of("WAV", "GSM610"),
    "wav-g721": _of("WAV", "G721_32"),
    "wav-mp3": Recording(_mp3_in_wav),
    "rf64": _of("RF64", "PCM_24"),
    "w64": _of("W64", "PCM_16"),
    "aiff": _of("AIFF", "PCM_16"),
    "aifc-ulaw": _of("AIFF", "ULAW"),
    "au": _of("AU", "PCM_16"),
    "caf": _of("CAF", "PCM_16"),
    "caf-alac": _of("CAF", "ALAC_16"),
    "flac": _of("FLAC", "PCM_16", checked=True),
    "vorbis": _of("OGG", "VORBIS", checked=True),
    "opus": _of("OGG", "OPUS", checked=True),
    "mp3": _of("MP3", "MPEG_LAYER_III"),
    "mp3-bare": Recording(_without_xing, sized=False),  # cut between two frames, it is whole
    "nist": _of("NIST", "PCM_16"),
    "voc": _of("VOC", "PCM_16"),
    "svx": _of("SVX", "PCM_16"),
    "ircam": _of("IRCAM", "PCM_16", sized=False),
    "pvf": _of("PVF", "PCM_16", sized=False),
    "paf": _of("PAF", "PCM_16", sized=False),
    "htk": _of("HTK", "PCM_16"),
    "avr": _of("AVR", "PCM_16"),
    "sds": _of("SDS", "PCM_16"),
    "mat4": _of("MAT4", "PCM_16"),
    "mat5": _of("MAT5", "PCM_16"),
    "mpc2k": _of("MPC2K", "PCM_16"),
    "wve": Recording(partial(_written, "WVE", "ALAW", 8000)),
    "xi": _of("XI", "DPCM_16", sized=False),
}
