"""Exported programs compute what the codec does: in onnxruntime, and in JAX without this package.

Tolerance of audio: float32 rounding of other kernels, 1e-5 rms.
"""

import json
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from l3ac_jax.codec.l3ac import L3AC
from l3ac_jax.errors import ArgumentError
from l3ac_jax.evaluation.random_params import random_params
from l3ac_jax.exports.programs import clip_programs, step_programs
from l3ac_jax.exports.writing import write_programs
from tests.small_configs import ABLATED_CONFIGS, SMALL_CONFIGS

BLOCK = 3
rng = np.random.default_rng(0)


def codec_of(name: str) -> L3AC:
    config = (SMALL_CONFIGS | ABLATED_CONFIGS)[name]
    return L3AC(config, random_params(config, 0), name)


@pytest.fixture(scope="module")
def causal() -> L3AC:
    return codec_of("causal")


@pytest.fixture(scope="module")
def folder(causal, tmp_path_factory):
    """The ONNX programs of a codec that streams exactly."""
    pytest.importorskip("onnx", reason="the extra export is not installed")
    path = tmp_path_factory.mktemp("onnx")
    list(write_programs(causal, path, "onnx", BLOCK))
    return path


def session(path):
    runtime = pytest.importorskip("onnxruntime", reason="the extra export is not installed")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return runtime.InferenceSession(str(path), options)


def clip(codec: L3AC, tokens: int) -> np.ndarray:
    return rng.uniform(-0.5, 0.5, (1, tokens * codec.hop_length)).astype(np.float32)


def rms(difference) -> float:
    return float(np.sqrt(np.mean(np.square(np.asarray(difference, np.float64)))))


def streamed(run, program, states, values, count):
    """So many outputs of a stream: blocks of the clip's values, and then of nobody's."""
    name = program["file"].partition(".")[0]
    kept = [states[f"{name}.{part['name']}"] for part in program["state"]]
    size = program["inputs"][0]["shape"][1]
    parts, place = [], 0
    while sum(part.shape[1] for part in parts) < count:
        left = values[:, place : place + size]
        block, real = np.zeros((1, size), values.dtype), np.zeros((1, size), bool)
        block[:, : left.shape[1]], real[:, : left.shape[1]] = left, True
        result, *kept = run(block, real, *kept)
        parts.append(np.asarray(result))
        place += size
    return np.concatenate(parts, axis=1)[:, :count]


@pytest.mark.parametrize("tokens", [1, pytest.param(7, marks=pytest.mark.quick), 40])
def test_onnx_clips_of_any_length(causal, folder, tokens):
    audio = clip(causal, tokens)
    (found,) = session(folder / "encoder.onnx").run(["tokens"], {"audio": audio})
    expected = np.asarray(causal.encode(audio))
    np.testing.assert_array_equal(found, expected)
    (decoded,) = session(folder / "decoder.onnx").run(["audio"], {"tokens": found})
    assert rms(decoded - causal.decode(expected)) < 1e-5
    assert rms(decoded) > 1e-2


def test_onnx_steps_give_what_whole_clips_do(causal, folder):
    described = json.loads((folder / "codec.json").read_text())["programs"]
    states = load_file(folder / "states.safetensors")
    audio = clip(causal, 20)  # more than two windows, and no whole number of blocks

    def runner(name):
        steps, program = session(folder / f"{name}.onnx"), described[name]
        names = [part["name"] for part in (*program["inputs"], *program["state"])]
        outputs = [*program["outputs"], *(part["next"] for part in program["state"])]
        return lambda *arrays: steps.run(outputs, dict(zip(names, arrays, strict=True)))

    expected = np.asarray(causal.encode(audio))
    encoder, decoder = described["encoder_step"], described["decoder_step"]
    lag = encoder["lag_tokens"]
    tokens = streamed(runner("encoder_step"), encoder, states, audio, 20 + lag)
    np.testing.assert_array_equal(tokens[:, lag:], expected)
    lag = decoder["lag_samples"]
    samples = 20 * causal.hop_length + lag
    decoded = streamed(runner("decoder_step"), decoder, states, expected, samples)
    assert rms(decoded[:, lag:] - causal.decode(expected)) < 1e-5


def test_onnx_of_a_network_whose_decoder_sees_the_whole_clip(tmp_path):
    pytest.importorskip("onnx", reason="the extra export is not installed")
    codec = codec_of("compress2_rotary")
    lines = list(write_programs(codec, tmp_path, "onnx", BLOCK))
    assert "over the whole clip" in lines[-1]  # why there is no step of the decoder
    assert not (tmp_path / "decoder_step.onnx").exists()
    audio = clip(codec, 19)
    (tokens,) = session(tmp_path / "encoder.onnx").run(None, {"audio": audio})
    np.testing.assert_array_equal(tokens, codec.encode(audio))
    (decoded,) = session(tmp_path / "decoder.onnx").run(None, {"tokens": tokens})
    assert rms(decoded - codec.decode(tokens)) < 1e-5


ELSEWHERE = """
import sys
import numpy as np
from jax import export
from safetensors.numpy import load_file, save_file

folder = sys.argv[1]
given = load_file(f"{folder}/given.safetensors")

def program(name):
    with open(f"{folder}/{name}.stablehlo", "rb") as file:
        return export.deserialize(bytearray(file.read())).call

(tokens,) = program("encoder")(given["audio"])
(audio,) = program("decoder")(tokens)
kept = [given[key] for key in sorted(given) if key.startswith("state")]
(first, *kept) = program("encoder_step")(given["block"], given["real"], *kept)
assert not any("l3ac" in name for name in sys.modules)
found = {"tokens": tokens, "audio": audio, "first": first}
save_file({key: np.asarray(value) for key, value in found.items()}, f"{folder}/found.safetensors")
"""


def test_stablehlo_in_a_process_without_the_package(causal, tmp_path):
    list(write_programs(causal, tmp_path, "stablehlo", BLOCK))
    states = load_file(tmp_path / "states.safetensors")
    audio, size = clip(causal, 21), BLOCK * causal.hop_length
    given = {"audio": audio, "block": audio[:, :size], "real": np.ones((1, size), bool)}
    given |= {
        name.partition(".")[2]: array
        for name, array in states.items()
        if name.startswith("encoder_step.")
    }
    save_file(
        {name: np.ascontiguousarray(a) for name, a in given.items()}, tmp_path / "given.safetensors"
    )
    command = [sys.executable, "-c", ELSEWHERE, str(tmp_path)]
    subprocess.run(command, check=True, cwd=tmp_path, env={"PATH": "", "JAX_PLATFORMS": "cpu"})
    found = load_file(tmp_path / "found.safetensors")
    expected = np.asarray(causal.encode(audio))
    np.testing.assert_array_equal(found["tokens"], expected)
    assert rms(found["audio"] - causal.decode(expected)) < 1e-5
    described = json.loads((tmp_path / "codec.json").read_text())["programs"]["encoder_step"]
    lag = described["lag_tokens"]
    np.testing.assert_array_equal(found["first"][:, lag:], expected[:, : BLOCK - lag])


def test_the_description_says_what_the_programs_take(causal, folder):
    described = json.loads((folder / "codec.json").read_text())
    assert described["fingerprints"]["weights"] == causal.token_format.weights
    assert described["levels"] == [5, 4, 3] and described["hop_length"] == 6
    for program in described["programs"].values():
        inputs = session(folder / program["file"]).get_inputs()
        parts = (*program["inputs"], *program.get("state", ()))
        assert [(part["name"], part["shape"]) for part in parts] == [
            (part.name, part.shape) for part in inputs
        ]


def test_what_cannot_be_exported_is_refused():
    config = SMALL_CONFIGS["baseline"]
    transformer = config.transformer.model_copy(update={"attention": "full"})
    codec = L3AC(config.model_copy(update={"transformer": transformer}), {})
    with pytest.raises(ArgumentError, match="attention = 'full'"):
        clip_programs(codec)
    with pytest.raises(ArgumentError, match="takes 1 token or more: got 0"):
        step_programs(codec, 0)
