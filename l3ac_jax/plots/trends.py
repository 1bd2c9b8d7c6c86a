"""The figure of TPooling: spectrum, waveform with its trends at several time scales, and a zoom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float

from l3ac_jax.errors import ArgumentError
from l3ac_jax.plots.figures import LINES, draw_spectrogram, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["TREND_SECONDS", "Trend", "draw_trends", "liveliest", "trends"]

Audio = Float[np.ndarray, " time"]

TREND_SECONDS = 0.01


class Trend(NamedTuple):
    """TPooling of a clip by one kernel."""

    kernel: int
    """in samples"""
    span: int
    """samples that one value depends on"""
    values: Audio
    correlation: float
    """with the level of the waveform: its RMS over 10 ms around each sample"""


def trends(audio: Audio, kernels: Sequence[int], sample_rate: int) -> list[Trend]:
    """TPooling as the network computes it. Raises ValueError for kernels that are not odd."""
    import jax.numpy as jnp

    from l3ac_jax.model.tpooling import pooling_reach, tpool

    for kernel in kernels:
        if kernel < 1 or kernel % 2 == 0:
            raise ArgumentError(f"kernels must be odd and 1 or more, got {kernel}")
    level = _level(audio, sample_rate)
    found = []
    for kernel in kernels:
        values = np.asarray(tpool(jnp.asarray(audio)[None], kernel)[0])
        span = 2 * pooling_reach(kernel) + 1
        found.append(Trend(kernel, span, values, _correlation(values, level)))
    return found


def liveliest(audio: Audio, length: int, sample_rate: int) -> int:
    """Where the `length` samples begin in which the level (RMS over 10 ms) varies most."""
    level = _level(audio, sample_rate)
    sums, squares = (np.cumsum(np.pad(level**power, (1, 0))) for power in (1, 2))
    means = (sums[length:] - sums[:-length]) / length
    return int(np.argmax((squares[length:] - squares[:-length]) / length - means**2))


def draw_trends(
    audio: Audio, found: Sequence[Trend], sample_rate: int, zoom: tuple[float, float], title: str
) -> Figure:
    """Spectrum, waveform with each of its trends, and the part that lies in `zoom`, in seconds."""
    figure = new_figure(10, 5.4 + 1.4 * len(found))
    figure.suptitle(title)
    heights = [1.6, *[1] * len(found), 2]
    spectrum, *panels, part = figure.subplots(len(heights), height_ratios=heights)
    picture = draw_spectrogram(spectrum, audio, sample_rate)
    spectrum.set_title("spectrum")
    figure.colorbar(picture, ax=spectrum, label="magnitude (dB)", pad=0.01)
    whole = (0, len(audio) / sample_rate)
    for panel, trend in zip(panels, found, strict=True):
        _draw_waveform(panel, audio, sample_rate, whole)
        panel.plot(np.arange(len(audio)) / sample_rate, trend.values, color="black", linewidth=0.7)
        panel.axvspan(*zoom, color="0.85", zorder=0)
        panel.set_xlabel("")  # as the panels around
        panel.set_title(f"waveform (grey) and its TPooling, {_name(trend, sample_rate)}")
    panels[-1].set_xlabel("time (s)")
    _draw_zoom(part, audio, found, sample_rate, zoom)
    return figure


def _draw_zoom(
    panel: Axes,
    audio: Audio,
    found: Sequence[Trend],
    sample_rate: int,
    zoom: tuple[float, float],
) -> None:
    part = _draw_waveform(panel, audio, sample_rate, zoom)
    time = np.arange(len(audio))[part] / sample_rate
    level = _level(audio, sample_rate)[part]
    panel.plot(time, level, color="0.35", linewidth=3, alpha=0.6, label="level: RMS over 10 ms")
    for trend, style in zip(found, LINES, strict=False):
        style = {**style, "marker": "", "linewidth": 1.4, "label": _name(trend, sample_rate)}
        panel.plot(time, trend.values[part], **style)  # pyright: ignore[reportArgumentType]
    first, last = (second / TREND_SECONDS for second in zoom)
    ticks = np.arange(np.ceil(first), np.floor(last) + 1) * TREND_SECONDS
    if len(ticks) <= 21:  # more would run into each other
        panel.set_xticks(ticks)
        panel.grid(axis="x", color="0.8")
    panel.set_title(f"the shaded part: {1000 * (zoom[1] - zoom[0]):g} ms, with a grid of 10 ms")
    panel.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=4, fontsize="small")


def _draw_waveform(
    panel: Axes, audio: Audio, sample_rate: int, seconds: tuple[float, float]
) -> slice:
    """Draws a part of the waveform, and gives its samples."""
    first, last = (round(second * sample_rate) for second in seconds)
    part = slice(first, last + 1)
    time = np.arange(len(audio))[part] / sample_rate
    panel.plot(time, audio[part], color="0.7", linewidth=0.8, label="waveform")
    panel.set_xlim(*seconds)
    panel.set_xlabel("time (s)")
    panel.set_ylabel("amplitude\n(full scale)")
    return part


def _name(trend: Trend, sample_rate: int) -> str:
    return f"K = {trend.kernel} ({1000 * trend.span / sample_rate:.1f} ms)"


def _level(audio: Audio, sample_rate: int) -> Audio:
    """RMS over 10 ms around each sample."""
    window = max(1, round(TREND_SECONDS * sample_rate))
    power = np.convolve(np.square(audio, dtype=np.float64), np.full(window, 1 / window), "same")
    return np.sqrt(np.maximum(power, 0))[: len(audio)]


def _correlation(one: Audio, other: Audio) -> float:
    """NaN where one of the two is constant."""
    if np.std(one) == 0 or np.std(other) == 0:
        return float("nan")
    return float(np.corrcoef(one, other)[0, 1])
