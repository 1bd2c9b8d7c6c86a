"""What an ablation found: scores by variant, as a table, a file for other programs and a figure."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel
from rich.box import SIMPLE
from rich.table import Table

from l3ac_jax.evaluation.report import ALL, METRICS, Interval, Report, confidence_interval
from l3ac_jax.plots.figures import new_figure
from l3ac_jax.system.files import complete_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "AblationRow",
    "VariantScore",
    "draw_rows",
    "make_rows",
    "make_table",
    "write_csv",
    "write_json",
]

PANELS_ACROSS = 3


class VariantScore(BaseModel, frozen=True):
    """One metric of one variant.

    `runs` are the means over the clips, one a seed, `mean` is theirs and `spread` their standard
    deviation (None of a single one). `interval` and `difference` (to the baseline, clip by clip)
    are of the clips' means over the seeds: their confidence intervals are over clips, and say
    nothing of other seeds. None where a metric is not one of clips.
    """

    runs: tuple[float, ...]
    mean: float
    spread: float | None
    interval: Interval | None = None
    difference: Interval | None = None


class AblationRow(BaseModel, frozen=True):
    """One variant; `scores` by metric."""

    variant: str
    parameters: int | None
    scores: dict[str, VariantScore]


def make_rows(
    reports: Mapping[str, Sequence[Report]], baseline: str, seed: int = 0
) -> list[AblationRow]:
    """The scores of each variant, whose reports are one a seed, of one codec on all clips.

    `baseline` is the variant that the others are compared with; without a report of it there are no
    differences. `seed` is of the intervals.
    """
    clips = {variant: _clip_scores(of_variant) for variant, of_variant in reports.items()}
    return [
        AblationRow(
            variant=variant,
            parameters=of_variant[0].codecs[0].parameters,
            scores={
                metric: score
                for metric in METRICS
                if (
                    score := _score(
                        clips[variant].get(metric, {}),
                        clips[baseline].get(metric, {})
                        if baseline in clips and variant != baseline
                        else {},
                        seed,
                    )
                    or _codebook_score(of_variant, metric)
                )
            },
        )
        for variant, of_variant in reports.items()
        if of_variant
    ]


def make_table(rows: Sequence[AblationRow], metrics: Sequence[str]) -> Table:
    """Means, below them their spread over the seeds and the differences to the baseline."""
    table = Table(
        title="ablation",
        box=SIMPLE,
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
        caption=_caption(rows),
        caption_justify="left",
    )
    table.add_column("variant", no_wrap=True)
    for metric in metrics:
        title, unit, better, _ = METRICS[metric]
        arrow = {"higher": " ↑", "lower": " ↓", "neither": ""}[better]
        header = f"{title}{f' ({unit})' if unit else ''}{arrow}"
        table.add_column(header, justify="right", min_width=max(map(len, header.split())))
    for row in rows:
        cells = (_cell(row.scores.get(metric), METRICS[metric].decimals) for metric in metrics)
        table.add_row(row.variant, *cells, end_section=True)
    return table


def write_json(
    path: str | os.PathLike[str], rows: Sequence[AblationRow], about: Mapping[str, Any]
) -> None:
    """Write all scores, and `about`, in place of an earlier file. Raises OutputError."""
    content = {**about, "rows": [row.model_dump(mode="json") for row in rows]}
    with complete_file(path, overwrite=True) as part:
        part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def write_csv(path: str | os.PathLike[str], rows: Sequence[AblationRow]) -> None:
    """Write a line for each variant and metric, in place of an earlier file. Raises OutputError."""
    with (
        complete_file(path, overwrite=True) as part,
        part.open("w", encoding="utf-8", newline="") as file,
    ):
        table = csv.writer(file)
        table.writerow(
            ["variant", "parameters", "metric", "unit", "seeds", "mean", "spread", "low", "high",
             "difference", "difference_low", "difference_high"]
        )  # fmt: skip
        for row in rows:
            for metric, score in row.scores.items():
                limits = [
                    score.interval and score.interval.low,
                    score.interval and score.interval.high,
                ]
                change = score.difference
                changes = [None] * 3 if change is None else [change.mean, change.low, change.high]
                values = [score.mean, score.spread, *limits, *changes]
                shown = ["" if value is None else f"{value:.6g}" for value in values]
                table.writerow(
                    [
                        row.variant,
                        row.parameters,
                        metric,
                        METRICS[metric].unit,
                        len(score.runs),
                        *shown,
                    ]
                )


def draw_rows(rows: Sequence[AblationRow], metrics: Sequence[str]) -> Figure:
    """One panel a metric, one line a variant: its mean, the interval over clips, each seed."""
    across = min(PANELS_ACROSS, len(metrics))
    down = -(-len(metrics) // across)
    height = down * (1.1 + 0.32 * len(rows)) + 0.5
    figure = new_figure(2.0 + 3.3 * across, height)
    panels = figure.subplots(down, across, sharey=True, squeeze=False).flat
    for panel, metric in zip(panels, metrics, strict=False):
        _draw_panel(panel, rows, metric)
    for panel in list(panels)[len(metrics) :]:
        panel.set_visible(False)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    return figure


def _draw_panel(panel: Axes, rows: Sequence[AblationRow], metric: str) -> None:
    title, unit, better, _ = METRICS[metric]
    places = [place for place, row in enumerate(rows) if metric in row.scores]
    scores = [rows[place].scores[metric] for place in places]
    if 0 in places:
        panel.axvline(scores[0].mean, color="#888888", linestyle="--", linewidth=1,
                      label=f"mean of {rows[0].variant}")  # fmt: skip
    seeds = [(run, place) for score, place in zip(scores, places, strict=True)
             for run in score.runs if len(score.runs) > 1]  # fmt: skip
    if seeds:
        panel.scatter(*zip(*seeds, strict=True), s=26, facecolor="white", edgecolor="black",
                      linewidth=0.8, label="each seed", zorder=2)  # fmt: skip
    for score, place in zip(scores, places, strict=True):
        if score.interval is not None:
            panel.plot([score.interval.low, score.interval.high], [place, place],
                       color="black", linewidth=1.4, zorder=1)  # fmt: skip
    panel.plot([score.mean for score in scores], places, "D", color="#0072B2",
               markeredgecolor="black", markersize=6, label="mean, 95 % interval over clips",
               zorder=3)  # fmt: skip
    panel.set_xlabel(f"{title}{f' ({unit})' if unit else ''}" + (
        "" if better == "neither" else f", {better} is better"))  # fmt: skip
    panel.set_yticks(range(len(rows)), [row.variant for row in rows])
    panel.set_ylim(len(rows) - 0.5, -0.5)
    panel.locator_params(axis="x", nbins=5)
    panel.grid(axis="x", alpha=0.3)


def _clip_scores(reports: Sequence[Report]) -> dict[str, dict[str, list[float]]]:
    """By metric and clip the scores of all runs, of clips that have one in each."""
    found: dict[str, dict[str, list[float]]] = {}
    for report in reports:
        for clip in report.clips:
            for metric, value in clip.scores.items():
                if value is not None:
                    found.setdefault(metric, {}).setdefault(clip.clip, []).append(value)
    return {
        metric: {clip: values for clip, values in clips.items() if len(values) == len(reports)}
        for metric, clips in found.items()
    }


def _score(
    clips: Mapping[str, Sequence[float]], baseline: Mapping[str, Sequence[float]], seed: int
) -> VariantScore | None:
    if not clips:
        return None
    runs = np.array(list(clips.values())).mean(axis=0)
    shared = [clip for clip in clips if clip in baseline]
    differences = [float(np.mean(clips[clip]) - np.mean(baseline[clip])) for clip in shared]
    return VariantScore(
        runs=tuple(runs.tolist()),
        mean=runs.mean(),
        spread=_spread(runs),
        interval=confidence_interval([float(np.mean(values)) for values in clips.values()], seed),
        difference=confidence_interval(differences, seed),
    )


def _codebook_score(reports: Sequence[Report], metric: str) -> VariantScore | None:
    summaries = [report.summary(report.codecs[0].name, ALL) for report in reports]
    if not all(metric in summary.codebook for summary in summaries):
        return None
    runs = np.array([summary.codebook[metric] for summary in summaries])
    return VariantScore(runs=tuple(runs.tolist()), mean=runs.mean(), spread=_spread(runs))


def _spread(runs: np.ndarray) -> float | None:
    return float(runs.std(ddof=1)) if len(runs) > 1 else None


def _cell(score: VariantScore | None, decimals: int) -> str:
    if score is None:
        return "-"
    text = f"{score.mean:.{decimals}f}"
    if score.spread is not None:
        text += f"\n±{score.spread:.{decimals}f}"
    if (change := score.difference) is not None:
        clear = "" if change.low <= 0 <= change.high else "*"
        text += f"\n{change.mean:+z.{decimals}f}{clear}"
    return text


def _caption(rows: Sequence[AblationRow]) -> str:
    words = ["± standard deviation over the seeds"]
    if len(rows) > 1:
        words.append(
            f"with a sign: difference to {rows[0].variant}, clip by clip (* its 95 % interval over "
            "clips is without 0)"
        )
    return "; ".join(words)
