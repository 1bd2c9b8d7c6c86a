"""The commands on real files: what they write, and that mistakes leave everything as it was."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
import soundfile
from jax.experimental.compilation_cache.compilation_cache import reset_cache

from l3ac_jax import pretrained
from l3ac_jax.audio import read_audio, resample, write_audio
from l3ac_jax.cli import main
from l3ac_jax.codec import L3AC
from l3ac_jax.config import PUBLISHED
from l3ac_jax.token_file import read_tokens, write_tokens

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture(scope="session")
def compiled(tmp_path_factory) -> Path:
    """One cache for all tests: each shape is compiled once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def codec(model_folder) -> L3AC:
    """The small model, which the commands then need not load, trace and compile each time."""
    return pretrained.get_model(model_folder)


@pytest.fixture(autouse=True)
def cache(compiled, monkeypatch):
    """The commands' cache and settings, and this process's own again afterwards."""
    monkeypatch.setenv("L3AC_JAX_CACHE", str(compiled))
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    reset_cache()


@pytest.fixture
def speech(tmp_path) -> Path:
    """0.24 s of real speech, mono, 16 kHz, 16 bits."""
    samples = read_audio(FIXTURES / "librivox_sense_0870.wav").samples[:, 16000:19843]
    write_audio(tmp_path / "speech.wav", samples, 16000)
    return tmp_path / "speech.wav"


@pytest.fixture
def stereo(tmp_path) -> Path:
    """0.1 s in two channels at 44.1 kHz, floats."""
    crow = read_audio(FIXTURES / "misc_crow.flac").samples[0]
    samples = np.stack([crow[4000:8411], crow[8000:12411]])
    write_audio(tmp_path / "stereo.wav", samples, 44100, "FLOAT")
    return tmp_path / "stereo.wav"


@pytest.fixture
def run(model_folder, codec, monkeypatch):
    """Run a command with the small model, and insist that it succeeds."""
    models = {str(model_folder): codec}
    monkeypatch.setattr(pretrained, "get_model", models.__getitem__)

    def run_command(*words: object) -> None:
        assert main([*map(str, words), "--model", str(model_folder)]) == 0

    return run_command


def test_models_lists_the_published_ones(capsys):
    assert main(["models"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in PUBLISHED)


def test_help_exits_with_0_and_a_wrong_command_with_2(capsys):
    assert main(["--help"]) == 0
    assert "reconstruct" in capsys.readouterr().out
    for words in ([], ["rekonstruct"], ["reconstruct"], ["reconstruct", "in.wav"]):
        assert main(words) == 2


def test_reconstruct_is_what_the_codec_does(run, speech, codec, tmp_path):
    write_audio(tmp_path / "float.wav", read_audio(speech).samples, 16000, "FLOAT")
    run("reconstruct", tmp_path / "float.wav", tmp_path / "out.wav")
    written = read_audio(tmp_path / "out.wav")
    expected = codec.reconstruct(read_audio(speech).samples)
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
def test_encode_and_decode_make_what_reconstruct_makes(run, request, name, tmp_path, model_folder):
    source = request.getfixturevalue(name)
    run("reconstruct", source, tmp_path / "at_once.wav")
    run("encode", source, tmp_path / "tokens.npz")
    content = read_tokens(tmp_path / "tokens.npz")
    audio = read_audio(source)
    channels, samples = audio.samples.shape
    assert (content.samples, content.sample_rate) == (samples, audio.sample_rate)
    assert content.tokens.shape == (channels, -(-content.codec_samples // 6))
    assert content.model == str(model_folder)
    # Without --model, the model that the tokens name is used.
    assert main(["decode", str(tmp_path / "tokens.npz"), str(tmp_path / "decoded.wav")]) == 0
    decoded, at_once = (read_audio(tmp_path / f"{n}.wav") for n in ("decoded", "at_once"))
    assert decoded.samples.shape == at_once.samples.shape
    assert decoded.sample_rate == at_once.sample_rate
    # The token file does not keep the sample format: decoded audio is written in 16 bits.
    np.testing.assert_allclose(decoded.samples, at_once.samples, atol=1 / 32768)


def test_a_clip_of_one_sample_can_be_coded(run, tmp_path):
    soundfile.write(tmp_path / "one.wav", np.array([0.5]), 44100)
    run("reconstruct", tmp_path / "one.wav", tmp_path / "out.wav")
    assert read_audio(tmp_path / "out.wav").samples.shape == (1, 1)


def refused(capsys, *words: object) -> str:
    """Run a command that must fail with exit code 2, and give its one line of explanation."""
    before = {path: path.stat() for path in Path(str(words[2])).parent.rglob("*")}
    assert main([str(word) for word in words]) == 2
    after = {path: path.stat() for path in Path(str(words[2])).parent.rglob("*")}
    assert {p: s.st_mtime_ns for p, s in before.items()} == {
        p: s.st_mtime_ns for p, s in after.items()
    }
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("l3ac-jax: error: ")
    return lines[0]


@pytest.mark.parametrize("command", ["reconstruct", "encode"])
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: path.touch(), "is an empty file"),
        (lambda path: path.write_text("text " * 1000), "is not an audio file"),
        (lambda path: soundfile.write(path, np.zeros((0, 1)), 16000), "holds no audio"),
        (lambda path: soundfile.write(path, np.full(9, np.nan), 8000, "FLOAT"), "NaN"),
    ],
    ids=["missing", "folder", "empty", "text", "no-samples", "nan"],
)
def test_bad_input_is_refused_and_an_existing_output_kept(command, make, reason, tmp_path, capsys):
    make(tmp_path / "in.wav")
    output = tmp_path / ("out.npz" if command == "encode" else "out.wav")
    output.write_bytes(b"precious")
    line = refused(capsys, command, tmp_path / "in.wav", output, "--overwrite")
    assert reason in line
    assert "in.wav" in line
    assert output.read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("command", "output", "reason"),
    [
        ("reconstruct", "existing.wav", "already exists (--overwrite replaces it)"),
        ("encode", "existing.npz", "already exists (--overwrite replaces it)"),
        ("reconstruct", "out.txt", "no known audio format"),
        ("reconstruct", "out", "no known audio format"),
        ("encode", "out.wav", "must end so"),
        ("reconstruct", "nowhere/out.wav", "nowhere does not exist"),
        ("encode", "nowhere/out.npz", "nowhere does not exist"),
        ("reconstruct", "folder.wav", "is a folder"),
    ],
)
def test_bad_outputs_are_refused_before_the_work(command, output, reason, speech, tmp_path, capsys):
    for name in ("existing.wav", "existing.npz"):
        (tmp_path / name).write_bytes(b"precious")
    (tmp_path / "folder.wav").mkdir()
    # No such model either: that is found out later.
    line = refused(capsys, command, speech, tmp_path / output, "--model", "nowhere")
    assert reason in line


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


def test_unknown_models_are_named(speech, tmp_path, capsys):
    for model in ("2kbps", tmp_path / "nowhere"):
        line = refused(capsys, "reconstruct", speech, tmp_path / "out.wav", "--model", model)
        assert f"{model}: is neither a published model (0k75bps," in line


def test_missing_weights_without_a_network_are_one_clear_line(
    speech, tmp_path, monkeypatch, capsys
):
    import huggingface_hub.constants as hub_constants

    monkeypatch.setenv("L3AC_JAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", True)
    assert main(["reconstruct", str(speech), str(tmp_path / "out.wav"), "--model", "1kbps"]) == 2
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("downloading the weights of 1kbps into ")
    assert last.startswith("l3ac-jax: error: 1kbps: weights are missing")
    assert str(tmp_path / "cache" / "weights" / "1kbps.v1") in last
    assert not (tmp_path / "out.wav").exists()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"tokens": np.full((1, 641), -1, np.int32)}, "tokens must be 0 to 59"),
        ({"tokens": np.full((1, 641), 60, np.int32)}, "tokens must be 0 to 59, got 60"),
        ({"tokens": np.zeros((1, 640), np.int32)}, "640 tokens do not make 3843 samples"),
        ({"samples": 5000}, "641 tokens do not make 5000 samples at 16000 Hz"),
        ({"sample_rate": 44100}, "do not make 3843 samples at 44100 Hz"),
        ({"fingerprint": "0" * 16}, "whose configuration differs"),
        ({"model": "elsewhere/model"}, "made with elsewhere/model, which is not here"),
    ],
)
def test_tokens_that_do_not_fit_the_model_are_refused(
    run, speech, tmp_path, capsys, changes, reason
):
    run("encode", speech, tmp_path / "tokens.npz")
    content = replace(read_tokens(tmp_path / "tokens.npz"), **changes)
    write_tokens(tmp_path / "bad.npz", content)
    capsys.readouterr()
    line = refused(capsys, "decode", tmp_path / "bad.npz", tmp_path / "out.wav")
    assert f"{tmp_path / 'bad.npz'}: " in line
    assert reason in line


def test_decode_refuses_what_is_no_token_file(speech, tmp_path, capsys):
    line = refused(capsys, "decode", speech, tmp_path / "out.wav")
    assert "is not a token file" in line


def test_a_damaged_model_is_an_error_of_the_user(model_folder, speech, tmp_path, capsys):
    shutil.copytree(model_folder, tmp_path / "model")
    (tmp_path / "model" / "config.toml").write_text("[model]\nfeature_dim = 'wide'\n")
    words = ["reconstruct", speech, tmp_path / "out.wav", "--model", tmp_path / "model"]
    assert main([str(word) for word in words]) == 2
    assert "model.feature_dim" in capsys.readouterr().err
    assert not (tmp_path / "out.wav").exists()


def test_an_interrupt_leaves_nothing(model_folder, speech, tmp_path, monkeypatch, capsys):
    def interrupt(self, samples):
        raise KeyboardInterrupt

    monkeypatch.setattr(soundfile.SoundFile, "write", interrupt)
    words = ["reconstruct", speech, tmp_path / "out.wav", "--model", model_folder]
    assert main([str(word) for word in words]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "l3ac-jax: interrupted, nothing was written"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["speech.wav"]


def test_another_process_finds_what_was_compiled_and_needs_no_torch(
    compiled, model_folder, speech, tmp_path
):
    words = ["reconstruct", speech, tmp_path / "out.wav", "--model", model_folder]
    assert main([str(word) for word in words]) == 0
    script = """
import json, sys
import jax
from l3ac_jax.cli import main
from l3ac_jax.compilation import COMPILED, FOUND, REQUESTED
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
        "import sys; from l3ac_jax.cli import main; main(['--help']); print('jax' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "False"
