"""Samples as bytes, and WAV that is read from first to last."""

import io

import numpy as np
import pytest
import soundfile

from l3ac_jax.audio.pcm import PcmFormat, from_bytes, read_wav_header, to_bytes, wav_header
from l3ac_jax.errors import AudioError
from tests.quick import speech


def test_sixteen_bits_there_and_back_are_the_same_and_clip():
    data = np.arange(-32768, 32768, dtype="<i2").tobytes()
    samples = from_bytes(data, PcmFormat("s16le", 16000, 2))
    assert samples.shape == (2, 32768) and samples.min() == -1 and samples.dtype == np.float32
    assert to_bytes(samples, "s16le") == data
    loud = to_bytes(np.array([[2.0, -2.0]], np.float32), "s16le")
    assert loud == np.array([32767, -32768], "<i2").tobytes()


@pytest.mark.parametrize(("subtype", "encoding"), [("PCM_16", "s16le"), ("FLOAT", "f32le")])
@pytest.mark.parametrize("container", ["WAV", "WAVEX"])
def test_headers_are_those_of_libsndfile(container, subtype, encoding):
    audio = np.concatenate([speech(99), speech(99, offset=9000)])
    file = io.BytesIO()
    soundfile.write(file, audio.T, 44100, format=container, subtype=subtype)
    file.seek(0)
    form, size = read_wav_header(file, "file")
    assert form == PcmFormat(encoding, 44100, 2)
    assert size == 99 * form.frame_bytes
    expected = soundfile.read(io.BytesIO(file.getvalue()), dtype="float32")[0].T
    np.testing.assert_array_equal(from_bytes(file.read(size), form), expected)


@pytest.mark.parametrize("encoding", ["s16le", "f32le"])
def test_a_header_without_a_length_is_read_by_us_and_by_libsndfile(encoding):
    form = PcmFormat(encoding, 22050, 1)
    file = wav_header(form) + to_bytes(speech(50), encoding)
    assert read_wav_header(io.BytesIO(file), "file") == (form, None)
    samples, rate = soundfile.read(io.BytesIO(file), dtype="float32")
    assert rate == 22050
    np.testing.assert_array_equal(samples[None], from_bytes(to_bytes(speech(50), encoding), form))


HEAD = wav_header(PcmFormat("s16le", 16000, 1))
REFUSED = {
    b"": "is empty",
    b"fLaC" + bytes(40): "is no WAV file",
    HEAD[:20]: "is damaged in its header",
    HEAD[:36]: "ends before its samples",
    HEAD[:12] + HEAD[36:]: "come before their format",
    HEAD[:22] + b"\0\0" + HEAD[24:]: "0 channels",
    HEAD[:34] + b"\x18\0" + HEAD[36:]: "24 bits",
}


@pytest.mark.parametrize(("data", "reason"), REFUSED.items())
def test_what_cannot_be_read_is_named(data, reason):
    with pytest.raises(AudioError, match=f"pipe: .*{reason}"):
        read_wav_header(io.BytesIO(data), "pipe")
