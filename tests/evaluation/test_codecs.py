"""Reference codecs by their programs, in time with what went in."""

import shutil
import subprocess

import jax
import numpy as np
import pytest

from l3ac_jax.audio.reading import read_audio
from l3ac_jax.codec.l3ac import L3AC
from l3ac_jax.codec.pretrained import get_model
from l3ac_jax.errors import ReferenceCodecError
from l3ac_jax.evaluation.codecs import CODEC2_MODES, Codec2, NeuralCodec, Noise, Opus
from l3ac_jax.evaluation.ogg import payload_bytes
from l3ac_jax.metrics.speech import stoi
from tests.conftest import FIXTURES

RATE = 16000
needs_codec2 = pytest.mark.skipif(shutil.which("c2enc") is None, reason="codec2 is not installed")
needs_opus = pytest.mark.skipif(shutil.which("opusenc") is None, reason="opus-tools: not installed")


@pytest.fixture(scope="module")
def clip():
    """4 s of speech and a bit: no whole number of frames."""
    return read_audio(FIXTURES / "librivox_sense_0870.wav").samples[0, 8000:72123]


@needs_codec2
@pytest.mark.parametrize("mode", CODEC2_MODES)
def test_codec_2_is_in_time(clip, mode):
    coded = Codec2(mode).code(clip)
    assert coded.decoded.shape == clip.shape
    score = stoi(clip, coded.decoded, RATE)
    assert score > (0.5 if mode in ("700C", "450") else 0.65)
    # Without the correction of its delay it would be less.
    shifted = 320
    assert score > stoi(clip[shifted:], coded.decoded[:-shifted], RATE) + 0.05
    assert score > stoi(clip[:-shifted], coded.decoded[shifted:], RATE) + 0.05


@needs_codec2
def test_codec_2_takes_its_rate(clip):
    codec = Codec2("3200")
    assert codec.info.bitrate == 3200
    assert codec.code(clip).bits == pytest.approx(3200 * len(clip) / RATE, rel=0.02)


@needs_opus
def test_opus_takes_about_the_rate_that_is_asked_for(clip):
    coded = Opus(12000).code(clip)
    assert coded.decoded.shape == clip.shape
    assert stoi(clip, coded.decoded, RATE) > 0.9
    assert coded.bits == pytest.approx(12000 * len(clip) / RATE, rel=0.3)  # variable rate


@needs_opus
def test_payload_is_what_opusinfo_counts(clip, tmp_path):
    from l3ac_jax.audio.writing import write_audio

    write_audio(tmp_path / "clip.wav", clip[None], RATE, "PCM_16")
    subprocess.run(["opusenc", "--quiet", tmp_path / "clip.wav", tmp_path / "c.opus"], check=True)
    info = subprocess.run(["opusinfo", tmp_path / "c.opus"], capture_output=True, text=True)
    line = next(line for line in info.stdout.splitlines() if "Total data length" in line)
    total = int(line.split(":")[1].split()[0])
    average = next(line for line in info.stdout.splitlines() if "Average bitrate" in line)
    without = float(average.split("w/o overhead:")[1].split()[0]) if "w/o" in average else None
    payload = payload_bytes((tmp_path / "c.opus").read_bytes())
    assert payload < total
    if without is not None:
        assert 8 * payload / (len(clip) / RATE) / 1000 == pytest.approx(without, rel=0.02)


def test_what_is_no_ogg_file_is_refused():
    with pytest.raises(ValueError, match="no Ogg page at byte 0"):
        payload_bytes(b"RIFF" + bytes(40))


@needs_opus
@pytest.mark.parametrize(("rate", "taken"), [(16000, 16000), (24000, 24000), (44100, 48000)])
def test_opus_takes_the_rate_of_the_models(rate, taken, clip):
    opus = Opus(24000, rate)
    assert opus.info.sample_rate == taken
    seconds = np.arange(taken) / taken
    tone = np.float32(0.3 * np.sin(2 * np.pi * 0.4 * taken * seconds) * np.hanning(taken))
    if taken <= 24000:  # Opus itself ends at 20 kHz, or below at few bits
        decoded = opus.code(tone).decoded
        assert decoded.shape == tone.shape
        assert decoded.std() == pytest.approx(tone.std(), rel=0.2)


def test_programs_that_are_missing_are_named(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ReferenceCodecError, match=r"c2enc and c2dec: not installed \(Debian"):
        Codec2("3200")


def test_the_identity_of_a_codec_is_its_configuration_and_parameters(model_folder):
    codec = get_model(model_folder)
    same = NeuralCodec("a", codec).identity
    assert NeuralCodec("b", get_model(model_folder)).identity == same
    leaf = jax.tree.leaves(codec.params)[0]
    changed = jax.tree.map(lambda x: np.nextafter(x, 2) if x is leaf else x, codec.params)
    assert NeuralCodec("a", L3AC(codec.config, changed)).identity != same


@pytest.mark.parametrize("decibels", [20, -3.5])
def test_noise_is_so_far_below_the_clip_and_always_the_same(decibels, clip):
    noise = Noise(decibels, 24000)
    first, second = noise.code(clip), noise.code(0.1 * clip)
    added = first.decoded - clip
    assert 10 * np.log10(np.mean(clip**2) / np.mean(added**2)) == pytest.approx(decibels, abs=0.2)
    np.testing.assert_allclose(second.decoded, 0.1 * first.decoded, rtol=1e-5, atol=1e-7)
    assert np.abs(np.corrcoef(clip, added)[0, 1]) < 0.02
    assert first.bits == 16 * len(clip) and first.tokens is None
    assert not noise.code(np.zeros_like(clip)).decoded.any()
