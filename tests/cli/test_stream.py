"""Streams through pipes: what comes out, when, and how they end."""

import contextlib
import io
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from l3ac_jax.audio import pcm
from l3ac_jax.audio.pcm import PcmFormat
from l3ac_jax.audio.resampling import resample
from l3ac_jax.cli.main import main
from l3ac_jax.codec import pretrained
from l3ac_jax.config import ExperimentConfig
from l3ac_jax.evaluation.random_params import random_params
from l3ac_jax.tokens.bitstream import raw
from l3ac_jax.weights.folder import save_model
from tests.quick import speech
from tests.small_configs import ABLATED_CONFIGS

pytestmark = pytest.mark.usefixtures("command_cache")

SAMPLES = 1003  # no whole number of hops
F32 = ("--format", "f32le")


@pytest.fixture(scope="session")
def causal_folder(tmp_path_factory):
    """A model folder with a small causal codec, hop length 6, random weights."""
    config = ABLATED_CONFIGS["causal"]
    folder = tmp_path_factory.mktemp("models") / "causal"
    save_model(folder, ExperimentConfig(model=config), random_params(config, 0))
    return folder


@pytest.fixture(scope="session")
def causal_codec(causal_folder):
    return pretrained.get_model(causal_folder)


class Piped(SimpleNamespace):
    """What a command wrote, said and ended with."""

    output: bytes
    said: str
    code: int


class Dripping(io.BytesIO):
    """A pipe that gives a few bytes at a time, which are no whole samples or tokens."""

    def read1(self, size: int | None = -1, /) -> bytes:
        return super().read1(7)


@pytest.fixture
def pipe(causal_folder, causal_codec, model_folder, small_codec, monkeypatch, capsys):
    """Run `l3ac-jax stream` with bytes on standard input."""
    codecs = {str(causal_folder): causal_codec, str(model_folder): small_codec}
    monkeypatch.setattr(pretrained, "get_model", lambda name, *_: codecs[str(name)])

    def piped(data: bytes | io.BytesIO, *words: object) -> Piped:
        source = io.BytesIO(data) if isinstance(data, bytes) else data
        output = io.BytesIO()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", SimpleNamespace(buffer=source))
            patch.setattr(sys, "stdout", SimpleNamespace(buffer=output, flush=lambda: None))
            code = main(["stream", *map(str, words)])
        return Piped(output=output.getvalue(), said=capsys.readouterr().err, code=code)

    return piped


def floats(audio: np.ndarray) -> bytes:
    return pcm.to_bytes(audio, "f32le")


def heard(data: bytes, channels: int = 1, encoding: pcm.Encoding = "f32le") -> np.ndarray:
    return pcm.from_bytes(data, PcmFormat(encoding, 16000, channels))


def read_tokens(data: bytes) -> tuple[raw.TokenStreamHeader, np.ndarray]:
    stream = io.BytesIO(data)
    header = raw.read_stream_header(stream, "tokens")
    return header, raw.from_bytes(stream.read(), header.channels)


def test_tokens_are_those_of_encode_and_audio_that_of_decode(pipe, causal_folder, causal_codec):
    audio = speech(SAMPLES)
    coded = pipe(Dripping(floats(audio)), "encode", "--model", causal_folder, *F32)
    header, tokens = read_tokens(coded.output)
    assert coded.code == 0
    assert header.format == causal_codec.token_format
    assert (header.sample_rate, header.channels) == (16000, 1)
    np.testing.assert_array_equal(tokens, causal_codec.encode(audio))
    # The tokens name their model.
    decoded = pipe(Dripping(coded.output), "decode", *F32)
    assert decoded.code == 0
    # float32 rounding, as of the streaming decoder itself
    np.testing.assert_allclose(heard(decoded.output), causal_codec.decode(tokens), atol=1e-5)


def test_loopback_is_encode_and_decode_cut_to_the_length(pipe, causal_folder, causal_codec):
    audio = speech(SAMPLES)
    looped = pipe(floats(audio), "loopback", "--model", causal_folder, *F32, "--block", 3)
    assert looped.code == 0
    np.testing.assert_allclose(heard(looped.output), causal_codec.reconstruct(audio), atol=1e-5)


def test_channels_follow_each_other_and_are_coded_one_by_one(pipe, causal_folder, causal_codec):
    audio = np.concatenate([speech(300), speech(300, offset=20000)])
    words = ("--model", causal_folder, *F32, "--channels", 2)
    header, tokens = read_tokens(pipe(floats(audio), "encode", *words).output)
    assert header.channels == 2
    np.testing.assert_array_equal(tokens, causal_codec.encode(audio))
    looped = heard(pipe(floats(audio), "loopback", *words).output, channels=2)
    np.testing.assert_allclose(looped, causal_codec.reconstruct(audio), atol=1e-5)


def test_other_rates_are_resampled_there_and_back(pipe, causal_folder, causal_codec):
    audio = resample(speech(3000), 16000, 44100)
    words = ("--model", causal_folder, *F32)
    coded = pipe(floats(audio), "encode", *words, "--rate", 44100)
    header, tokens = read_tokens(coded.output)
    assert header.sample_rate == 44100
    # 3000 samples are 8268.75 at the other rate; 8269 are 3000.1, of which each begun one counts.
    assert causal_codec.hop_length == 6 and tokens.shape == (1, 501)
    looped = pipe(floats(audio), "loopback", *words, "--rate", 44100)
    assert heard(looped.output).shape == audio.shape
    assert "ms of resampling" in looped.said
    # By default at the rate that was encoded; whole tokens.
    assert heard(pipe(coded.output, "decode", *F32).output).shape == (1, 8286)
    assert heard(pipe(coded.output, "decode", *F32, "--rate", 16000).output).shape == (1, 3006)


def test_wav_says_rate_and_channels_and_goes_through_pipes(pipe, causal_folder, causal_codec):
    audio = speech(SAMPLES)
    file = io.BytesIO()
    soundfile.write(file, audio.T, 16000, format="WAV", subtype="PCM_16")
    looped = pipe(file.getvalue(), "loopback", "--model", causal_folder, "--format", "wav")
    found, rate = soundfile.read(io.BytesIO(looped.output), dtype="float32")
    assert (looped.code, rate) == (0, 16000)
    samples = soundfile.read(io.BytesIO(file.getvalue()), dtype="float32")[0][None]
    # Random weights, whose output clips: 16 bits hold no more than 1, in steps of 2**-15.
    expected = np.clip(causal_codec.reconstruct(samples), -1, 1)
    np.testing.assert_allclose(found[None], expected, atol=2**-15)
    words = ("--model", causal_folder, "--format", "wav", "--rate", 16000)
    refused = pipe(file.getvalue(), "encode", *words)
    assert refused.code == 2


def test_the_latency_is_told_once(pipe, causal_folder, causal_codec):
    coded = pipe(floats(speech(100)), "encode", "--model", causal_folder, *F32, "--block", 5)
    told = 1000 * causal_codec.streaming_encoder(block=5).latency / 16000
    assert coded.said.count("latency") == 1
    assert f"l3ac-jax: latency {told:.1f} ms\n" in coded.said


@pytest.mark.parametrize("command", ["decode", "loopback"])
def test_a_decoder_that_norms_over_the_clip_needs_running_statistics(
    command, pipe, model_folder, small_codec
):
    audio = speech(SAMPLES)
    data = floats(audio)
    if command == "decode":
        data = pipe(data, "encode", "--model", model_folder, *F32).output
    refused = pipe(data, command, "--model", model_folder, *F32)
    assert (refused.code, refused.output) == (2, b"")
    assert "--statistics running" in refused.said.splitlines()[-1]
    done = pipe(data, command, "--model", model_folder, *F32, "--statistics", "running")
    decoder = small_codec.streaming_decoder(statistics="running")
    expected = [decoder.push(small_codec.encode(audio)), decoder.finish()]
    found = heard(done.output)
    np.testing.assert_allclose(
        found, np.concatenate(expected, axis=1)[:, : found.shape[1]], atol=1e-5
    )


def test_tokens_of_another_model_are_refused(pipe, causal_folder, model_folder):
    data = pipe(floats(speech(100)), "encode", "--model", causal_folder, *F32).output
    refused = pipe(data, "decode", "--model", model_folder, "--statistics", "running")
    assert (refused.code, refused.output) == (2, b"")
    assert "differs from that of" in refused.said


def test_what_is_no_whole_sample_or_token_is_dropped_with_a_warning(pipe, causal_folder):
    coded = pipe(floats(speech(12)) + b"\0", "encode", "--model", causal_folder, *F32)
    assert coded.code == 1 and "ends within a sample" in coded.said
    assert read_tokens(coded.output)[1].shape == (1, 2)
    decoded = pipe(coded.output + b"\0\0", "decode", *F32)
    assert decoded.code == 1 and "ends within a token" in decoded.said
    assert heard(decoded.output).shape == (1, 12)


MISTAKES = [
    (b"", ["encode"], "standard input: is empty"),
    (b"", ["loopback"], "standard input: is empty"),
    (b"text " * 9, ["encode", "--format", "wav"], "standard input: is no WAV file"),
    (b"RIFF" + bytes(60), ["loopback"], "standard input: is a WAV file"),
    (b"", ["encode", "--block", "0"], "--block must be at least 1"),
    (b"", ["encode", "--rate", "0"], "--rate must be at least 1"),
    (b"", ["loopback", "--channels", "0"], "--channels must be at least 1"),
]


@pytest.mark.parametrize(("data", "words", "reason"), MISTAKES)
def test_a_mistake_is_one_line(data, words, reason, pipe, causal_folder):
    ended = pipe(data, *words, "--model", causal_folder)
    assert ended.code == 2
    assert ended.said.splitlines()[-1].startswith(f"l3ac-jax: error: {reason}")


@pytest.mark.parametrize("data", [b"", b"text " * 9, b"L3AS\1\0\0", b"L3AS\1\x20\0" + bytes(40)])
def test_what_is_no_stream_of_tokens_is_refused(data, pipe):
    ended = pipe(data, "decode")
    assert (ended.code, ended.output) == (2, b"")
    assert ended.said.startswith("l3ac-jax: error: standard input: ")


# In processes of their own: pipes that stay open, and such as are closed.


def start(folder, compiled, *words: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "l3ac_jax.cli", "stream", *words, "--model", str(folder)],
        env={**os.environ, "L3AC_JAX_CACHE": str(compiled)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_audio_comes_out_while_more_goes_in_and_a_closed_pipe_ends_it(causal_folder, compiled):
    """141 is what a shell says of a filter whose reader has gone."""
    with start(causal_folder, compiled, "loopback", *F32) as process:
        assert process.stdin and process.stdout and process.stderr
        process.stdin.write(floats(speech(600)))
        process.stdin.flush()  # and not closed
        assert len(process.stdout.read(4 * 500)) == 4 * 500  # would wait for ever
        process.stdout.close()
        with contextlib.suppress(BrokenPipeError):  # when the command has gone
            while process.poll() is None:
                process.stdin.write(floats(speech(600)))
                process.stdin.flush()
        assert process.wait() == 141
        said = process.stderr.read().decode()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
    assert "Traceback" not in said and "error" not in said
    # Beside what is compiled, where that takes a while.
    assert sum(line.startswith("l3ac-jax: latency") for line in said.splitlines()) == 1
