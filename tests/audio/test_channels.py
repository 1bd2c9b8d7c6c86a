"""Channels keep their places in every container, whatever order it has them in."""

import shutil
import subprocess

import numpy as np
import pytest
import soundfile

from l3ac_jax.audio.channels import PLACES, vorbis_order
from l3ac_jax.audio.reading import read_audio
from l3ac_jax.audio.writing import write_audio

RATE = 48000
LAYOUTS = {3: "3.0", 4: "quad", 5: "5.0(back)", 6: "5.1(back)", 7: "6.1", 8: "7.1"}
LFE = 3  # its place in WAV files of six and more channels; encoders let low tones pass alone


def sines(channels: int) -> tuple[list[int], np.ndarray]:
    """One frequency in Hz for each channel, and the samples."""
    frequencies = [300 + 200 * channel for channel in range(channels)]
    if channels > 5:
        frequencies[LFE] = 60
    time = np.arange(RATE) / RATE
    return frequencies, (0.5 * np.sin(2 * np.pi * np.outer(frequencies, time))).astype(np.float32)


def heard(samples: np.ndarray) -> list[int]:
    """The loudest frequency of each channel; bins are 2 Hz apart."""
    middle = samples[:, RATE // 4 : RATE // 4 + RATE // 2] * np.hanning(RATE // 2)
    return [2 * int(bin) for bin in np.abs(np.fft.rfft(middle)).argmax(axis=1)]


@pytest.mark.parametrize("channels", range(1, 9))
@pytest.mark.parametrize("ending", ["ogg", "opus", "flac", "wav"])
def test_channels_come_back_where_they_were(tmp_path, channels, ending):
    frequencies, samples = sines(channels)
    write_audio(tmp_path / f"a.{ending}", samples, RATE)
    assert heard(read_audio(tmp_path / f"a.{ending}").samples) == frequencies


def test_in_the_file_they_are_in_the_order_of_vorbis(tmp_path):
    """Front left, centre, right, back left, right, LFE: soundfile gives them as they lie there."""
    frequencies, samples = sines(6)
    write_audio(tmp_path / "a.ogg", samples, RATE)
    left, right, centre, lfe, back_left, back_right = frequencies
    expected = [left, centre, right, back_left, back_right, lfe]
    assert heard(soundfile.read(tmp_path / "a.ogg")[0].T) == expected


def test_the_orders_are_inverse():
    for channels, places in PLACES.items():
        order = vorbis_order("OGG", "VORBIS", channels)
        assert order is not None
        assert [order[place] for place in places] == list(range(channels))


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
@pytest.mark.parametrize("channels", LAYOUTS)
@pytest.mark.parametrize("ending", ["ogg", "opus"])
def test_ffmpeg_has_them_in_the_same_places(tmp_path, channels, ending):
    frequencies, samples = sines(channels)
    write_audio(tmp_path / f"ours.{ending}", samples, RATE)
    _ffmpeg("-i", tmp_path / f"ours.{ending}", tmp_path / "theirs.wav")
    assert heard(soundfile.read(tmp_path / "theirs.wav")[0].T) == frequencies
    if ending == "opus" and channels < 5:
        return  # which its encoder does not take
    write_audio(tmp_path / "ours.wav", samples, RATE)
    codec = ["-c:a", "libopus", "-mapping_family", 1] if ending == "opus" else ["-c:a", "libvorbis"]
    source = ["-channel_layout", LAYOUTS[channels], "-i", tmp_path / "ours.wav"]
    _ffmpeg(*source, *codec, tmp_path / f"theirs.{ending}")
    assert heard(read_audio(tmp_path / f"theirs.{ending}").samples) == frequencies


def _ffmpeg(*words: object) -> None:
    subprocess.run(["ffmpeg", "-v", "error", *map(str, words)], check=True)
