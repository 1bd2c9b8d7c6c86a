"""The figure of training runs: losses and scores by step, from their metrics.jsonl."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float

from l3ac_jax.errors import CurvesError
from l3ac_jax.plots.figures import LINES, new_figure
from l3ac_jax.training.logs import METRICS_FILE, read_metrics

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Curve", "draw_curves", "read_curves"]

KINDS = TRAINING, EVALUATION = ("train", "evaluation")

TITLES = {
    "learning_rate": "learning rate",
    "gradient_norm": "norm of the gradient",
    "codebook_entropy": "entropy of the tokens (bits)",
    "codebook_usage": "share of the codebook in use",
    "stoi": "STOI",
    "pesq": "PESQ-WB",
    "loss": "loss",
    "mel": "mel distance",
    "stft": "STFT distance",
    "waveform": "waveform distance",
}


class Curve(NamedTuple):
    """One number of a run, by step."""

    steps: Float[np.ndarray, " n"]
    values: Float[np.ndarray, " n"]

    def smoothed(self, width: int) -> Curve:
        """Means over `width` consecutive values, at their mean step; all of them if fewer."""
        width = max(1, min(width, len(self.values)))
        kernel = np.full(width, 1 / width)
        return Curve(*(np.convolve(x, kernel, mode="valid") for x in self))


Curves = Mapping[tuple[str, str], Curve]
"""By kind (train, evaluation) and name."""


def read_curves(run: str | os.PathLike[str]) -> Curves:
    """All numbers of the folder of a training run. What a resumed run did twice counts once.

    Raises CurvesError for a folder without metrics.jsonl, or a damaged line before the last.
    """
    path = Path(run) / METRICS_FILE
    if not path.is_file():
        raise CurvesError(f"{run}: is no training run: it has no {METRICS_FILE}")
    found: dict[tuple[str, str], dict[int, float]] = {}
    try:
        entries = read_metrics(path)
    except ValueError as error:
        raise CurvesError(str(error)) from None
    for entry in entries:
        for name in entry.keys() - {"step", "kind", "time"}:
            found.setdefault((entry["kind"], name), {})[entry["step"]] = entry[name]
    return {
        key: Curve(*(np.array(x, np.float64) for x in zip(*sorted(points.items()), strict=True)))
        for key, points in found.items()
    }


def draw_curves(runs: Mapping[str, Curves], names: Sequence[str], width: int) -> Figure:
    """A panel for each of `names`, by step: means over `width` steps of training that were logged.

    Values of training are lines, those of evaluation have marks, beside each other where there are
    both. Raises CurvesError where no run has one of the names.
    """
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure = new_figure(4.4 * columns, 3.2 * rows)
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True).ravel()
    for panel, name in zip(panels, names, strict=False):
        if not any((kind, name) in curves for curves in runs.values() for kind in KINDS):
            known = sorted({known for curves in runs.values() for _, known in curves})
            raise CurvesError(f"no run has {name!r}; there are {', '.join(known)}")
        for (label, curves), style in zip(runs.items(), LINES, strict=False):
            look = {key: value for key, value in style.items() if key != "marker"}
            if curve := curves.get((TRAINING, name)):
                smooth = curve.smoothed(width)
                panel.plot(smooth.steps, smooth.values, linewidth=1, label=label, **look)
            if curve := curves.get((EVALUATION, name)):
                panel.plot(
                    curve.steps, curve.values, markersize=4, label=f"{label}, evaluation", **style
                )
        panel.set_title(TITLES.get(name, name))
        panel.grid(alpha=0.3)
        panel.set_xlabel("step")
    for panel in panels[len(names) :]:
        panel.set_visible(False)
    handles = {label: handle for panel in panels for handle, label in zip(
        *panel.get_legend_handles_labels(), strict=True)}  # fmt: skip
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3)
    return figure
