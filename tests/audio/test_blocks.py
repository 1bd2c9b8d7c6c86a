"""Audio in blocks: what reading, converting and writing at once give, in memory that is bounded."""

import tracemalloc

import numpy as np
import pytest
import soundfile

from l3ac_jax.audio import writing as audio_module
from l3ac_jax.audio.decoding import BLOCK
from l3ac_jax.audio.reading import joined, open_reader, read_audio
from l3ac_jax.audio.resampling import Resampler, resample
from l3ac_jax.audio.writing import open_writer, write_audio
from l3ac_jax.errors import AudioError

ROUNDING = 2.0**-23  # of a float32 between 0.5 and 1


def noise(channels: int, samples: int) -> np.ndarray:
    random = np.random.default_rng(channels * samples)
    return random.uniform(-0.7, 0.7, (channels, samples)).astype(np.float32)


@pytest.mark.parametrize("rates", [(44100, 16000), (8000, 16000), (16000, 16000), (96000, 16000)])
@pytest.mark.parametrize(
    ("channels", "samples"), [(1, 1), (2, 700), (3, BLOCK), (2, 2 * BLOCK + 9)]
)
def test_all_blocks_are_the_whole_file(tmp_path, rates, channels, samples):
    write_audio(tmp_path / "a.wav", noise(channels, samples), rates[0], "FLOAT")
    with open_reader(tmp_path / "a.wav") as reader:
        assert reader.expected_samples == samples
        blocks = joined(reader.blocks(rates[1]))
    assert reader.samples == samples
    whole = resample(read_audio(tmp_path / "a.wav").samples, *rates)
    assert blocks.shape == whole.shape == (channels, -(-samples * rates[1] // rates[0]))
    np.testing.assert_allclose(blocks, whole, rtol=0, atol=0 if len(set(rates)) == 1 else ROUNDING)


@pytest.mark.parametrize("size", [1, 100, 4096])
@pytest.mark.parametrize("rates", [(16000, 44100), (16000, 8000), (16000, 16000)])
def test_converted_blocks_have_the_length_that_is_asked_for(size, rates):
    samples = noise(2, 1003)
    for length in (1, 900, 4000):
        resampler = Resampler(2, *rates, length)
        pieces = [resampler.push(samples[:, i : i + size]) for i in range(0, 1003, size)]
        whole = resample(samples, *rates, length)
        np.testing.assert_allclose(joined([*pieces, resampler.finish()]), whole, atol=ROUNDING)


@pytest.mark.parametrize(
    ("samples", "reason"),
    [(np.zeros(0), "holds no audio"), (np.r_[np.zeros(BLOCK + 5), np.inf], "NaN or infinite")],
)
def test_what_is_no_audio_is_refused(tmp_path, samples, reason):
    soundfile.write(tmp_path / "a.wav", samples, 16000, "FLOAT")
    with pytest.raises(AudioError, match=rf"a\.wav: .*{reason}"):  # noqa: SIM117
        with open_reader(tmp_path / "a.wav") as reader:
            joined(reader.blocks(8000))


def test_a_stream_is_read_from_its_start_each_time(tmp_path):
    write_audio(tmp_path / "a.flac", noise(1, 500), 16000)
    with (tmp_path / "a.flac").open("rb") as stream:
        for _ in range(2):
            with open_reader("standard input", stream) as reader:
                assert joined(reader.blocks()).shape == (1, 500)


def test_reading_converting_and_writing_take_no_memory_for_the_length(tmp_path):
    seconds = 60
    write_audio(tmp_path / "in.wav", noise(2, 44100 * seconds), 44100)
    tracemalloc.start()
    with open_reader(tmp_path / "in.wav") as reader:
        length = 22050 * seconds
        resampler = Resampler(2, 16000, 22050, length)
        with open_writer(tmp_path / "out.wav", 2, 22050, length) as writer:
            for block in reader.blocks(16000):
                writer.write(resampler.push(block))
            writer.write(resampler.finish())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert soundfile.info(tmp_path / "out.wav").frames == length
    # The audio as float32 is 21 MB; a few blocks of 0.5 MB are held.
    assert peak < 5e6


def test_a_file_that_is_not_finished_is_not_there(tmp_path):
    with pytest.raises(RuntimeError), open_writer(tmp_path / "out.wav", 1, 16000, 99) as writer:  # noqa: PT012
        writer.write(noise(1, 50))
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_what_riff_cannot_count_is_written_as_rf64(tmp_path, monkeypatch):
    monkeypatch.setattr(audio_module, "RIFF_BYTES", 1000)
    samples = noise(2, 251)
    for count, form in ((250, "WAV"), (251, "RF64")):
        write_audio(tmp_path / f"{count}.wav", samples[:, :count], 16000)
        audio = read_audio(tmp_path / f"{count}.wav")
        assert audio.format == form
        np.testing.assert_allclose(audio.samples, samples[:, :count], atol=1 / 32768)
