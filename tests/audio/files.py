"""Bytes of audio files, and what can be done to them."""

import io

import numpy as np
import soundfile

from l3ac_jax.audio.containers.mpeg_frames import parse_frame

RATE = 44100


def noise_then_silence(seconds: float, rate: int = RATE) -> np.ndarray:
    """Half of it noise: the first frames of an MP3 file say little about the last."""
    samples = np.random.default_rng(0).uniform(-0.3, 0.3, int(seconds * rate))
    samples[len(samples) // 2 :] = 0
    return samples


def file_bytes(format: str, subtype: str, samples: np.ndarray, rate: int = RATE) -> bytes:
    """As libsndfile writes it; `samples` (time) or (time, channels)."""
    buffer = io.BytesIO()
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    with soundfile.SoundFile(buffer, "w", rate, channels, subtype, format=format) as file:
        # some of libsndfile's encoders take no variable rate after the first samples
        file.write(samples)
    return buffer.getvalue()


def variable_mp3(seconds: float) -> bytes:
    """An MP3 file with a Xing header, its frames as large as they need to be."""
    buffer = io.BytesIO()
    with soundfile.SoundFile(
        buffer, "w", RATE, 1, format="MP3", bitrate_mode="VARIABLE", compression_level=0.2
    ) as file:
        file.write(noise_then_silence(seconds))
    return buffer.getvalue()


def without_xing(data: bytes) -> bytes:
    """An MP3 file as a writer leaves it that cannot go back."""
    header = parse_frame(data[:4])
    assert (header is not None and b"Xing" in data[: header.size]) or b"Info" in data[: header.size]
    return data[header.size :]


def mp3_in_wav(data: bytes) -> bytes:
    """A WAV file that holds MPEG frames, as ffmpeg makes it."""
    numbers = ((0x55, 2), (1, 2), (RATE, 4), (1, 4), (1152, 2), (0, 2), (12, 2), (1, 2), (2, 4))
    form = b"".join(value.to_bytes(size, "little") for value, size in numbers) + bytes(6)
    chunks = b"fmt " + len(form).to_bytes(4, "little") + form
    chunks += b"data" + len(data).to_bytes(4, "little") + data
    return b"RIFF" + (4 + len(chunks)).to_bytes(4, "little") + b"WAVE" + chunks


def with_number(data: bytes, place: int, width: int, value: int, order="little") -> bytes:
    """Another number at a place of a header."""
    return data[:place] + value.to_bytes(width, order) + data[place + width :]
