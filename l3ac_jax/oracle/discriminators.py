"""DAC's discriminators in PyTorch, as L3AC was trained with them: an oracle for ours.

The official training code is in no package, so they are built here of torch.nn from the published
architecture, with the published parameter names. Needs the packages of the extra `torch`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np

from l3ac_jax.model.params import flatten, unflatten
from l3ac_jax.oracle.codec import import_official
from l3ac_jax.training.discriminators import (
    BANDS,
    FFT_SIZES,
    PERIOD_WIDTHS,
    PERIODS,
    Discriminators,
)

import_official()  # where torch is missing, its error says how to get it

import torch  # noqa: E402
from torch.nn.functional import pad  # noqa: E402
from torch.nn.utils.parametrizations import weight_norm  # noqa: E402

__all__ = ["OfficialDiscriminators", "discriminator_params", "twice_padded_stft"]


class OfficialDiscriminators(torch.nn.Module):
    """One discriminator a period, then one an FFT size."""

    def __init__(
        self,
        periods: Sequence[int] = PERIODS,
        fft_sizes: Sequence[int] = FFT_SIZES,
        period_widths: Sequence[int] = PERIOD_WIDTHS,
        spectrum_width: int = 32,
    ):
        super().__init__()
        self.discriminators = torch.nn.ModuleList(
            [_PeriodDiscriminator(period, period_widths) for period in periods]
            + [_SpectrumDiscriminator(size, spectrum_width) for size in fft_sizes]
        )

    def forward(self, audio: torch.Tensor) -> list[list[torch.Tensor]]:
        """(batch, samples) -> the feature maps of each discriminator, the last one its score.

        Of a period: (batch, channels, samples in a period, periods); of a spectrum: (batch,
        channels, frames, bins), band after band.
        """
        audio = audio - audio.mean(dim=-1, keepdim=True)
        audio = 0.8 * audio / (audio.abs().max(dim=-1, keepdim=True)[0] + 1e-9)
        return [discriminator(audio) for discriminator in self.discriminators]


class _PeriodDiscriminator(torch.nn.Module):
    def __init__(self, period: int, widths: Sequence[int]):
        super().__init__()
        self.period = period
        strides = [(3, 1)] * (len(widths) - 1) + [(1, 1)]
        self.convs = _stack((1, *widths), [(5, 1)] * len(widths), strides)
        self.conv_post = _conv(widths[-1], 1, (3, 1))

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        x = pad(x[:, None], (0, self.period - x.shape[1] % self.period), mode="reflect")
        x = x.reshape(len(x), 1, -1, self.period)
        maps = []
        for layer in self.convs:
            x = layer(x)
            maps.append(x)
        return [*maps, self.conv_post(x)]


class _SpectrumDiscriminator(torch.nn.Module):
    def __init__(self, size: int, width: int):
        super().__init__()
        self.size = size
        windows, strides = [(3, 9)] * 4 + [(3, 3)], [(1, 1), (1, 2), (1, 2), (1, 2), (1, 1)]
        self.band_convs = torch.nn.ModuleList(
            _stack((2, *[width] * 5), windows, strides) for _ in range(len(BANDS) - 1)
        )
        self.conv_post = _conv(width, 1, (3, 3))

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        parts = torch.view_as_real(twice_padded_stft(x, self.size)).permute(0, 3, 2, 1)
        edges = [int(edge * parts.shape[-1]) for edge in BANDS]
        maps, ends = [], []
        for band, (low, high) in enumerate(pairwise(edges)):
            y = parts[..., low:high]
            for layer in self.band_convs[band].children():
                y = layer(y)
                maps.append(y)
            ends.append(y)
        return [*maps, self.conv_post(torch.cat(ends, dim=-1))]


def _stack(widths: Sequence[int], windows: list, strides: list) -> torch.nn.ModuleList:
    layers = zip(pairwise(widths), windows, strides, strict=True)
    return torch.nn.ModuleList(
        torch.nn.Sequential(_conv(*pair, window, stride), torch.nn.LeakyReLU(0.1))
        for pair, window, stride in layers
    )


def _conv(inputs: int, outputs: int, window: tuple, stride: tuple = (1, 1)) -> torch.nn.Module:
    padding = tuple(width // 2 for width in window)
    return weight_norm(torch.nn.Conv2d(inputs, outputs, window, stride, padding))


def twice_padded_stft(audio: torch.Tensor, size: int) -> torch.Tensor:
    """(batch, samples) -> (batch, bins, frames), as audiotools gives it with `match_stride`.

    The clip is padded by reflection, torch.stft pads it again, two frames at either end are cut.
    """
    hop = size // 4
    side = (size - hop) // 2
    x = pad(audio[:, None], (side, side - audio.shape[1] % -hop), mode="reflect")[:, 0]
    window = torch.hann_window(size, dtype=x.dtype, device=x.device)
    return torch.stft(x, size, hop, window=window, return_complex=True)[..., 2:-2]


def discriminator_params(
    tensors: Mapping[str, torch.Tensor], discriminators: Discriminators
) -> dict:
    """The parameter tree (NumPy, float32) of a state dict, or of gradients under its names.

    Raises KeyError for a name that is missing, ValueError for names that are left over.
    """
    audio = jnp.zeros((1, 16000))
    shapes = jax.eval_shape(discriminators.init, jax.random.key(0), audio)["params"]
    tensors, leaves = dict(tensors), {}
    for path, leaf in flatten(shapes).items():
        tensor = tensors.pop(_official_name(path, len(discriminators.periods)))
        # (out, in, height, width) -> (height, width, in, out), or a gain (out, 1, 1, 1) -> (out,).
        axes = (2, 3, 1, 0) if path.endswith("kernel") else range(tensor.ndim)
        leaves[path] = tensor.numpy().transpose(axes).reshape(leaf.shape).astype(np.float32)
    if tensors:
        raise ValueError(f"names that belong to no discriminator: {', '.join(tensors)}")
    return unflatten(leaves)


_LEAVES = {
    "kernel": "parametrizations.weight.original1",
    "scale": "parametrizations.weight.original0",
    "bias": "bias",
}


def _official_name(path: str, periods: int) -> str:
    """The published name of a parameter, by our path and the count of period discriminators."""
    part, layer, leaf = path.split("/")
    kind, index = part.split("_")
    place = int(index) + (periods if kind == "spectrum" else 0)
    layer = re.sub(r"^conv_(\d+)", r"convs.\1.0", layer)
    layer = re.sub(r"^band_(\d+)_conv_(\d+)", r"band_convs.\1.\2.0", layer)
    return f"discriminators.{place}.{layer.replace('output', 'conv_post')}.{_LEAVES[leaf]}"
