"""The example in JavaScript decodes what this package encoded.

It runs with onnxruntime-web where L3AC_JAX_ONNXRUNTIME_WEB names the folder of that package, which
`npm install onnxruntime-web` makes (node_modules/onnxruntime-web), and node is there.
"""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from l3ac_jax.audio.reading import read_audio
from l3ac_jax.codec.l3ac import L3AC
from l3ac_jax.evaluation.random_params import random_params
from l3ac_jax.exports.writing import write_programs
from l3ac_jax.tokens.bitstream.files import save
from l3ac_jax.tokens.format import EncodedAudio
from tests.onnxruntime_web import PLACE
from tests.small_configs import SMALL_CONFIGS

EXAMPLE = Path(__file__).parents[2] / "examples" / "decode.mjs"


@pytest.fixture(scope="module")
def runtime() -> Path:
    if shutil.which("node") is None:
        pytest.skip("no node here")
    module = Path(os.environ.get(PLACE, "")) / "dist" / "ort.node.min.mjs"
    if not module.is_file():
        pytest.skip(f"no copy of the npm package onnxruntime-web here ({PLACE} names its folder)")
    return module


@pytest.fixture(scope="module")
def codec() -> L3AC:
    config = SMALL_CONFIGS["baseline"]
    return L3AC(config, random_params(config, 0), "mine")


@pytest.fixture(scope="module")
def folder(codec, tmp_path_factory) -> Path:
    pytest.importorskip("onnx", reason="the extra export is not installed")
    path = tmp_path_factory.mktemp("onnx")
    list(write_programs(codec, path, "onnx", 4))
    return path


def encoded(codec: L3AC, channels: int, samples: int) -> EncodedAudio:
    frames = -(-samples // codec.hop_length)
    tokens = np.random.default_rng(0).integers(0, codec.codebook_size, (channels, frames), np.int32)
    return EncodedAudio(tokens, samples, codec.sample_rate, codec.name, codec.token_format)


def decode(runtime: Path, *words: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["node", EXAMPLE, *map(str, words)],
        env=os.environ | {"ONNXRUNTIME": str(runtime)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("channels", "samples"), [(1, 50), (2, 6 * 1200 - 1)])
def test_a_file_decoded_without_python(runtime, codec, folder, tmp_path, channels, samples):
    file, target = tmp_path / "a.l3ac", tmp_path / "a.wav"
    given = encoded(codec, channels, samples)  # the second has two blocks of each channel
    save(file, given)
    done = decode(runtime, file, folder, target)
    assert done.returncode == 0, done.stderr
    audio = read_audio(target)
    assert audio.sample_rate == codec.sample_rate
    expected = np.asarray(codec.decode(given.tokens))[:, :samples]
    assert audio.samples.shape == expected.shape
    assert np.sqrt(np.mean(np.square(audio.samples - expected))) < 1e-5


def test_its_mistakes(runtime, codec, folder, tmp_path):
    file, target = tmp_path / "a.l3ac", tmp_path / "a.wav"
    file.write_bytes(b"RIFF")
    assert "is not an .l3ac file" in decode(runtime, file, folder, target).stderr
    save(file, encoded(codec, 1, 50), overwrite=True)
    data = file.read_bytes()
    file.write_bytes(data[:-3])
    assert "is cut off" in decode(runtime, file, folder, target).stderr
    file.write_bytes(data[:16] + b"another!" + data[24:])
    done = decode(runtime, file, folder, target)
    assert done.returncode == 2 and "another model" in done.stderr and not target.exists()
