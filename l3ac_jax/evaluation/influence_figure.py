"""The figure of receptive fields: derivatives over the clip, and influence by distance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from l3ac_jax.evaluation.influence import Influence
from l3ac_jax.evaluation.perturbation import Measured
from l3ac_jax.plots.figures import LINES, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_influence"]

POINTS = 1200  # drawn of a clip: more than there are pixels would only blur
SMALLEST_SHARE = 1e-5


def draw_influence(
    measured: Measured, token: int, sample: int, sample_rate: int, title: str
) -> Figure:
    """Above: |dz_q[token]/dx| and |dy[sample]/dx|. Below: the share of influence by distance."""
    figure = new_figure(10.5, 8.4)
    figure.suptitle(title)
    token_panel, sample_panel, distance_panel = figure.subplots(3)
    _draw_derivatives(token_panel, {"": measured.token}, sample_rate)
    token_panel.set_title(f"token frame {token}")
    token_panel.set_ylabel("|dz_q[n] / dx|\nover features")
    _draw_derivatives(
        sample_panel,
        {"as decoded": measured.sample, "norms' statistics held": measured.sample_held},
        sample_rate,
    )
    sample_panel.set_title(f"decoded sample {sample:,}")
    sample_panel.set_ylabel("|dy[t] / dx|")
    _draw_distances(distance_panel, measured, sample_rate)
    return figure


def _draw_derivatives(panel: Axes, influences: dict[str, Influence], sample_rate: int) -> None:
    """The largest of a few neighbours, and the structural field, where it has bounds, in grey."""
    peak = 0.0
    for (label, influence), style in zip(influences.items(), LINES, strict=False):
        derivatives = np.sqrt(influence.squares)
        peak = max(peak, derivatives.max())
        width = -(-len(derivatives) // POINTS)
        padded = np.pad(derivatives, (0, -len(derivatives) % width))
        points = padded.reshape(-1, width).max(axis=1)
        where = (np.arange(len(points)) + 0.5) * width
        points[points == 0] = np.nan  # no line where the derivative is exactly zero
        style = {**style, "marker": "", "linewidth": 1.0, "label": label}
        panel.plot(where, points, **style)  # pyright: ignore[reportArgumentType]
    influence = list(influences.values())[-1]
    inside = influence.field.inside(len(influence.squares))
    panel.axvspan(
        inside.start, inside.stop, color="0.9", zorder=0, label=_bounds(inside, len(influences))
    )
    own = influence.field.own
    panel.axvline((own.first + own.last) / 2, color="0.3", linewidth=1.0, linestyle=":")
    panel.set_yscale("log")
    if peak:
        panel.set_ylim(peak * 1e-9, peak * 3)
    panel.set_xlim(0, len(influence.squares))
    panel.set_xlabel("input sample")
    panel.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    panel.legend(loc="lower right")
    _second_scale(panel, "s", sample_rate)


def _bounds(inside: slice, lines: int) -> str:
    held = ", statistics held" if lines > 1 else ""
    return f"structural field{held}: {inside.start:,} to {inside.stop - 1:,}"


def _draw_distances(panel: Axes, measured: Measured, sample_rate: int) -> None:
    named = (
        ("token, before", measured.token, False),
        ("token, after", measured.token, True),
        ("sample, before", measured.sample, False),
        ("sample, after", measured.sample, True),
        ("sample, after, statistics held", measured.sample_held, True),
    )
    for (label, influence, ahead), style in zip(named, LINES, strict=False):
        shares = influence.beyond(ahead)
        distances = np.unique(np.geomspace(1, max(len(shares), 1), 400).astype(int))
        shown = shares[distances - 1] if len(shares) else np.zeros(len(distances))
        # Only as far as there is any: a line straight down says where it ends.
        shown = np.maximum(shown, SMALLEST_SHARE / 10)
        style = {**style, "markevery": 40, "markersize": 4, "label": label}
        panel.plot(distances, shown, **style)  # pyright: ignore[reportArgumentType]
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_ylim(SMALLEST_SHARE, 1.5)
    panel.set_xlim(1, None)
    panel.set_title("share of the influence that lies at least so far away")
    panel.set_xlabel("distance from the token's hop, or from the sample (samples)")
    panel.set_ylabel("share of squared\nderivatives")
    panel.grid(alpha=0.3)
    panel.legend(loc="lower left", ncols=2)
    _second_scale(panel, "ms", sample_rate / 1000)


def _second_scale(panel: Axes, unit: str, samples: float) -> None:
    """The same scale above, in a unit of so many samples."""
    functions: Any = (lambda x: x / samples, lambda x: x * samples)
    panel.secondary_xaxis("top", functions=functions).set_xlabel(unit, loc="right")
