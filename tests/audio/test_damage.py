"""Damage is told, with how much is missing and where; what is left is decoded."""

import re
from functools import cache

import numpy as np
import pytest

from l3ac_jax.audio.damage import AudioDamageWarning, DamagedAudioError
from l3ac_jax.audio.reading import open_reader, read_audio
from l3ac_jax.errors import UserError
from tests.audio.files import (
    file_bytes,
    noise_then_silence,
    variable_mp3,
    with_number,
    without_xing,
)

RATE, SECONDS = 48000, 6
FORMATS = {
    "wav": ("WAV", "PCM_16"),
    "adpcm": ("WAV", "IMA_ADPCM"),
    "rf64": ("RF64", "PCM_24"),
    "w64": ("W64", "PCM_16"),
    "aiff": ("AIFF", "PCM_16"),
    "au": ("AU", "PCM_16"),
    "caf": ("CAF", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "vorbis": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "nist": ("NIST", "PCM_16"),
    "svx": ("SVX", "PCM_16"),
    "voc": ("VOC", "PCM_16"),
    "mat4": ("MAT4", "PCM_16"),
    "mat5": ("MAT5", "PCM_16"),
    "sds": ("SDS", "PCM_16"),
}
CHECKED = ("flac", "vorbis", "opus")
# A page of Vorbis or Opus is a second; a frame of FLAC a tenth of one.
GRAIN = {"vorbis": 1.3, "opus": 1.1, "flac": 0.2}


def told_place(line: str) -> float:
    """Where the line says that it is."""
    return float(re.search(r" at ([\d.]+) s: ", line)[1])


@cache
def whole(name: str) -> bytes:
    """A file in one of the formats."""
    samples = np.random.default_rng(0).uniform(-0.3, 0.3, SECONDS * RATE)
    return file_bytes(*FORMATS[name], samples, RATE)


def read(path, data: bytes) -> tuple[np.ndarray, list[str]]:
    """What is decoded, and what is told."""
    path.write_bytes(data)
    told: list[str] = []
    with open_reader(path, on_damage=told.append) as reader:
        blocks = list(reader.blocks())
    return np.concatenate(blocks, axis=1)[0], told


def told_seconds(line: str) -> float:
    """What the line says is missing."""
    return float(re.search(r"([\d.]+) s of [\d.]+ s are missing", line)[1])


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_that_is_cut_off_says_how_much_is_missing(tmp_path, name):
    data = whole(name)
    samples, told = read(tmp_path / "a", data[: len(data) // 2])
    complete, nothing = read(tmp_path / "b", data)
    assert nothing == []
    assert abs(len(samples) / RATE - SECONDS / 2) < GRAIN.get(name, 0.1)
    (line,) = told
    if name in ("vorbis", "opus"):  # whose end is said at their end alone
        assert f"what is missing beside {len(samples) / RATE:.2f} s cannot be known" in line
    else:
        lost = (len(complete) - len(samples)) / RATE
        assert told_seconds(line) == pytest.approx(lost, abs=0.011)
        assert told_place(line) == pytest.approx(len(samples) / RATE, abs=0.06)
    # Lossy decoders look ahead, and MP3 back: the end may differ.
    same = len(samples) - 4096
    np.testing.assert_array_equal(samples[:same], complete[:same])


@pytest.mark.parametrize("name", [*CHECKED, "mp3"])
@pytest.mark.parametrize("kind", ["overwritten", "missing"])
def test_damage_in_the_middle_costs_no_more_than_itself(tmp_path, name, kind):
    data = whole(name)
    middle, size = len(data) // 2, len(data) // 50
    put = np.random.default_rng(1).bytes(size) if kind == "overwritten" else b""
    samples, told = read(tmp_path / "a", data[:middle] + put + data[middle + size :])
    complete, _ = read(tmp_path / "b", data)
    (line,) = told
    lost = (len(complete) - len(samples)) / RATE
    assert 0.05 < lost < SECONDS / 50 + 2 * GRAIN.get(name, 0.15)
    assert told_seconds(line) == pytest.approx(lost, abs=0.03)
    assert abs(told_place(line) - SECONDS / 2) < GRAIN.get(name, 0.1) + 0.1
    # The recording goes on behind it as it was.
    np.testing.assert_allclose(samples[-RATE:], complete[-RATE:], atol=1e-4)


@pytest.mark.parametrize("name", CHECKED)
def test_one_byte_is_enough_where_there_are_check_sums(tmp_path, name):
    data = whole(name)
    middle = len(data) // 2
    samples, told = read(
        tmp_path / "a", data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
    )
    (line,) = told
    assert told_seconds(line) == pytest.approx(SECONDS - len(samples) / RATE, abs=0.011)


def test_pages_that_changed_places_are_put_in_order(tmp_path):
    data = file_bytes("OGG", "OPUS", noise_then_silence(SECONDS, RATE), RATE)
    pages = data.split(b"OggS")[1:]
    pages[3], pages[4] = pages[4], pages[3]
    samples, told = read(tmp_path / "a", b"".join(b"OggS" + page for page in pages))
    np.testing.assert_array_equal(samples, read(tmp_path / "b", data)[0])
    assert told == []


@pytest.mark.parametrize("bare", [False, True])
def test_an_mp3_file_without_its_beginning_is_read(tmp_path, bare):
    data = variable_mp3(3)
    data = without_xing(data) if bare else data
    samples, told = read(tmp_path / "a", data[len(data) // 10 + 1 :])
    assert len(samples) > 2 * 44100
    assert len(told) == 1


def test_a_header_that_says_less_than_there_is_is_told(tmp_path):
    data = file_bytes("WAV", "PCM_16", noise_then_silence(1, RATE), RATE)
    samples, told = read(tmp_path / "a", with_number(data, data.find(b"data") + 4, 4, RATE))
    assert len(samples) == RATE
    assert told[0].endswith(
        "1.00 s were decoded (0.00 s at 0.50 s: its header says that the audio ends here)"
    )


TRAILERS = {
    "chunks": b"LIST\x04\0\0\0INFO" + b"id3 \x03\0\0\0abc\0",
    "ID3v1": b"TAG" + bytes(125),
    "zeros": bytes(4000),
    "a byte": b"x",
}


@pytest.mark.parametrize(
    ("format", "trailer"),
    [*(("wav", trailer) for trailer in TRAILERS), ("mp3", "ID3v1"), ("mp3", "zeros")],
)
def test_what_lies_behind_the_audio_is_no_damage(tmp_path, format, trailer):
    data = file_bytes(*FORMATS[format], noise_then_silence(1, RATE), RATE)
    samples, told = read(tmp_path / "a", data + TRAILERS[trailer])
    assert len(samples) == RATE
    assert told == []


def test_it_is_a_warning_or_an_error(tmp_path):
    path = tmp_path / "a.flac"
    data = file_bytes("FLAC", "PCM_16", noise_then_silence(1, RATE), RATE)
    path.write_bytes(data[: len(data) // 3])
    with pytest.warns(AudioDamageWarning, match=r"a\.flac: is not whole: .* is cut off\)"):
        audio = read_audio(path)
    assert 0 < audio.samples.shape[1] < RATE
    with pytest.raises(DamagedAudioError, match=r"a\.flac: is not whole"):
        read_audio(path, strict=True)
    assert issubclass(DamagedAudioError, UserError)
