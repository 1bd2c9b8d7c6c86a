"""The bubble chart of codecs: rate, quality and, as area, complexity."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from l3ac_jax.evaluation.comparison import ComparisonRow
from l3ac_jax.evaluation.report import METRICS
from l3ac_jax.plots.figures import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.figure import Figure

__all__ = ["draw_comparison"]

# Area in square points of 1 GMAC/s: the largest published bubble is then 1.4 cm wide.
AREA = 30.0
SIZES = (1, 5, 20)
UNKNOWN_AREA = 45.0

MEASURED: dict[str, Any] = {"facecolor": "#0072B2", "edgecolor": "black", "linewidth": 2.0}
PUBLISHED: dict[str, Any] = {"facecolor": "none", "edgecolor": "#333333", "linewidth": 1.2}
# Of published bubbles, by how many quantizers there are.
OUTLINES = {"one": "--", "several": ":", None: "-."}
QUANTIZERS = {
    "one": "published, one quantizer",
    "several": "published, several quantizers",
    None: "published, number of quantizers not said",
}
# Diameter in points from which a name fits inside.
ROOMY = 28


def draw_comparison(rows: Sequence[ComparisonRow], metrics: Sequence[str]) -> Figure:
    """One panel a metric. Filled: measured here, with 95 % intervals; broken outline: published.

    Diamonds of one size are codecs whose complexity is not known.
    """
    figure = new_figure(1.5 + 5.5 * len(metrics), 6.6)
    panels = figure.subplots(1, len(metrics), squeeze=False)[0]
    for panel, metric in zip(panels, metrics, strict=True):
        _draw_panel(panel, [row for row in rows if metric in row.scores], metric)
    figure.legend(
        handles=_legend(panels[0], rows), loc="outside lower center", ncols=2, frameon=False,
        labelspacing=1.3, handlelength=4, borderpad=1,
    )  # fmt: skip
    return figure


def _draw_panel(panel: Axes, rows: Sequence[ComparisonRow], metric: str) -> None:
    for measured in (False, True):
        group = [row for row in rows if row.measured == measured]
        for codec in dict.fromkeys(row.codec for row in group):
            _draw_codec(panel, [row for row in group if row.codec == codec], metric)
    title, unit, better, _ = METRICS[metric]
    panel.set_xscale("log")
    ticks = [250, 500, 1000, 2000, 4000, 8000, 16000, 32000]
    rates = [row.bitrate for row in rows] or [1000]
    low, high = min(rates) / 1.4, max(rates) * 1.6
    panel.set_xlim(low, high)
    shown = [tick for tick in ticks if low <= tick <= high]
    panel.set_xticks(shown, [f"{tick:,}" for tick in shown])
    panel.minorticks_off()
    panel.set_xlabel("rate (bit/s)")
    panel.set_ylabel(f"{title}{f' ({unit})' if unit else ''}, {better} is better")
    panel.grid(alpha=0.3)
    panel.margins(y=0.12)


def _draw_codec(panel: Axes, rows: Sequence[ComparisonRow], metric: str) -> None:
    rows = sorted((row for row in rows if metric in row.scores), key=lambda row: row.bitrate)
    if not rows:
        return
    rates = [row.bitrate for row in rows]
    scores = [row.scores[metric] for row in rows]
    means = [score.mean for score in scores]
    for row, mean in zip(rows, means, strict=True):
        panel.scatter(row.bitrate, mean, zorder=2 + row.measured, **_bubble(row))
    if rows[0].measured:
        errors = [[s.mean - s.low for s in scores], [s.high - s.mean for s in scores]]
        panel.errorbar(
            rates, means, errors, fmt="none", ecolor="black", elinewidth=1, capsize=3, zorder=4
        )
        for row, mean in zip(rows, means, strict=True):
            _label(panel, row, mean, Path(row.point).name, (6, -10), weight="bold")
    else:
        panel.plot(rates, means, "-", color="#BBBBBB", linewidth=0.8, zorder=1)
        diameter = _bubble(rows[0])["s"] ** 0.5
        inside = diameter > ROOMY
        _label(
            panel, rows[0], means[0], rows[0].codec, (0, 0 if inside else -diameter / 2 - 2),
            ha="center", va="center" if inside else "top",
        )  # fmt: skip


def _bubble(row: ComparisonRow) -> dict[str, Any]:
    """How a row is drawn: matplotlib's arguments of a scatter plot."""
    style = MEASURED if row.measured else PUBLISHED | {"linestyle": OUTLINES[row.quantizers]}
    if row.gmac is None:
        return style | {"s": UNKNOWN_AREA, "marker": "D", "facecolor": "white"}
    return style | {"s": AREA * row.gmac, "marker": "o"}


def _label(
    panel: Axes,
    row: ComparisonRow,
    score: float,
    text: str,
    offset: tuple[float, float],
    **style: Any,
) -> None:
    panel.annotate(
        text, (row.bitrate, score), offset, textcoords="offset points", fontsize="small", zorder=5,
        **style,
    )  # fmt: skip


def _legend(panel: Axes, rows: Sequence[ComparisonRow]) -> list[PathCollection]:
    """What fills, outlines and sizes mean, and on what the scores were measured."""

    def sample(label: str, row: ComparisonRow, gmac: float | None) -> PathCollection:
        return panel.scatter([], [], label=label, **_bubble(row._replace(gmac=gmac)))

    handles = []
    for measured, quantizers in ((True, None), *((False, number) for number in QUANTIZERS)):
        group = [
            row
            for row in rows
            if row.measured == measured and (measured or row.quantizers == quantizers)
        ]
        if group:
            sets = "; ".join(dict.fromkeys(row.test_set for row in group))
            words = "measured here" if measured else QUANTIZERS[quantizers]
            handles.append(sample(f"{words}: {sets}", group[0], SIZES[1]))
    unknown = [row for row in rows if row.gmac is None]
    if unknown:
        handles.append(sample("complexity not known", unknown[0], None))
    published = next((row for row in rows if not row.measured), rows[0])
    return handles + [sample(f"area of {size} GMAC/s", published, size) for size in SIZES]
