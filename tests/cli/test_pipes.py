"""Standard input and output: audio and tokens go through, messages do not get between."""

import io
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import soundfile

from l3ac_jax.audio.reading import read_audio
from l3ac_jax.cli.main import main

pytestmark = pytest.mark.usefixtures("command_cache")


@pytest.fixture
def pipe(run, monkeypatch):
    """Run a command with bytes on standard input, and give those on standard output."""

    def run_piped(data: bytes, *words: object) -> bytes:
        output = io.BytesIO()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))
            patch.setattr(sys, "stdout", SimpleNamespace(buffer=output, flush=lambda: None))
            run(*words)
        return output.getvalue()

    return run_piped


@pytest.mark.parametrize("name", ["speech", "stereo"])
def test_what_goes_through_pipes_is_what_is_in_files(pipe, run, request, name, tmp_path):
    source = request.getfixturevalue(name)
    run("encode", source, tmp_path / "tokens.l3ac")
    run("decode", tmp_path / "tokens.l3ac", tmp_path / "decoded.wav")
    run("reconstruct", source, tmp_path / "out.wav")
    tokens = pipe(source.read_bytes(), "encode", "-", "-")
    assert tokens == (tmp_path / "tokens.l3ac").read_bytes()
    assert pipe(tokens, "decode", "-", "-") == (tmp_path / "decoded.wav").read_bytes()
    assert pipe(source.read_bytes(), "reconstruct", "-", "-") == (tmp_path / "out.wav").read_bytes()


def test_the_format_of_standard_output_can_be_chosen(pipe, stereo):
    for format in ("wav", "flac", "mp3"):
        data = pipe(stereo.read_bytes(), "reconstruct", "-", "-", "--format", format)
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            assert (file.format, file.channels, file.frames) == (format.upper(), 2, 4411)


def test_only_one_end_can_be_a_pipe(pipe, speech, tmp_path):
    pipe(speech.read_bytes(), "encode", "-", tmp_path / "tokens.l3ac")
    data = pipe(b"", "decode", tmp_path / "tokens.l3ac", "-", "--format", "flac")
    assert len(soundfile.read(io.BytesIO(data))[0]) == 3843
    assert not list(tmp_path.glob("-"))


@pytest.mark.parametrize(
    ("command", "data", "reason"),
    [
        ("encode", b"", "standard input: is empty"),
        ("encode", b"text " * 99, "standard input: is not an audio file"),
        ("reconstruct", b"text " * 99, "standard input: is not an audio file"),
        ("decode", b"text " * 99, "standard input: "),
        ("decode", b"", "standard input: "),
    ],
)
def test_bad_standard_input_is_one_line(command, data, reason, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))
    assert main([command, "-", "-"]) == 2
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert line.startswith(f"l3ac-jax: error: {reason}")
    assert said.out == ""


def test_a_shell_pipe_carries_audio_only(run, model_folder, compiled, speech, tmp_path):
    run("reconstruct", speech, tmp_path / "file.wav")
    command = [sys.executable, "-m", "l3ac_jax.cli", "reconstruct", "-", "-", "--model"]
    process = subprocess.Popen(
        [*command, str(model_folder)],
        env={**os.environ, "L3AC_JAX_CACHE": str(compiled)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    output, messages = process.communicate(speech.read_bytes())
    assert process.returncode == 0
    assert output == (tmp_path / "file.wav").read_bytes()
    *_, last = messages.decode().splitlines()  # after what is said if compiling takes a while
    assert last.startswith("standard output: 0.24 s, 1 channel at 16000 Hz")
    assert read_audio(tmp_path / "file.wav").samples.shape == (1, 3843)
