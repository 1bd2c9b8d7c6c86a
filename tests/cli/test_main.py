"""The commands on real files: what they write."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import soundfile

import l3ac_jax
from l3ac_jax.audio.reading import read_audio
from l3ac_jax.audio.resampling import resample
from l3ac_jax.audio.writing import write_audio
from l3ac_jax.cli.main import main
from l3ac_jax.config import BUNDLED, PUBLISHED
from l3ac_jax.tokens.bitstream.files import load, save

# Every command here works with the tests' own cache.
pytestmark = pytest.mark.usefixtures("command_cache")


def test_models_lists_what_is_here_and_what_is_to_be_downloaded(capsys):
    assert main(["models"]) == 0
    listed = capsys.readouterr().out
    for name in BUNDLED:
        assert "bundled" in next(line for line in listed.splitlines() if name in line)
    for name in PUBLISHED:
        assert "to be downloaded" in next(line for line in listed.splitlines() if name in line)


def test_the_version_is_that_of_the_package(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"l3ac-jax {l3ac_jax.__version__}\n"


def test_help_exits_with_0_and_a_wrong_command_with_2(capsys):
    assert main(["--help"]) == 0
    assert "reconstruct" in capsys.readouterr().out
    for words in ([], ["rekonstruct"], ["reconstruct"], ["reconstruct", "in.wav"]):
        assert main(words) == 2


def test_reconstruct_is_what_the_codec_does(run, speech, small_codec, tmp_path):
    write_audio(tmp_path / "float.wav", read_audio(speech).samples, 16000, "FLOAT")
    run("reconstruct", tmp_path / "float.wav", tmp_path / "out.wav")
    written = read_audio(tmp_path / "out.wav")
    expected = small_codec.reconstruct(read_audio(speech).samples)
    np.testing.assert_array_equal(written.samples, expected)
    assert written.subtype == "FLOAT"


def test_channels_are_coded_one_by_one(run, stereo, tmp_path):
    audio = read_audio(stereo)
    run("reconstruct", stereo, tmp_path / "both.wav")
    for index, channel in enumerate(audio.samples):
        write_audio(tmp_path / f"{index}.wav", channel[None], 44100, "FLOAT")
        run("reconstruct", tmp_path / f"{index}.wav", tmp_path / f"out{index}.wav")
        np.testing.assert_array_equal(
            read_audio(tmp_path / f"out{index}.wav").samples[0],
            read_audio(tmp_path / "both.wav").samples[index],
        )


@pytest.mark.parametrize(
    ("source", "target", "rate", "channels", "subtype"),
    [
        ("in.flac", "out.flac", 44100, 2, "PCM_16"),
        ("in.ogg", "out.ogg", 22050, 1, "VORBIS"),
        ("in.mp3", "out.mp3", 48000, 2, "MPEG_LAYER_III"),
        ("in.mp3", "out.wav", 8000, 1, "PCM_16"),
        ("in.wav", "out.mp3", 16000, 3 - 1, "MPEG_LAYER_III"),
    ],
)
def test_rate_length_and_channels_come_back(
    run, stereo, tmp_path, source, target, rate, channels, subtype
):
    samples = resample(read_audio(stereo).samples, 44100, rate)[:channels]
    write_audio(tmp_path / source, samples, rate)
    run("reconstruct", tmp_path / source, tmp_path / target)
    result = read_audio(tmp_path / target)
    assert result.samples.shape == read_audio(tmp_path / source).samples.shape
    assert (result.sample_rate, result.subtype) == (rate, subtype)


@pytest.mark.parametrize("name", ["speech", "stereo"])
@pytest.mark.parametrize("entropy", ["plain", "adaptive"])
def test_encode_and_decode_make_what_reconstruct_makes(
    run, request, name, entropy, tmp_path, model_folder, capsys
):
    source = request.getfixturevalue(name)
    run("reconstruct", source, tmp_path / "at_once.wav")
    capsys.readouterr()
    run("encode", source, tmp_path / "tokens.l3ac", "--entropy", entropy)
    said = capsys.readouterr()
    assert said.out == ""
    assert "bit/s" in said.err
    encoded = load(tmp_path / "tokens.l3ac")
    audio = read_audio(source)
    channels, samples = audio.samples.shape
    assert (encoded.samples, encoded.sample_rate) == (samples, audio.sample_rate)
    assert encoded.tokens.shape == (channels, -(-encoded.codec_samples // 6))
    assert encoded.model == str(model_folder)
    # Without --model, the model that the tokens name is used.
    assert main(["decode", str(tmp_path / "tokens.l3ac"), str(tmp_path / "decoded.wav")]) == 0
    decoded, at_once = (read_audio(tmp_path / f"{n}.wav") for n in ("decoded", "at_once"))
    assert decoded.samples.shape == at_once.samples.shape
    assert decoded.sample_rate == at_once.sample_rate
    # .l3ac files do not keep the sample format: decoded audio is written in 16 bits.
    np.testing.assert_allclose(decoded.samples, at_once.samples, atol=1 / 32768)


def test_a_file_that_is_cut_off_is_decoded_as_far_as_it_goes(
    run, speech, tmp_path, capsys, model_folder
):
    run("encode", speech, tmp_path / "short.l3ac")
    encoded = load(tmp_path / "short.l3ac")
    # three blocks of 512 tokens
    longer = replace(encoded, tokens=np.resize(encoded.tokens, (1, 1536)), samples=1536 * 6)
    save(tmp_path / "long.l3ac", longer)
    data = (tmp_path / "long.l3ac").read_bytes()
    (tmp_path / "cut.l3ac").write_bytes(data[: len(data) // 2])
    capsys.readouterr()
    words = ["decode", tmp_path / "cut.l3ac", tmp_path / "cut.wav", "--model", model_folder]
    assert main([str(word) for word in words]) == 1
    lines = capsys.readouterr().err.splitlines()
    warning, done = [line for line in lines if not line.startswith("compiling")]
    assert warning.startswith(f"l3ac-jax: warning: {tmp_path / 'cut.l3ac'}: ")
    assert done.startswith(f"{tmp_path / 'cut.wav'}: ")
    assert read_audio(tmp_path / "cut.wav").samples.shape == (1, 512 * 6)


@pytest.mark.parametrize("command", ["encode", "reconstruct"])
def test_of_audio_that_is_cut_off_there_is_what_can_be_decoded(
    command, speech, tmp_path, capsys, model_folder, small_codec, monkeypatch
):
    from l3ac_jax.codec import pretrained

    monkeypatch.setattr(pretrained, "get_model", lambda *_: small_codec)
    data = speech.read_bytes()
    (tmp_path / "cut.wav").write_bytes(data[: 44 + 2000])
    output = tmp_path / f"out.{'l3ac' if command == 'encode' else 'wav'}"
    words = [command, tmp_path / "cut.wav", output, "--model", model_folder]
    assert main([str(word) for word in words]) == 1
    warning, done = capsys.readouterr().err.splitlines()
    assert warning == (
        f"l3ac-jax: warning: {tmp_path / 'cut.wav'}: is not whole: 0.18 s of 0.24 s are missing "
        "(0.18 s at 0.06 s: is cut off, or its header is wrong)"
    )
    assert done.startswith(f"{output}: 0.06 s")
    samples = load(output).samples if command == "encode" else read_audio(output).samples.size
    assert samples == 1000


def test_a_sample_format_in_blocks_becomes_pcm_of_the_same_length(run, stereo, tmp_path):
    samples = read_audio(stereo).samples[0]
    soundfile.write(tmp_path / "in.wav", samples, 44100, "IMA_ADPCM")
    run("reconstruct", tmp_path / "in.wav", tmp_path / "out.wav")
    source, result = read_audio(tmp_path / "in.wav"), read_audio(tmp_path / "out.wav")
    assert result.samples.shape == source.samples.shape
    assert result.subtype == "PCM_16"


def test_a_clip_of_one_sample_can_be_coded(run, tmp_path):
    soundfile.write(tmp_path / "one.wav", np.array([0.5]), 44100)
    run("reconstruct", tmp_path / "one.wav", tmp_path / "out.wav")
    assert read_audio(tmp_path / "out.wav").samples.shape == (1, 1)


def test_overwrite_replaces(run, speech, tmp_path):
    (tmp_path / "out.wav").write_bytes(b"old")
    run("reconstruct", speech, tmp_path / "out.wav", "--overwrite")
    assert read_audio(tmp_path / "out.wav").samples.shape == (1, 3843)


def test_a_file_can_replace_itself(run, speech):
    before = read_audio(speech).samples
    run("reconstruct", speech, speech, "--overwrite")
    after = read_audio(speech).samples
    assert after.shape == before.shape
    assert not np.array_equal(after, before)


def test_another_process_finds_what_was_compiled_and_needs_no_torch(
    as_for_a_user, compiled, model_folder, speech, tmp_path
):
    words = ["reconstruct", speech, tmp_path / "out.wav", "--model", model_folder]
    assert main([str(word) for word in words]) == 0
    script = """
import json, sys
import jax
from l3ac_jax.cli.main import main
from l3ac_jax.system.compilation import COMPILED, FOUND, REQUESTED
events = []
jax.monitoring.register_event_listener(lambda event, **_: events.append(event))
jax.monitoring.register_event_duration_secs_listener(lambda event, *_, **__: events.append(event))
code = main(sys.argv[1:])
counts = {name: events.count(event) for name, event in
          [("compiled", COMPILED), ("found", FOUND), ("requested", REQUESTED)]}
print(json.dumps({"code": code, "torch": "torch" in sys.modules, **counts}))
"""
    words[2] = tmp_path / "again.wav"
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, words)],
        env={**os.environ, "L3AC_JAX_CACHE": str(compiled)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"{tmp_path / 'again.wav'}: 0.24 s, 1 channel at 16000 Hz" in done.stderr
    result = json.loads(done.stdout)
    assert result["code"] == 0
    assert not result["torch"]
    assert result["found"] >= 2  # encoder and decoder
    assert result["requested"] >= result["found"]
    np.testing.assert_array_equal(
        read_audio(tmp_path / "again.wav").samples, read_audio(tmp_path / "out.wav").samples
    )


def test_help_is_quick_because_it_imports_no_jax():
    script = (
        "import sys; from l3ac_jax.cli.main import main\n"
        "main(['--help']); print('jax' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "False"
