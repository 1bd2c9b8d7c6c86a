"""Mistakes and interruptions: exit code, one line of explanation, and files left as they were."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from l3ac_jax.cli.main import main
from l3ac_jax.config import BUNDLED, PUBLISHED
from l3ac_jax.tokens.bitstream.files import load, save

# Every command here works with the tests' own cache.
pytestmark = pytest.mark.usefixtures("command_cache")


@pytest.fixture
def small_model(run, model_folder) -> Path:
    """The small model, which the commands then need not load."""
    return model_folder


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
        (lambda path: path.touch(), "is an empty file"),
        (lambda path: path.write_text("text " * 1000), "is not an audio file"),
        (lambda path: soundfile.write(path, np.zeros((0, 1)), 16000), "holds no audio"),
        (lambda path: soundfile.write(path, np.full(9, np.nan), 8000, "FLOAT"), "NaN"),
    ],
    ids=["missing", "empty", "text", "no-samples", "nan"],
)
def test_bad_input_is_refused_and_an_existing_output_kept(
    command, make, reason, tmp_path, capsys, small_model
):
    make(tmp_path / "in.wav")
    output = tmp_path / ("out.l3ac" if command == "encode" else "out.wav")
    output.write_bytes(b"precious")
    words = [command, tmp_path / "in.wav", output, "--overwrite", "--model", small_model]
    line = refused(capsys, *words)
    assert reason in line
    assert "in.wav" in line
    assert output.read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("command", "output", "reason"),
    [
        ("reconstruct", "existing.wav", "already exists (--overwrite replaces it)"),
        ("encode", "existing.l3ac", "already exists (--overwrite replaces it)"),
        ("reconstruct", "out.txt", "no known audio format"),
        ("reconstruct", "out", "no known audio format"),
        ("encode", "out.wav", "must end so"),
        ("reconstruct", "nowhere/out.wav", "nowhere does not exist"),
        ("encode", "nowhere/out.l3ac", "nowhere does not exist"),
        ("reconstruct", "folder.wav", "is a folder"),
    ],
)
def test_bad_outputs_are_refused_before_the_work(command, output, reason, speech, tmp_path, capsys):
    for name in ("existing.wav", "existing.l3ac"):
        (tmp_path / name).write_bytes(b"precious")
    (tmp_path / "folder.wav").mkdir()
    # No such model either: that is found out later.
    line = refused(capsys, command, speech, tmp_path / output, "--model", "nowhere")
    assert reason in line


def test_unknown_models_are_named(speech, tmp_path, capsys):
    for model in ("2kbps", tmp_path / "nowhere"):
        line = refused(capsys, "reconstruct", speech, tmp_path / "out.wav", "--model", model)
        assert f"{model}: is neither a model ({', '.join(BUNDLED + PUBLISHED)})" in line


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
    ("changes", "form", "reason"),
    [
        ({}, {"config": "0" * 16}, "whose configuration (fingerprint 0000000000000000) differs"),
        ({}, {"weights": "0" * 16}, "whose weights (fingerprint 0000000000000000) differ"),
        ({"model": "elsewhere/model"}, {}, "made with elsewhere/model, which is not here"),
    ],
)
def test_tokens_that_do_not_fit_the_model_are_refused(
    run, speech, tmp_path, capsys, changes, form, reason
):
    run("encode", speech, tmp_path / "tokens.l3ac")
    encoded = load(tmp_path / "tokens.l3ac")
    bad = replace(encoded, **changes, format=replace(encoded.format, **form))
    save(tmp_path / "bad.l3ac", bad)
    capsys.readouterr()
    line = refused(capsys, "decode", tmp_path / "bad.l3ac", tmp_path / "out.wav")
    assert f"{tmp_path / 'bad.l3ac'}: " in line
    assert reason in line


def test_decode_refuses_what_holds_no_tokens(speech, tmp_path, capsys):
    assert str(speech) in refused(capsys, "decode", speech, tmp_path / "out.wav")


def test_a_format_that_is_not_that_of_the_name_is_refused(speech, tmp_path, capsys):
    line = refused(capsys, "reconstruct", speech, tmp_path / "out.wav", "--format", "flac")
    assert "--format flac" in line


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
