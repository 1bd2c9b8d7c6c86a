"""Audio whose headers claim what is not there, or what nobody has: little memory, no long wait."""

import struct

import numpy as np
import pytest

from l3ac_jax.audio.reading import open_reader
from l3ac_jax.errors import AudioError
from tests.tokens.bitstream.test_hostile_files import peak_memory


def wav(rate: int, samples: int, claimed: int | None = None, format_bytes: int = 16) -> bytes:
    """Silence in 8 bits, whose header says what it is told to."""
    form = struct.pack("<HHIIHH", 1, 1, rate, rate, 1, 8)
    size = samples if claimed is None else claimed
    head = b"RIFF\xff\xff\xff\x7fWAVEfmt " + struct.pack("<I", format_bytes) + form
    return head + b"data" + struct.pack("<I", size) + bytes([128]) * samples


def samples_at_16_khz(path) -> int:
    with open_reader(path, on_damage=lambda _: None) as reader:
        return sum(block.shape[1] for block in reader.blocks(16000))


def test_a_claimed_length_takes_no_memory(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(wav(16000, 1000, claimed=2**31 - 100))
    assert peak_memory(lambda: samples_at_16_khz(path)) < 2**20
    assert samples_at_16_khz(path) == 1000


def test_a_claimed_format_takes_no_memory(tmp_path):
    """64 MB of it are there, in a file with a hole."""
    path = tmp_path / "a.wav"
    with path.open("wb") as file:
        file.write(wav(16000, 0, format_bytes=2**26)[:36])
        file.seek(2**26)
        file.write(bytes(100))

    def refused():
        with pytest.raises(AudioError, match=r"a\.wav: is not an audio file that can be read"):
            samples_at_16_khz(path)

    assert peak_memory(refused) < 2**23


@pytest.mark.parametrize("head", [b"RIFF\xff\xff\xff\x7fWAVE", b"FORM\x7f\xff\xff\xffAIFF"])
def test_a_million_chunks_are_not_all_looked_at(head, tmp_path):
    path = tmp_path / "a.wav"
    numbers = np.arange(10**6, dtype=">u4")
    path.write_bytes(head + np.stack([numbers, np.zeros_like(numbers)], axis=1).tobytes())

    def refused():
        with pytest.raises(AudioError, match=r"a\.wav: is not an audio file that can be read"):
            samples_at_16_khz(path)

    assert peak_memory(refused) < 2**23
