"""One clip of a prepared corpus, and the record that holds it in a shard.

A record is a JSON header (its length first, four bytes, little endian), the samples as FLAC, and a
CRC-32 of all of that. FLAC is lossless, seeks, and halves speech at about 200 times the speed at
which soundfile resamples, so that reading a crop costs a few milliseconds.
"""

from __future__ import annotations

import io
import json
import struct
import zlib
from dataclasses import dataclass

import numpy as np
import soundfile
from jaxtyping import Float, Int16

from l3ac_jax.errors import RecordError

FULL_SCALE = 32768
NORMALIZED_LEVEL = 0.75


@dataclass(frozen=True)
class ClipInfo:
    """What is known of a clip beside its samples.

    `level` is the mean of the largest 0.1 % of |x| (1.0 is full scale); `text` is the transcript,
    where the corpus has one; `source` says where in the corpus the clip comes from.
    """

    id: str
    source: str
    text: str | None
    sample_rate: int
    samples: int
    level: float


@dataclass(frozen=True)
class Clip:
    """A whole clip: float32 samples in [-1, 1]."""

    info: ClipInfo
    audio: Float[np.ndarray, " time"]


def encode_record(
    samples: Int16[np.ndarray, " time"],
    sample_rate: int,
    id: str,
    source: str,
    text: str | None = None,
) -> bytes:
    """The record of a clip of 16-bit samples; the same bytes for the same clip."""
    header = {
        "id": id,
        "source": source,
        "text": text,
        "sample_rate": sample_rate,
        "samples": len(samples),
        "level": peak_level(samples),
    }
    packed = json.dumps(header, separators=(",", ":")).encode("ascii")
    flac = io.BytesIO()
    soundfile.write(flac, samples, sample_rate, format="FLAC", subtype="PCM_16")
    record = struct.pack("<I", len(packed)) + packed + flac.getvalue()
    return record + struct.pack("<I", zlib.crc32(record))


class Record:
    """A record that has been read: its header, and its samples on demand. Raises RecordError."""

    def __init__(self, record: bytes):
        if len(record) < 8 or zlib.crc32(record[:-4]) != struct.unpack("<I", record[-4:])[0]:
            raise RecordError("its checksum does not match its content")
        (size,) = struct.unpack_from("<I", record)
        try:
            self.info = ClipInfo(**json.loads(record[4 : 4 + size]))
        except (ValueError, TypeError) as error:
            raise RecordError(f"its header cannot be read: {error}") from error
        self._flac = record[4 + size : -4]

    def audio(self, start: int = 0, count: int | None = None) -> Float[np.ndarray, " count"]:
        """Float32 samples from `start`, `count` of them or all that follow."""
        count = self.info.samples - start if count is None else count
        try:
            with soundfile.SoundFile(io.BytesIO(self._flac)) as file:
                if start:
                    file.seek(start)
                audio = file.read(count, dtype="float32")
        except soundfile.LibsndfileError as error:
            raise RecordError(f"its samples cannot be read: {error.error_string}") from error
        if len(audio) != count:
            raise RecordError(f"it holds {start + len(audio)} of {self.info.samples} samples")
        return audio


def peak_level(samples: Int16[np.ndarray, " time"]) -> float:
    """Mean of the largest 0.1 % of |x|, at least of one sample; 1.0 is full scale."""
    count = max(1, len(samples) // 1000)
    magnitudes = np.abs(samples.astype(np.int32))
    largest = np.partition(magnitudes, len(samples) - count)[-count:]
    return float(largest.mean() / FULL_SCALE)


def normalize(audio: Float[np.ndarray, " time"], level: float) -> Float[np.ndarray, " time"]:
    """Bring `level` to 0.75, then clip to [-1, 1], as the official training code does."""
    gain = np.float32(1 / (level / NORMALIZED_LEVEL + 1e-6))
    return np.clip(audio * gain, -1, 1)
