"""Audio files: what is read, what is refused, what is written, and conversion between rates."""

import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from l3ac_jax.audio.formats import choose_subtype
from l3ac_jax.audio.reading import read_audio
from l3ac_jax.audio.resampling import resample
from l3ac_jax.audio.writing import check_audio_output, write_audio
from l3ac_jax.errors import AudioError, OutputError
from l3ac_jax.system.files import complete_file
from tests.audio.files import mp3_in_wav, variable_mp3, without_xing

FIXTURES = Path(__file__).parents[1] / "fixtures"

SOURCES = {
    "wav": ("WAV", "PCM_16"),
    "float.wav": ("WAV", "FLOAT"),
    "24.flac": ("FLAC", "PCM_24"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}


OTHER_SOURCES = {
    "ulaw.wav": ("WAV", "ULAW"),
    "ima.wav": ("WAV", "IMA_ADPCM"),
    "ms.wav": ("WAV", "MS_ADPCM"),
    "gsm.wav": ("WAV", "GSM610"),
    "ima.w64": ("W64", "IMA_ADPCM"),
}


def tone(length: int, rate: int, frequency: float = 440.0, channels: int = 1) -> np.ndarray:
    """Sines, (channels, length); the second channel is an octave up, and so on."""
    time = np.arange(length) / rate
    octaves = frequency * 2.0 ** np.arange(channels)[:, None]
    return (0.5 * np.sin(2 * np.pi * octaves * time[None, :])).astype(np.float32)


@pytest.mark.parametrize("name", SOURCES)
def test_every_format_comes_back_with_its_length_rate_and_channels(name, tmp_path):
    container, subtype = SOURCES[name]
    path, samples = tmp_path / f"audio.{name}", tone(4801, 24000, channels=2)
    write_audio(path, samples, 24000, subtype)
    audio = read_audio(path)
    assert (audio.format, audio.subtype) == (container, subtype)
    assert audio.sample_rate == 24000
    assert audio.samples.shape == samples.shape
    assert audio.samples.dtype == np.float32
    # Opus at its default rate is the coarsest of them: this only tells right from wrong channels.
    assert np.sqrt(np.mean((audio.samples - samples) ** 2)) < 0.1


def test_channels_are_rows(tmp_path):
    samples = np.stack([np.full(100, 0.25), np.full(100, -0.5)]).astype(np.float32)
    write_audio(tmp_path / "stereo.wav", samples, 8000)
    np.testing.assert_array_equal(read_audio(tmp_path / "stereo.wav").samples, samples)


def test_real_recordings_are_read():
    speech = read_audio(FIXTURES / "librivox_sense_0870.wav")
    assert speech.samples.shape == (1, 113600)
    assert speech.sample_rate == 16000
    crow = read_audio(FIXTURES / "misc_crow.flac")
    assert crow.samples.shape == (1, 21196)
    assert crow.sample_rate == 44100


def test_content_counts_and_not_the_name(tmp_path):
    write_audio(tmp_path / "audio.flac", tone(100, 8000), 8000)
    for name in ("audio.wav", "audio.raw", "audio"):
        (tmp_path / name).write_bytes((tmp_path / "audio.flac").read_bytes())
        assert read_audio(tmp_path / name).format == "FLAC"


def _text(path: Path) -> None:
    path.write_text("This is not audio.\n" * 100)


def _no_samples(path: Path) -> None:
    soundfile.write(path, np.zeros((0, 1), np.float32), 16000)


def _with_value(value: float):
    def write(path: Path) -> None:
        samples = np.zeros(100, np.float32)
        samples[50] = value
        soundfile.write(path, samples, 16000, subtype="FLOAT")

    return write


def _text_in_riff(path: Path) -> None:
    path.write_bytes(b"RIFF\x40\x00\x00\x00WAVE" + b"This is not audio." * 3)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "does not exist"),
        (Path.mkdir, "is a folder"),
        (Path.touch, "is an empty file"),
        (_text, "is not an audio file that can be read: Format not recognised"),
        (_no_samples, "holds no audio"),
        (_with_value(np.nan), "NaN or infinite"),
        (_with_value(-np.inf), "NaN or infinite"),
        (_text_in_riff, "is not an audio file that can be read"),
    ],
    ids=["missing", "folder", "empty", "text", "no-samples", "nan", "infinite", "text-in-riff"],
)
def test_what_is_not_audio_is_one_clear_error(make, reason, tmp_path):
    path = tmp_path / "input.wav"
    make(path)
    with pytest.raises(AudioError) as error:
        read_audio(path)
    assert str(error.value).startswith(f"{path}: ")
    assert reason in str(error.value)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(("from_rate", "to_rate"), [(44100, 16000), (8000, 16000), (16000, 48000)])
def test_resampling_keeps_a_tone_and_goes_back_to_the_same_length(from_rate, to_rate):
    samples = tone(from_rate + 7, from_rate, channels=2)
    there = resample(samples, from_rate, to_rate)
    assert there.shape == (2, -(-(from_rate + 7) * to_rate // from_rate))
    inner = slice(to_rate // 10, -to_rate // 10)
    expected = tone(there.shape[1], to_rate, channels=2)
    np.testing.assert_allclose(there[:, inner], expected[:, inner], atol=1e-4)
    back = resample(there, to_rate, from_rate, length=samples.shape[1])
    assert back.shape == samples.shape
    inner = slice(from_rate // 10, -from_rate // 10)
    np.testing.assert_allclose(back[:, inner], samples[:, inner], atol=2e-4)


def test_resampling_to_the_same_rate_changes_nothing():
    samples = tone(1000, 16000)
    np.testing.assert_array_equal(resample(samples, 16000, 16000), samples)


def test_a_single_sample_can_be_resampled():
    one = np.ones((1, 1), np.float32)
    assert resample(one, 44100, 16000).shape == (1, 1)
    assert resample(one, 16000, 44100, length=1).shape == (1, 1)


@pytest.mark.parametrize(
    ("source", "target", "subtype"),
    [
        ("float.wav", "out.wav", "FLOAT"),
        ("float.wav", "out.flac", "PCM_16"),
        ("24.flac", "out.wav", "PCM_24"),
        ("24.flac", "out.flac", "PCM_24"),
        ("mp3", "out.wav", "PCM_16"),
        ("mp3", "OUT.MP3", "MPEG_LAYER_III"),
        ("opus", "out.ogg", "OPUS"),
        ("ogg", "out.mp3", "MPEG_LAYER_III"),
        ("wav", "out.ogg", "VORBIS"),
        ("wav", "out.opus", "OPUS"),
        ("ogg", "out.opus", "OPUS"),
        ("ulaw.wav", "out.wav", "ULAW"),
        # What fills blocks would change the number of samples.
        ("ima.wav", "out.wav", "PCM_16"),
        ("ms.wav", "out.wav", "PCM_16"),
        ("gsm.wav", "out.wav", "PCM_16"),
        ("ima.w64", "out.wav", "PCM_16"),
    ],
)
def test_the_sample_format_of_the_input_is_kept_where_possible(source, target, subtype, tmp_path):
    path = tmp_path / f"audio.{source}"
    container, own = SOURCES.get(source) or OTHER_SOURCES[source]
    soundfile.write(path, tone(1000, 24000)[0], 24000, own, format=container)
    assert choose_subtype(target, read_audio(path)) == subtype


def test_mp3_in_wav_becomes_pcm(tmp_path):
    """Which libsndfile reads, and does not write."""
    (tmp_path / "a.wav").write_bytes(mp3_in_wav(without_xing(variable_mp3(1))))
    audio = read_audio(tmp_path / "a.wav")
    assert audio.subtype == "MPEG_LAYER_III"
    assert choose_subtype("out.wav", audio) == "PCM_16"


def test_an_output_with_another_number_of_samples_is_refused(tmp_path):
    with pytest.raises(AudioError, match=r"a\.wav: would hold 1010 samples instead of 1000"):
        write_audio(tmp_path / "a.wav", tone(1000, 8000), 8000, "IMA_ADPCM")
    assert list(tmp_path.iterdir()) == []


def test_values_beyond_one_are_clipped_in_integers_and_kept_in_floats(tmp_path):
    samples = np.array([[1.5, -1.5, 0.5]], np.float32)
    write_audio(tmp_path / "integers.wav", samples, 16000)
    np.testing.assert_allclose(
        read_audio(tmp_path / "integers.wav").samples, [[1, -1, 0.5]], atol=1 / 32767
    )
    write_audio(tmp_path / "floats.wav", samples, 16000, "FLOAT")
    np.testing.assert_array_equal(read_audio(tmp_path / "floats.wav").samples, samples)


def test_long_vorbis_files_are_written(tmp_path):
    write_audio(tmp_path / "long.ogg", np.zeros((1, 16000 * 120), np.float32), 16000)
    assert read_audio(tmp_path / "long.ogg").samples.shape == (1, 16000 * 120)


def test_many_channels_are_written_to_vorbis(tmp_path):
    """A write of libsndfile's encoder lies on the stack, however many channels it has."""
    write_audio(tmp_path / "a.ogg", np.zeros((255, 70000), np.float32), 200_000)
    assert read_audio(tmp_path / "a.ogg").samples.shape == (255, 70000)


@pytest.mark.parametrize(
    ("name", "channels", "rate"),
    [
        ("out.mp3", 3, 16000),
        ("out.mp3", 1, 96000),
        ("out.flac", 9, 16000),
        ("out.flac", 1, 700_000),
        ("out.flac", 1, 200_001),
        ("out.wav", 1025, 16000),
        ("out.opus", 1, 44100),
        # Of these Vorbis' encoder ends the process.
        ("out.ogg", 1, 200_001),
        ("out.ogg", 1, 250_000),
        ("out.ogg", 256, 16000),
    ],
)
def test_what_a_container_cannot_hold_is_refused_before_and_while_writing(
    name, channels, rate, tmp_path
):
    path = tmp_path / name
    with pytest.raises(AudioError, match=f"cannot hold {channels} channels at {rate} Hz"):
        check_audio_output(path, channels, rate, choose_subtype(path), overwrite=False)
    with pytest.raises(AudioError, match=f"cannot hold {channels} channels at {rate} Hz"):
        write_audio(path, np.zeros((channels, 100), np.float32), rate)
    assert list(tmp_path.iterdir()) == []


def test_checking_an_output_leaves_nothing_behind(tmp_path):
    check_audio_output(tmp_path / "out.wav", 2, 16000, "PCM_16", overwrite=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_the_same_audio_makes_the_same_wav_at_another_time(subtype, tmp_path):
    samples = np.linspace(-1, 1, 100, dtype=np.float32)[None]
    write_audio(tmp_path / "first.wav", samples, 16000, subtype)
    time.sleep(1.1)  # the time in a file counts seconds
    write_audio(tmp_path / "second.wav", samples, 16000, subtype)
    assert (tmp_path / "first.wav").read_bytes() == (tmp_path / "second.wav").read_bytes()
    assert soundfile.info(tmp_path / "first.wav").subtype == subtype


def test_an_unknown_ending_is_refused():
    with pytest.raises(AudioError, match=r"out\.txt: the ending '\.txt' is no known audio format"):
        choose_subtype("out.txt")


def test_an_existing_file_is_replaced_only_when_asked(tmp_path):
    path = tmp_path / "out.wav"
    path.write_bytes(b"precious")
    with pytest.raises(OutputError, match="already exists"):
        write_audio(path, tone(100, 16000), 16000)
    assert path.read_bytes() == b"precious"
    write_audio(path, tone(100, 16000), 16000, overwrite=True)
    assert read_audio(path).samples.shape == (1, 100)


@pytest.mark.parametrize("end", [KeyboardInterrupt, ValueError, OSError])
def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(end, tmp_path):
    path = tmp_path / "out.wav"
    path.write_bytes(b"precious")

    def interrupted() -> None:
        with complete_file(path, overwrite=True) as temporary:
            temporary.write_bytes(b"half of it")
            raise end

    with pytest.raises((end, OutputError)):
        interrupted()
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"precious"


def test_a_written_file_has_ordinary_permissions(tmp_path):
    (tmp_path / "ordinary").touch()
    write_audio(tmp_path / "out.wav", tone(100, 16000), 16000)
    assert (tmp_path / "out.wav").stat().st_mode == (tmp_path / "ordinary").stat().st_mode


def test_links_are_followed_and_devices_and_folders_left_alone(tmp_path):
    (tmp_path / "link.wav").symlink_to(tmp_path / "target.wav")
    write_audio(tmp_path / "link.wav", tone(100, 16000), 16000)
    assert (tmp_path / "link.wav").is_symlink()
    assert read_audio(tmp_path / "target.wav").samples.shape == (1, 100)
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "device.wav").symlink_to("/dev/null")
    for name, reason in (("folder.wav", "is a folder"), ("device.wav", "not a regular file")):
        with pytest.raises(OutputError, match=reason):
            write_audio(tmp_path / name, tone(100, 16000), 16000, overwrite=True)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(OutputError, match=r"the folder .*nowhere does not exist"):
        write_audio(tmp_path / "nowhere" / "out.wav", tone(100, 16000), 16000)
