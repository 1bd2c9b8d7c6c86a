"""DAC's discriminators: of waveforms folded by a period, and of complex spectra in bands.

Each gives feature maps, its score last, as float32 with time as the second axis: what the
adversarial and feature-matching losses take.

Everything is defined for clips of one length. A batch that is padded to a common length needs
`lengths` (real samples of each clip): every convolution then sees zeros after the end of a clip, as
it would if the clip were alone, reflections are at the clip's own end, and the entries of each map
that `map_lengths` counts are those of the clip alone; the others are finite and mean nothing.
Without `lengths` padding is heard as silence, and changes mean and peak of the clip.

Reference: Kumar et al., "High-Fidelity Audio Compression with Improved RVQGAN" (2023), section 3.3,
and its published code; L3AC's training differs in nothing but the FFT sizes.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import TypeVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Complex, Float, Int

from l3ac_jax.model.layers import normalized_kernel, torch_uniform
from l3ac_jax.model.ops import mask_frames, per_channel, quotient, time_sum
from l3ac_jax.model.ops.backend import lowerings
from l3ac_jax.training.stft import Lengths, reflect_pad, stft

__all__ = ["BANDS", "FFT_SIZES", "PERIODS", "PERIOD_WIDTHS", "Discriminators"]

PERIODS = (2, 3, 5, 7, 11)
PERIOD_WIDTHS = (32, 128, 512, 1024, 1024)
FFT_SIZES = (126, 542, 1418, 2296)
BANDS = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)  # edges, as fractions of the bins

Audio = Float[Array, "batch time"]
FeatureMap = Float[Array, "batch frames lanes channels"]
Count = TypeVar("Count", int, Int[Array, " batch"])


class Discriminators(nn.Module):
    """One discriminator a period, then one an FFT size; 43 M parameters as published.

    Convolutions run in `dtype`; parameters, spectra and feature maps are float32.
    """

    periods: Sequence[int] = PERIODS
    fft_sizes: Sequence[int] = FFT_SIZES
    period_widths: Sequence[int] = PERIOD_WIDTHS
    spectrum_width: int = 32
    dtype: DTypeLike = jnp.float32

    def setup(self):
        self.period = [
            PeriodDiscriminator(period, self.period_widths, self.dtype) for period in self.periods
        ]
        self.spectrum = [
            SpectrumDiscriminator(size, self.spectrum_width, self.dtype) for size in self.fft_sizes
        ]

    def __call__(self, audio: Audio, lengths: Lengths = None) -> list[list[FeatureMap]]:
        """The feature maps of each discriminator, the last one being its score.

        Of a period: (batch, periods, samples in a period, channels), time divided by 3 in each
        layer but the last two. Of a spectrum: (batch, frames, bins, channels), band after band.
        """
        audio = normalize(audio, lengths)
        return [judge(audio, lengths) for judge in (*self.period, *self.spectrum)]

    def map_lengths(self, lengths: Int[Array, " batch"]) -> list[list[Int[Array, " batch"]]]:
        """For each feature map, how much of its time axis is real; needs no parameters."""
        layers = len(self.period_widths)
        maps_of_a_spectrum = (len(BANDS) - 1) * len(_BAND_LAYERS) + 1
        return [
            *(_period_lengths(lengths, period, layers)[1:] for period in self.periods),
            *([_frame_count(lengths, size)] * maps_of_a_spectrum for size in self.fft_sizes),
        ]


def normalize(audio: Audio, lengths: Lengths = None) -> Audio:
    """Without its mean, and with a peak of 0.8.

    Silence stays silence. Its derivative is finite, but 0.8e9, as in the official code.
    """
    count = audio.shape[1] if lengths is None else jnp.maximum(lengths, 1)[:, None]
    mean = time_sum(mask_frames(audio, lengths))[:, None] / count
    centred = mask_frames(audio - mean, lengths)
    peak = jnp.abs(centred).max(axis=1, keepdims=True)
    return 0.8 * centred / (peak + 1e-9)


class PeriodDiscriminator(nn.Module):
    """Judges the sequences of every `period`-th sample, all with the same weights."""

    period: int
    widths: Sequence[int] = PERIOD_WIDTHS
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, audio: Audio, lengths: Lengths = None) -> list[FeatureMap]:
        batch, samples = audio.shape
        rows = samples // self.period + 1  # as published, there is always something to pad
        x = reflect_pad(audio, 0, self.period, lengths)[:, : rows * self.period]
        # DAC's two-dimensional convolutions have a width of one across the sequences, so the
        # sequences are clips of their own. With them before time, measured on 2 CPU cores, 1-D and
        # 2-D convolution and im2col are within 20 % of each other, forward and backward together;
        # with time first, as in DAC, they take up to twice as long.
        x = x.reshape(batch, rows, self.period).swapaxes(1, 2).reshape(-1, rows, 1)
        if lengths is not None:
            lengths = jnp.repeat(lengths, self.period)
        counts = _period_lengths(lengths, self.period, len(self.widths))
        strides = _period_strides(len(self.widths))
        maps = []
        for i, (width, stride) in enumerate(zip(self.widths, strides, strict=True)):
            conv = WeightNormConv(width, (5,), stride, self.dtype, name=f"conv_{i}")
            x = _leaky(conv(mask_frames(x, counts[i])))
            maps.append(x)
        output = WeightNormConv(1, (3,), 1, self.dtype, name="output")
        maps.append(output(mask_frames(x, counts[-1])))
        return [
            x.astype(jnp.float32).reshape(batch, self.period, *x.shape[1:]).swapaxes(1, 2)
            for x in maps
        ]


def _period_strides(layers: int) -> list[int]:
    return [3] * (layers - 1) + [1]


def _period_lengths(lengths: Lengths, period: int, layers: int) -> list:
    """Real periods of each clip: in the input, after each layer, in the score."""
    if lengths is None:
        return [None] * (layers + 2)
    counts = [jnp.where(lengths > 0, quotient(lengths, period) + 1, 0)]
    for stride in _period_strides(layers):
        counts.append(quotient(counts[-1] + stride - 1, stride))
    return [*counts, counts[-1]]


class SpectrumDiscriminator(nn.Module):
    """Judges real and imaginary parts of spectra, each band of frequencies by its own weights."""

    fft_size: int
    width: int = 32
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, audio: Audio, lengths: Lengths = None) -> list[FeatureMap]:
        spectra = aligned_stft(audio, self.fft_size, lengths)
        parts = jnp.stack([spectra.real, spectra.imag], axis=-1)
        frames = None if lengths is None else _frame_count(lengths, self.fft_size)
        maps, ends = [], []
        for band, (low, high) in enumerate(pairwise(_band_edges(spectra.shape[2]))):
            x = parts[:, :, low:high]
            for i, (window, stride) in enumerate(_BAND_LAYERS):
                name = f"band_{band}_conv_{i}"
                conv = WeightNormConv(self.width, window, stride, self.dtype, name=name)
                x = _leaky(conv(mask_frames(x, frames)))
                maps.append(x)
            ends.append(x)
        output = WeightNormConv(1, (3, 3), 1, self.dtype, name="output")
        maps.append(output(mask_frames(jnp.concatenate(ends, axis=2), frames)))
        return [x.astype(jnp.float32) for x in maps]


# Kernels in frames and bins, and the stride in bins.
_BAND_LAYERS = (((3, 9), 1), ((3, 9), 2), ((3, 9), 2), ((3, 9), 2), ((3, 3), 1))


def _band_edges(bins: int) -> list[int]:
    return [int(edge * bins) for edge in BANDS]


def aligned_stft(
    audio: Audio, size: int, lengths: Lengths = None
) -> Complex[Array, "batch frames bins"]:
    """Spectra of ceil(time / hop) frames, hop = size // 4, for an even `size`.

    The published code takes its spectra from audiotools with `match_stride`, which pads the clip by
    reflection, lets torch.stft pad the result once more, and drops two frames at either end. What
    is left is one reflection: where the second reaches into a frame, it is by one sample, at which
    the periodic Hann window is zero.
    """
    hop = size // 4
    before = (size - hop) // 2 + size // 2 - 2 * hop
    # Behind it is enough for the last frame of any length; the surplus frames are cut off.
    padded = reflect_pad(audio, before, size - before, lengths)
    return stft(padded, size, hop, center=False)[:, : _frame_count(audio.shape[1], size)]


def _frame_count(samples: Count, size: int) -> Count:
    hop = size // 4
    return quotient(samples + hop - 1, hop)


class WeightNormConv(nn.Module):
    """Weight-normed convolution over the axes between batch and channels, zero-padded.

    Odd windows; the stride is that of the last axis. Initial values as in PyTorch, which DAC keeps.
    """

    features: int
    window: tuple[int, ...]
    stride: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Float[Array, "batch *axes c"]) -> Float[Array, "batch *outputs d"]:
        shape = (*self.window, x.shape[-1], self.features)
        init = torch_uniform(prod(shape[:-1]))
        kernel = self.param("kernel", init, shape)
        bias = self.param("bias", init, shape[-1:])
        scale = self.param(
            "scale", lambda _: jnp.sqrt(jnp.square(kernel).sum(axis=range(kernel.ndim - 1)))
        )
        kernel = normalized_kernel(kernel, scale).astype(self.dtype)
        y = _conv(x.astype(self.dtype), kernel, self.stride)
        return y + per_channel(bias.astype(self.dtype), y)


def _leaky(x: Array) -> Array:
    return jax.nn.leaky_relu(x, 0.1)


def _conv(x: Array, kernel: Array, stride: int) -> Array:
    if x.ndim == 4 and stride > 1 and lowerings().strided_spectra == "groups":
        return _conv_of_groups(x, kernel, stride)
    spatial = "HW"[: x.ndim - 2]
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(1,) * (x.ndim - 3) + (stride,),
        padding=[(width // 2, width // 2) for width in kernel.shape[:-2]],
        dimension_numbers=(f"N{spatial}C", f"{spatial}IO", f"N{spatial}C"),
    )


def _conv_of_groups(
    x: Float[Array, "b t f c"], kernel: Float[Array, "h w c d"], stride: int
) -> Float[Array, "b t g d"]:
    """The same with the bins of one stride as channels of a convolution without stride."""
    batch, frames, bins, channels = x.shape
    height, width = kernel.shape[:2]
    outputs, taps = -(-bins // stride), -(-width // stride)
    before = width // 2
    after = stride * (outputs + taps - 1) - before - bins
    x = jnp.pad(x, [(0, 0), (0, 0), (before, after), (0, 0)])
    x = x.reshape(batch, frames, outputs + taps - 1, stride * channels)
    kernel = jnp.pad(kernel, [(0, 0), (0, stride * taps - width), (0, 0), (0, 0)])
    return jax.lax.conv_general_dilated(
        x,
        kernel.reshape(height, taps, stride * channels, -1),
        window_strides=(1, 1),
        padding=[(height // 2, height // 2), (0, 0)],
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
