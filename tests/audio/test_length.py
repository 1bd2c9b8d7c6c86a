"""All samples that can be decoded are decoded: headers and estimates are no limits."""

import numpy as np
import pytest

from l3ac_jax.audio.reading import joined, open_reader, read_audio
from tests.audio.files import (
    RATE,
    file_bytes,
    mp3_in_wav,
    noise_then_silence,
    variable_mp3,
    with_number,
    without_xing,
)

SECONDS = 3


@pytest.fixture(scope="module")
def mp3() -> bytes:
    return variable_mp3(SECONDS)


def test_an_mp3_file_without_a_xing_header_is_read_to_its_end(tmp_path, mp3):
    (tmp_path / "whole.mp3").write_bytes(mp3)
    (tmp_path / "a.mp3").write_bytes(without_xing(mp3))
    audio = read_audio(tmp_path / "a.mp3")
    whole = read_audio(tmp_path / "whole.mp3")
    assert whole.samples.shape == (1, SECONDS * RATE)
    # What encoders add at both ends is cut off only where they say so.
    assert 0 < audio.samples.shape[1] - SECONDS * RATE < 3 * 1152
    with open_reader(tmp_path / "a.mp3") as reader:
        assert reader.expected_samples == audio.samples.shape[1]
        np.testing.assert_array_equal(joined(reader.blocks()), audio.samples)


def test_a_xing_header_that_says_less_is_not_believed(tmp_path, mp3):
    place = max(mp3.find(b"Xing"), mp3.find(b"Info")) + 8
    (tmp_path / "a.mp3").write_bytes(with_number(mp3, place, 4, 10, "big"))
    assert read_audio(tmp_path / "a.mp3").samples.shape == (1, SECONDS * RATE)


def test_mp3_in_wav_is_read_to_its_end(tmp_path, mp3):
    (tmp_path / "a.mp3").write_bytes(without_xing(mp3))
    (tmp_path / "a.wav").write_bytes(mp3_in_wav(without_xing(mp3)))
    expected = read_audio(tmp_path / "a.mp3").samples
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav").samples, expected)


UNKNOWN = {
    "interrupted": (0, 0),
    "streamed": (2**32 - 1, 2**32 - 1),
    "SoX": (0x7FFFF024, 0x7FFFF000),
    "GStreamer": (36, 0),
}


@pytest.mark.parametrize("sizes", UNKNOWN.values(), ids=UNKNOWN)
@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_a_wav_file_whose_writer_did_not_come_back_is_read_to_its_end(tmp_path, sizes, subtype):
    samples = noise_then_silence(0.5).astype(np.float32)
    data = file_bytes("WAV", subtype, samples)
    (tmp_path / "whole.wav").write_bytes(data)
    data = with_number(with_number(data, 4, 4, sizes[0]), data.find(b"data") + 4, 4, sizes[1])
    (tmp_path / "a.wav").write_bytes(data)
    whole = read_audio(tmp_path / "whole.wav").samples
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav").samples, whole)


@pytest.mark.parametrize(
    ("format", "place", "width", "value", "order"),
    [
        ("AIFF", b"SSND", 4, 0, "big"),
        ("AU", b".snd\0\0\0\x18", 4, 2**32 - 1, "big"),
        ("CAF", b"data", 8, 2**64 - 1, "big"),
        ("RF64", b"ds64\x1c\0\0\0", 16, 0, "little"),
        ("W64", bytes.fromhex("64617461f3acd3118cd100c04f8edb8a"), 8, 0, "little"),
        ("FLAC", b"\x0a\xc4\x40\xf0", 4, 0, "big"),
        ("FLAC", b"\x0a\xc4\x40\xf0", 4, 100, "big"),
    ],
)
def test_other_containers_without_a_size_are_read_to_their_end(
    tmp_path, format, place, width, value, order
):
    samples = noise_then_silence(0.5)
    data = file_bytes(format, "PCM_16", samples)
    (tmp_path / "whole").write_bytes(data)
    (tmp_path / "a").write_bytes(
        with_number(data, data.find(place) + len(place), width, value, order)
    )
    whole = read_audio(tmp_path / "whole").samples
    assert whole.shape[1] == len(samples)
    np.testing.assert_array_equal(read_audio(tmp_path / "a").samples, whole)


@pytest.mark.parametrize("subtype", ["GSM610", "G721_32", "IMA_ADPCM", "MS_ADPCM", "NMS_ADPCM_32"])
def test_formats_without_seeking_are_read_whole_as_in_blocks(tmp_path, subtype):
    samples = noise_then_silence(2, 8000)
    (tmp_path / "a.wav").write_bytes(file_bytes("WAV", subtype, samples, 8000))
    audio = read_audio(tmp_path / "a.wav")
    assert 0 <= audio.samples.shape[1] - len(samples) < 1024  # the last block is a whole one
    with open_reader(tmp_path / "a.wav") as reader:
        np.testing.assert_array_equal(joined(reader.blocks()), audio.samples)


@pytest.mark.parametrize(("format", "subtype"), [("OGG", "VORBIS"), ("OGG", "OPUS")])
def test_streams_one_after_another_are_one_recording(tmp_path, format, subtype):
    first, second = (
        file_bytes(format, subtype, noise_then_silence(s, 48000), 48000) for s in (1, 2)
    )
    for name, data in (("1", first), ("2", second), ("both", first + second), ("3", first + first)):
        (tmp_path / name).write_bytes(data)
    alone = {name: read_audio(tmp_path / name).samples for name in ("1", "2")}
    both = np.concatenate([alone["1"], alone["2"]], axis=1)
    np.testing.assert_array_equal(read_audio(tmp_path / "both").samples, both)
    assert read_audio(tmp_path / "3").samples.shape == (1, 2 * 48000)
