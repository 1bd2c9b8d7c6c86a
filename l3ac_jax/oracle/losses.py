"""The terms of the published objective in PyTorch: an oracle for ours.

Written from the formulas of the official training code, of DAC (mel) and of Whisper, none of which
is in a package that we depend on. Needs the packages of the extra `torch`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from l3ac_jax.oracle.codec import import_official
from l3ac_jax.system.first_use import alone_at_first

import_official()  # where torch is missing, its error says how to get it

import torch  # noqa: E402
from torch.nn.functional import (  # noqa: E402
    conv1d,
    gelu,
    l1_loss,
    layer_norm,
    linear,
    mse_loss,
    pad,
    scaled_dot_product_attention,
)

__all__ = [
    "WhisperFeatures",
    "discriminator_loss",
    "feature_matching_loss",
    "generator_loss",
    "log_mel",
    "mel_loss",
    "perceptual_loss",
    "random_whisper_weights",
    "read_whisper_weights",
    "scale_down",
    "stft_loss",
]

STFT_SIZES = (32, 64, 128, 256, 512, 1024)

# The feature maps of each discriminator, the last one being its score.
FeatureMaps = Sequence[Sequence[torch.Tensor]]


def stft_loss(
    generated: torch.Tensor,
    reference: torch.Tensor,
    sizes: Sequence[int] = STFT_SIZES,
    floor: float = 1e-8,
) -> torch.Tensor:
    """Distance of magnitude spectrograms of (batch, samples), mean over FFT sizes."""
    total = generated.new_zeros(())
    for size in sizes:
        a, b = (_spectrogram(audio, size) for audio in (generated, reference))
        log_a, log_b = (x.clamp(floor).pow(2).log10() for x in (a, b))
        total = total + l1_loss(a, b) + l1_loss(log_a, log_b)
    return total / len(sizes)


def mel_loss(
    generated: torch.Tensor,
    reference: torch.Tensor,
    sample_rate: int,
    bands: Mapping[int, int],
    magnitude_weight: float = 0.0,
    floor: float = 1e-5,
) -> torch.Tensor:
    """Distance of mel spectrograms, summed over window sizes, as in DAC.

    `bands` are the mel bands of each size.
    """
    total = generated.new_zeros(())
    for size, count in bands.items():
        filters = _mel_filters(sample_rate, size, count).to(generated)
        a, b = (filters @ _spectrogram(audio, size) for audio in (generated, reference))
        log_a, log_b = (x.clamp(floor).log10() for x in (a, b))
        total = total + l1_loss(log_a, log_b) + magnitude_weight * l1_loss(a, b)
    return total


def _spectrogram(audio: torch.Tensor, size: int) -> torch.Tensor:
    """(batch, bins, frames) of magnitudes."""
    window = torch.hann_window(size, dtype=audio.dtype, device=audio.device)
    return torch.stft(audio, size, size // 4, window=window, return_complex=True).abs()


@cache
def _mel_filters(sample_rate: int, size: int, bands: int) -> torch.Tensor:
    with alone_at_first("librosa.filters"):
        from librosa.filters import mel

    return torch.from_numpy(mel(sr=sample_rate, n_fft=size, n_mels=bands))


def discriminator_loss(generated: FeatureMaps, reference: FeatureMaps) -> torch.Tensor:
    """Least squares towards 0 for generated and 1 for real audio, summed over discriminators."""
    pairs = zip(generated, reference, strict=True)
    return _sum(a[-1].square().mean() + (1 - b[-1]).square().mean() for a, b in pairs)


def generator_loss(generated: FeatureMaps) -> torch.Tensor:
    """Least squares of the scores towards 1, summed over discriminators."""
    return _sum((1 - maps[-1]).square().mean() for maps in generated)


def feature_matching_loss(generated: FeatureMaps, reference: FeatureMaps) -> torch.Tensor:
    """Mean absolute difference of each feature map but the scores, summed over all maps."""
    pairs = zip(generated, reference, strict=True)
    maps = [two for a, b in pairs for two in zip(a[:-1], b[:-1], strict=True)]
    return _sum(l1_loss(a, b.detach()) for a, b in maps)


def perceptual_loss(generated: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Squared distance of (batch, frames, features), summed over features, mean over frames."""
    return mse_loss(generated, reference, reduction="none").sum(2).mean()


def scale_down(value: torch.Tensor, maximum: float) -> torch.Tensor:
    """`value` where it is below `maximum`, else `maximum` with the gradient scaled alike."""
    return value / value.detach().abs() * maximum if value >= maximum else value


def _sum(values: Iterable[torch.Tensor]) -> torch.Tensor:
    return torch.stack(list(values)).sum()


WIDTH, LAYERS, HEADS, BANDS = 384, 4, 6, 80
FRAMES = 1500  # of 20 ms, in 30 s
SAMPLES = 320 * FRAMES


class WhisperFeatures:
    """The output of tiny.en's encoder; `weights` has OpenAI's names and any floating type."""

    def __init__(
        self,
        weights: Mapping[str, NDArray],
        dtype: torch.dtype = torch.float32,
        device: str = "cpu",
    ):
        self.weights = {
            name.removeprefix("encoder."): torch.from_numpy(np.array(array)).to(device, dtype)
            for name, array in weights.items()
            if name.startswith("encoder.")
        }

    def __call__(self, audio: torch.Tensor, frames: int = FRAMES) -> torch.Tensor:
        """(batch, samples) at 16 kHz, cut or padded to 30 s -> (batch, frames, 384).

        With fewer than 1500 `frames` the encoder hears only so much of the spectrogram.
        """
        audio = audio[:, :SAMPLES]
        mel = log_mel(pad(audio, (0, SAMPLES - audio.shape[1])))[..., : 2 * frames]
        x = gelu(conv1d(mel, *self._layer("conv1"), padding=1))
        x = gelu(conv1d(x, *self._layer("conv2"), stride=2, padding=1)).mT
        x = x + self.weights["positional_embedding"][: x.shape[1]]
        for i in range(LAYERS):
            x = self._block(f"blocks.{i}", x)
        return self._norm("ln_post", x)

    def _block(self, block: str, x: torch.Tensor) -> torch.Tensor:
        h = self._norm(f"{block}.attn_ln", x)
        query, key, value = (
            linear(h, *self._layer(f"{block}.attn.{name}"))
            .unflatten(2, (HEADS, -1))
            .transpose(1, 2)
            for name in ("query", "key", "value")
        )
        h = scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        x = x + linear(h, *self._layer(f"{block}.attn.out"))
        h = gelu(linear(self._norm(f"{block}.mlp_ln", x), *self._layer(f"{block}.mlp.0")))
        return x + linear(h, *self._layer(f"{block}.mlp.2"))

    def _norm(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return layer_norm(x, (WIDTH,), *self._layer(name))

    def _layer(self, name: str) -> tuple[torch.Tensor, torch.Tensor | None]:
        return self.weights[f"{name}.weight"], self.weights.get(f"{name}.bias")


def log_mel(audio: torch.Tensor) -> torch.Tensor:
    """(batch, samples) of 30 s -> Whisper's normalized log-mel spectrogram (batch, 80, 3000)."""
    window = torch.hann_window(400, dtype=audio.dtype, device=audio.device)
    spectra = torch.stft(audio, 400, 160, window=window, return_complex=True)[..., :-1]
    filters = _mel_filters(16000, 400, BANDS).to(audio)
    levels = (filters @ spectra.abs().square()).clamp(min=1e-10).log10()
    return (torch.maximum(levels, levels.max() - 8) + 4) / 4


def read_whisper_weights(path: str | os.PathLike[str]) -> dict[str, NDArray]:
    """The weights in OpenAI's .pt file, or in a .safetensors file with its names."""
    if Path(path).suffix == ".safetensors":
        from safetensors.numpy import load_file

        return load_file(path)
    tensors = torch.load(path, map_location="cpu", weights_only=True)["model_state_dict"]
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def random_whisper_weights(seed: int = 0) -> dict[str, NDArray[np.float16]]:
    """Weights of the encoder under OpenAI's names, in half precision as published."""
    random = np.random.default_rng(seed)

    def array(*shape: int) -> NDArray:
        return random.uniform(-1, 1, shape) * np.prod(shape[1:]) ** -0.5

    def layer(name: str, *shape: int) -> dict[str, NDArray]:
        return {f"{name}.weight": array(*shape), f"{name}.bias": array(shape[0])}

    def norm(name: str) -> dict[str, NDArray]:
        return {f"{name}.weight": 1 + array(WIDTH) / 10, f"{name}.bias": array(WIDTH) / 10}

    weights = {**layer("conv1", WIDTH, BANDS, 3), **layer("conv2", WIDTH, WIDTH, 3)}
    weights["positional_embedding"] = array(FRAMES, WIDTH)
    for i in range(LAYERS):
        block = f"blocks.{i}"
        for name in ("query", "key", "value", "out"):
            weights |= layer(f"{block}.attn.{name}", WIDTH, WIDTH)
        del weights[f"{block}.attn.key.bias"]
        weights |= layer(f"{block}.mlp.0", 4 * WIDTH, WIDTH)
        weights |= layer(f"{block}.mlp.2", WIDTH, 4 * WIDTH)
        weights |= {**norm(f"{block}.attn_ln"), **norm(f"{block}.mlp_ln")}
    weights |= norm("ln_post")
    return {f"encoder.{name}": array.astype(np.float16) for name, array in weights.items()}
