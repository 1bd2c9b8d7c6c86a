"""Small files of each kind that the package reads, and what is right for a damaged one."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np

from file_torture.reading import Judge
from l3ac_jax.config.model import (
    CodecConfig,
    DecoderConfig,
    EncoderConfig,
    QuantizerConfig,
    TransformerConfig,
)
from l3ac_jax.errors import UserError
from l3ac_jax.evaluation.random_params import random_params
from l3ac_jax.model.params import flatten
from l3ac_jax.official.torch_files import read_state_dict
from l3ac_jax.tokens.bitstream.files import read_encoded, write_encoded
from l3ac_jax.tokens.format import EncodedAudio, TokenFormat
from l3ac_jax.weights.file import load_model_file, save_model_file

__all__ = ["FILES", "Sample", "small_model"]

Sample = tuple[bytes, Judge]
Names = Literal["plain", "adaptive"]


def small_model() -> CodecConfig:
    """A network of some thousand parameters."""
    return CodecConfig(
        sample_rate=16000,
        feature_dim=16,
        encoder=EncoderConfig(rates=(2, 3), dims=(4, 8, 8), depths=(1, 1, 1)),
        decoder=DecoderConfig(rates=(3, 2), dims=(16, 8, 4), depths=(1, 1, 1)),
        transformer=TransformerConfig(
            encoder_depth=1, decoder_depth=1, window_size=8, compress_rate=1
        ),
        quantizer=QuantizerConfig(levels=(5, 4, 3)),
    )


def _l3ac(entropy: Names) -> Sample:
    format = TokenFormat("0" * 16, "1" * 16, 16000, 96, (5, 5, 3))
    tokens = np.random.default_rng(0).integers(0, format.codebook_size, (2, 700), np.int32)
    audio = EncodedAudio(tokens, 700 * 96 - 5, 16000, "small", format)
    stream = BytesIO()
    write_encoded(stream, audio, entropy, block_tokens=128)

    def judge(variant: bytes) -> tuple[str, str]:
        told: list[str] = []
        read = read_encoded(BytesIO(variant), "variant", told.append)
        if told:
            count = read.tokens.shape[1]
            right = np.array_equal(read.tokens, tokens[:, :count]) and count < tokens.shape[1]
            return ("told", told[0]) if right else ("lost", f"wrong tokens: {told[0]}")
        same = np.array_equal(read.tokens, tokens) and read.samples == audio.samples
        return ("whole", "") if same else ("lost", f"{read.tokens.shape}, {read.samples} samples")

    return stream.getvalue(), _refusing(judge)


def _safetensors() -> Sample:
    config = small_model()
    params = random_params(config, 0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.safetensors")
        save_model_file(path, config, params, "float32")
        data = path.read_bytes()

    def read(path: Path) -> tuple[Any, Mapping[str, Any]]:
        found, arrays = load_model_file(path)
        return found, flatten(arrays)

    return data, _from_file("model.safetensors", read, (config, flatten(params)))


def _pt() -> Sample:
    import torch

    layers = torch.nn.Sequential(torch.nn.Linear(30, 40), torch.nn.Linear(40, 20))
    stream = BytesIO()
    torch.save(layers.state_dict(), stream)
    expected = {name: tensor.numpy() for name, tensor in layers.state_dict().items()}

    def read(path: Path) -> tuple[Any, Mapping[str, Any]]:
        return None, read_state_dict(path)

    return stream.getvalue(), _from_file("weights.pt", read, (None, expected))


def _from_file(
    name: str,
    read: Callable[[Path], tuple[Any, Mapping[str, Any]]],
    expected: tuple[Any, Mapping[str, Any]],
) -> Judge:
    folder = tempfile.mkdtemp(prefix="l3ac-torture-")  # of the process that reads, to its end

    def judge(variant: bytes) -> tuple[str, str]:
        path = Path(folder, name)
        path.write_bytes(variant)
        config, arrays = read(path)
        if arrays.keys() < expected[1].keys():
            return "lost", f"{len(arrays)} of {len(expected[1])} arrays"
        same = config == expected[0] and all(
            name in arrays and np.array_equal(arrays[name], expected[1][name])
            for name in expected[1]
        )
        return ("whole", "") if same else ("altered", "other values")

    return _refusing(judge)


def _refusing(judge: Judge) -> Judge:
    def refusing(variant: bytes) -> tuple[str, str]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return judge(variant)
        except UserError as error:
            return "refused", str(error)

    return refusing


FILES: dict[str, Callable[[], Sample]] = {
    "l3ac, plain": lambda: _l3ac("plain"),
    "l3ac, adaptive": lambda: _l3ac("adaptive"),
    "safetensors": _safetensors,
    "pt": _pt,
}
