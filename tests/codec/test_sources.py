"""Recordings from paths, bytes and file objects, and clips at other rates."""

import gzip
import io
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from l3ac_jax.audio.reading import read_audio
from l3ac_jax.errors import ArgumentError, AudioError


class Pipe(io.RawIOBase):
    """Gives bytes once, a few at a time, and cannot seek."""

    def __init__(self, data: bytes):
        self._left = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        return self._left.readinto(memoryview(buffer)[:1000])


def sources_of(path: Path):
    """What holds the same file."""
    data = path.read_bytes()
    with path.open("rb") as opened:
        yield opened
    with path.open("rb", buffering=0) as opened:
        yield opened
    packed = path.with_suffix(".gz")
    packed.write_bytes(gzip.compress(data))
    with gzip.open(packed) as opened:  # its descriptor is that of the packed file
        yield opened
    behind = io.BytesIO(b"something else" + data)
    behind.seek(len(b"something else"))
    yield behind
    yield from (data, bytearray(data), memoryview(data), io.BytesIO(data), Pipe(data))
    yield io.BufferedReader(Pipe(data))


def test_a_file_is_the_same_however_it_is_given(small_codec, stereo):
    expected = small_codec.encode_file(stereo)
    for source in chain([str(stereo)], sources_of(stereo)):
        encoded = small_codec.encode_file(source)
        np.testing.assert_array_equal(encoded.tokens, expected.tokens)
        assert (encoded.samples, encoded.sample_rate) == (4411, 44100)


def test_what_is_no_audio_file_is_named(small_codec, speech, tmp_path):
    with pytest.raises(AudioError, match="the given bytes: is empty"):
        small_codec.encode_file(b"")
    with pytest.raises(AudioError, match="the given bytes: is not an audio file"):
        small_codec.encode_file(b"no audio" * 100)
    (tmp_path / "text.wav").write_text("no audio")
    with (tmp_path / "text.wav").open("rb") as file, pytest.raises(AudioError, match=r"text\.wav"):
        small_codec.encode_file(file)
    with (
        (tmp_path / "text.wav").open() as file,
        pytest.raises(ArgumentError, match=r"text\.wav: is open as text.*'rb'"),
    ):
        small_codec.encode_file(file)
    with pytest.raises(ArgumentError, match=r"text\.wav: is closed"):
        small_codec.encode_file(file)
    with pytest.raises(ArgumentError, match="not from a ndarray: encode takes arrays"):
        small_codec.encode_file(np.zeros((1, 50), np.float32))


def test_a_file_object_that_cannot_be_read_is_an_audio_error(small_codec):
    class Broken(io.RawIOBase):
        def read(self, size=-1):
            raise OSError(5, "Input/output error")

    with pytest.raises(AudioError, match="the given file object: cannot be read: Input/output"):
        small_codec.encode_file(Broken())


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_arrays_at_any_rate_give_the_tokens_of_the_file(small_codec, rate, tmp_path, stereo):
    clips = read_audio(stereo).samples[:, :3001]
    sf.write(tmp_path / "clips.wav", clips.T, rate, "FLOAT")
    tokens = small_codec.encode(clips, sample_rate=rate)
    np.testing.assert_array_equal(tokens, small_codec.encode_file(tmp_path / "clips.wav").tokens)


def test_resampled_clips_of_a_batch_are_those_alone(small_codec, stereo):
    clips = read_audio(stereo).samples.copy()
    clips[1, 2000:] = np.nan
    tokens = np.asarray(small_codec.encode(clips, [4411, 2000], sample_rate=44100))
    for clip, row, length in zip(clips, tokens, (4411, 2000), strict=True):
        alone = np.asarray(small_codec.encode(clip[None, :length], sample_rate=44100))[0]
        np.testing.assert_array_equal(row[: len(alone)], alone)
        assert not row[len(alone) :].any()


@pytest.mark.parametrize("rate", [0, -16000, 44100.5, "44100", True, float("nan")])
def test_a_rate_is_a_positive_integer(small_codec, rate):
    with pytest.raises(ArgumentError, match="sample_rate must be a positive integer"):
        small_codec.encode(np.zeros((1, 50), np.float32), sample_rate=rate)
