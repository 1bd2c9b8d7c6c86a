"""Recordings to pieces: resampling, cutting, rounding; nothing is lost, and memory stays small."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile as sf
import soxr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from l3ac_jax.audio import decoding
from l3ac_jax.data.recordings import Cut, Recording, UnusableError, is_silent, read_pieces
from l3ac_jax.errors import SourceError
from tests.data.trees import CUT, FIXTURES, speech, write


def recording(path, **changes) -> Recording:
    return Recording(path.name, "train", path.name, path, path.stat().st_size, **changes)


def test_16_bit_mono_at_the_right_rate_is_kept_to_the_bit(tmp_path):
    samples = speech(3)
    write(tmp_path / "a.flac", samples)
    (piece,) = read_pieces(recording(tmp_path / "a.flac"), CUT)
    np.testing.assert_array_equal(piece, samples)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_resampling_is_that_of_soxr_vhq(tmp_path, monkeypatch, rate):
    monkeypatch.setattr(decoding, "BLOCK", 5000)  # many blocks
    samples = speech(2, rate=rate)
    write(tmp_path / "a.wav", samples, rate)
    (piece,) = read_pieces(recording(tmp_path / "a.wav"), CUT)
    expected = soxr.resample(samples / 32768, rate, 16000, quality="VHQ") * 32768
    assert len(piece) == pytest.approx(len(expected), abs=1)
    # Half a bit of rounding, and the float32 error of the stream.
    np.testing.assert_allclose(piece[: len(expected)], expected[: len(piece)], atol=0.52)


def test_channels_are_averaged(tmp_path):
    left, right = speech(1), speech(1, start=2)
    write(tmp_path / "a.wav", np.stack([left, right], axis=1))
    (piece,) = read_pieces(recording(tmp_path / "a.wav"), CUT)
    np.testing.assert_allclose(piece, (left.astype(float) + right) / 2, atol=0.5)


def test_overshoot_is_scaled_and_not_clipped(tmp_path):
    samples = speech(1) / 8000
    assert np.abs(samples).max() > 1
    sf.write(tmp_path / "a.wav", samples, 16000, "FLOAT")
    (piece,) = read_pieces(recording(tmp_path / "a.wav"), CUT)
    expected = samples / np.abs(samples).max() * 32767
    np.testing.assert_allclose(piece, expected, atol=0.51)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    samples=st.integers(1600, 40000),
    piece=st.integers(1700, 20000),
    block=st.integers(100, 30000),
)
def test_pieces_are_the_whole_recording(tmp_path, samples, piece, block):
    audio = np.random.default_rng(samples).integers(-9000, 9000, samples, np.int16)
    write(tmp_path / "a.wav", audio)
    cut = Cut(16000, 0.1, 1e-3, piece_seconds=piece / 16000)
    before, decoding.BLOCK = decoding.BLOCK, block
    try:
        pieces = read_pieces(recording(tmp_path / "a.wav"), cut)
    finally:
        decoding.BLOCK = before
    np.testing.assert_array_equal(np.concatenate(pieces), audio)
    assert all(len(p) == piece for p in pieces[:-1])
    assert 1600 <= len(pieces[-1]) < piece + 1600


def test_a_member_of_an_archive(tmp_path):
    content = (FIXTURES / "misc_crow.flac").read_bytes()
    (tmp_path / "all.tar").write_bytes(b"x" * 700 + content + b"y" * 90)
    member = Recording("a", "train", "a", tmp_path / "all.tar", len(content), offset=700)
    alone = recording(FIXTURES / "misc_crow.flac")
    np.testing.assert_array_equal(read_pieces(member, CUT)[0], read_pieces(alone, CUT)[0])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"not audio at all", "is not an audio file that can be read"),
        (
            (FIXTURES / "misc_crow.flac").read_bytes()[:300],
            "none of its audio can be decoded",
        ),
    ],
)
@pytest.mark.parametrize("archived", [False, True])
def test_what_cannot_be_read_says_why(tmp_path, content, reason, archived):
    (tmp_path / "a.flac").write_bytes(content)
    offset = 0 if archived else None
    with pytest.raises(UnusableError, match=f"^{reason}"):
        read_pieces(recording(tmp_path / "a.flac", offset=offset), CUT)


@pytest.mark.parametrize("offset", [None, 0])
def test_of_what_is_cut_off_there_is_what_can_be_decoded(tmp_path, offset):
    (tmp_path / "a.flac").write_bytes((FIXTURES / "misc_crow.flac").read_bytes()[:9000])
    told = []
    (piece,) = read_pieces(recording(tmp_path / "a.flac", offset=offset), CUT, told.append)
    (whole,) = read_pieces(recording(FIXTURES / "misc_crow.flac"), CUT)
    (message,) = told
    assert message.startswith(f"{tmp_path / 'a.flac'}: is not whole: 0.29 s of 0.48 s are missing")
    assert 0.17 < len(piece) / 16000 < 0.19
    # Where it ends the resampler sees another future.
    np.testing.assert_array_equal(piece[:2600], whole[:2600])


def test_an_archive_that_ends_early(tmp_path):
    (tmp_path / "all.tar").write_bytes(b"x" * 100)
    with pytest.raises(SourceError, match="has become shorter"):
        read_pieces(Recording("a", "train", "a", tmp_path / "all.tar", 90, offset=50), CUT)


def test_unusable_audio_says_why(tmp_path):
    (tmp_path / "empty.wav").write_bytes(b"")
    write(tmp_path / "none.wav", speech(0))
    write(tmp_path / "short.wav", speech(0.05))
    sf.write(tmp_path / "nan.wav", np.full(16000, np.nan), 16000, "FLOAT")
    with pytest.raises(UnusableError, match=r"^does not exist"):
        read_pieces(replace(recording(tmp_path / "none.wav"), bytes=None), CUT)
    for name, reason in {
        "empty.wav": "is an empty file",
        "none.wav": "holds no audio",
        "short.wav": r"too short: 0\.050 s",
        "nan.wav": "holds samples that are NaN or infinite",
    }.items():
        with pytest.raises(UnusableError, match=f"^{reason}"):
            read_pieces(recording(tmp_path / name), CUT)


def test_silence_is_a_matter_of_the_peak():
    cut = Cut(16000, 0.1, silence=10 / 32768)
    assert is_silent(np.full(100, -10, np.int16), cut)
    assert not is_silent(np.array([0, 0, -11], np.int16), cut)
    assert not is_silent(np.array([-32768], np.int16), cut)
