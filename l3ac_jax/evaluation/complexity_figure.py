"""The figure of complexity: where the operations are, and how fast they are done."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any, NamedTuple

from l3ac_jax.evaluation.complexity import PARTS, Complexity
from l3ac_jax.plots.figures import LINES, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["ModelResult", "Speed", "draw_complexity", "part_name"]

# From dark to light, so that neighbours differ in print as well; hatches tell the rest apart.
FILLS: tuple[dict[str, Any], ...] = (
    {"color": "#333333", "hatch": ""},
    {"color": "#E69F00", "hatch": "//"},
    {"color": "#FFFFFF", "hatch": "xx"},
    {"color": "#56B4E9", "hatch": "\\\\"},
    {"color": "#EEEEEE", "hatch": ".."},
)
# Of markers, by the number of clips.
MARKER_FILLS = ("full", "none", "left", "top")


class Speed(NamedTuple):
    """Of a batch of clips; real-time factors are seconds of computing for a second of audio."""

    seconds: float
    """Length of each clip."""
    batch: int
    encode: float | None = None
    decode: float | None = None
    memory_mib: float | None = None
    """What encoding and decoding add at their peak to the process, or hold on the device."""
    device: str = ""
    failure: str | None = None


class ModelResult(NamedTuple):
    """What was found of one model."""

    name: str
    complexity: Complexity
    published_gmac: float | None
    """GMAC for a second of audio, as published."""
    speeds: tuple[Speed, ...] = ()


def part_name(part: str) -> str:
    """A part's name in words."""
    return part.replace("_", " ")


def draw_complexity(results: Sequence[ModelResult]) -> Figure:
    """Stacked bars of each model's multiply-accumulates by part, and real-time factors if known."""
    timed = any(speed.encode is not None for result in results for speed in result.speeds)
    bars = 1.4 + 0.75 * len(results)
    figure = new_figure(9, bars + (4.6 if timed else 0.6))
    grid = figure.add_gridspec(2 if timed else 1, 2, height_ratios=[bars, 3.4] if timed else None)
    _draw_bars(figure.add_subplot(grid[0, :]), results)
    if timed:
        encode = figure.add_subplot(grid[1, 0])
        _draw_speed(encode, results, "encode")
        _draw_speed(figure.add_subplot(grid[1, 1], sharey=encode), results, "decode")
        devices = sorted({speed.device for r in results for speed in r.speeds if speed.device})
        figure.legend(
            *encode.get_legend_handles_labels(), loc="outside lower center", ncols=4,
            title=f"measured on: {'; '.join(devices)}", frameon=False,
        )  # fmt: skip
    return figure


def _draw_bars(panel: Axes, results: Sequence[ModelResult]) -> None:
    labels = []
    for row, result in enumerate(results):
        counts = (("formula", result.complexity.formula), ("XLA", result.complexity.xla))
        for offset, (name, count) in enumerate(counts):
            place = -(row + 0.4 * offset)
            labels.append((place, f"{result.name}, {name}"))
            _draw_bar(panel, place, count, labelled=row == offset == 0)
    published = [(r.published_gmac, -row) for row, r in enumerate(results) if r.published_gmac]
    if published:
        panel.plot(
            *zip(*published, strict=True), "D", color="white", markeredgecolor="black",
            label="total, as published",
        )  # fmt: skip
    panel.set_yticks([place for place, _ in labels], [label for _, label in labels])
    panel.set_xlabel("GMAC per second of audio")
    panel.set_title("where the operations are")
    panel.margins(y=0.03)
    panel.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)


def _draw_bar(panel: Axes, place: float, count: dict[str, float], labelled: bool) -> None:
    left = 0.0
    for part, fill in zip(PARTS, FILLS, strict=True):
        width = count[part] / 1e9
        panel.barh(
            place, width, 0.34, left, edgecolor="black", linewidth=0.6, **fill,
            label=part_name(part) if labelled else None,
        )  # fmt: skip
        left += width


def _draw_speed(panel: Axes, results: Sequence[ModelResult], direction: str) -> None:
    for number, result in enumerate(results):
        style: dict[str, Any] = LINES[number % len(LINES)]
        batches = sorted({speed.batch for speed in result.speeds})
        for fill, batch in zip(cycle(MARKER_FILLS), batches, strict=False):
            found = [
                (speed.seconds, value)
                for speed in sorted(result.speeds, key=lambda speed: speed.seconds)
                if speed.batch == batch and (value := getattr(speed, direction)) is not None
            ]
            clips = "1 clip" if batch == 1 else f"{batch} clips"
            if found:
                label = f"{result.name}, {clips}"
                panel.plot(*zip(*found, strict=True), **style, fillstyle=fill, label=label)
    panel.set_xscale("log")
    panel.set_yscale("log")
    lengths = sorted({speed.seconds for result in results for speed in result.speeds})
    panel.set_xticks(lengths, [f"{length:g}" for length in lengths], minor=False)
    panel.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
    for axis in (panel.yaxis.set_major_formatter, panel.yaxis.set_minor_formatter):
        axis("{x:g}")
    panel.set_xlabel("length of each clip (s)")
    panel.set_ylabel("real-time factor (s of computing / s)")
    panel.set_title(direction)
    panel.grid(alpha=0.3, which="both")
