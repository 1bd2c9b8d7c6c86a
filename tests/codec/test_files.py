"""Single files through a codec in Python, and long ones among others."""

from dataclasses import replace

import numpy as np
import pytest

from l3ac_jax.audio.reading import read_audio
from l3ac_jax.audio.resampling import resample
from l3ac_jax.audio.writing import write_audio
from l3ac_jax.codec.files import decode_file, encode_file, reconstruct_file
from l3ac_jax.codec.many import batches
from l3ac_jax.codec.many.batches import decode_all, encode_files
from l3ac_jax.errors import OutputError, WrongModelError
from l3ac_jax.tokens.bitstream.files import save


def test_a_file_has_the_tokens_of_its_channels_at_the_rate_of_the_codec(small_codec, stereo):
    encoded = encode_file(small_codec, stereo)
    samples = resample(read_audio(stereo).samples, 44100, 16000)
    expected = [np.asarray(small_codec.encode(channel[None]))[0] for channel in samples]
    np.testing.assert_array_equal(encoded.tokens, expected)
    assert (encoded.samples, encoded.sample_rate, encoded.codec_samples) == (4411, 44100, 1601)


def test_reconstruction_gives_the_tokens_and_writes_their_audio(small_codec, stereo, tmp_path):
    shares = []
    encoded = reconstruct_file(small_codec, stereo, tmp_path / "out.wav", report=shares.append)
    np.testing.assert_array_equal(encoded.tokens, encode_file(small_codec, stereo).tokens)
    assert shares == sorted(shares) and shares[-1] == 1
    # As 16 bits unless there is a file to be like.
    save(tmp_path / "tokens.l3ac", encoded)
    decode_file(small_codec, tmp_path / "tokens.l3ac", tmp_path / "decoded.wav")
    decoded, at_once = read_audio(tmp_path / "decoded.wav"), read_audio(tmp_path / "out.wav")
    assert (decoded.subtype, at_once.subtype) == ("PCM_16", "FLOAT")
    np.testing.assert_allclose(decoded.samples, at_once.samples, atol=1 / 32768)


def test_tokens_of_another_model_are_refused_by_the_name_of_their_file(
    small_codec, speech, tmp_path
):
    encoded = encode_file(small_codec, speech)
    other = replace(encoded, format=replace(encoded.format, weights="0" * 16))
    save(tmp_path / "other.l3ac", other)
    with pytest.raises(WrongModelError, match=r"other\.l3ac: .*whose weights"):
        decode_file(small_codec, tmp_path / "other.l3ac", tmp_path / "out.wav")
    assert not (tmp_path / "out.wav").exists()


def test_an_output_that_is_there_is_refused_before_the_work(stereo, tmp_path):
    (tmp_path / "out.wav").touch()
    no_codec = None  # it is not asked
    with pytest.raises(OutputError, match="already exists"):
        reconstruct_file(no_codec, stereo, tmp_path / "out.wav")  # pyright: ignore


def test_long_files_among_others_are_coded_by_themselves(
    small_codec, speech, stereo, tmp_path, monkeypatch
):
    monkeypatch.setattr(batches, "LONG_SECONDS", 0.2)
    write_audio(tmp_path / "short.wav", read_audio(speech).samples[:, :2000], 16000)
    names = [speech, tmp_path / "short.wav", stereo]
    is_long = {}
    encoded = dict(encode_files(small_codec, names))
    for path, decoded in decode_all(lambda *_: small_codec, encoded.items()):
        assert not isinstance(decoded, Exception)
        is_long[path.name] = decoded.is_long
        expected = encode_file(small_codec, path)
        np.testing.assert_array_equal(decoded.encoded.tokens, expected.tokens)
        audio = np.concatenate(list(decoded.blocks), axis=1)
        for row, tokens in zip(audio, expected.tokens, strict=True):
            np.testing.assert_array_equal(row, np.asarray(small_codec.decode(tokens[None]))[0])
    assert is_long == {"speech.wav": True, "short.wav": False, "stereo.wav": False}
