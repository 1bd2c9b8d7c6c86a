"""The figure of spectrograms: what each clip was, and what was decoded of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from l3ac_jax.evaluation.data_uris import spectrogram_peak
from l3ac_jax.plots.figures import draw_spectrogram, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_spectrograms"]

Audio = Float[np.ndarray, " time"]


def draw_spectrograms(
    clips: Mapping[str, Mapping[str, Audio]], sample_rate: int, title: str
) -> Figure:
    """A column for each clip, a row for each of what it has: the original first, by name.

    A second is equally wide everywhere; rates are in Hz. 0 dB is the loudest of each original.
    """
    rows = list(next(iter(clips.values())))
    figure = new_figure(12.0, 1.2 + 2.2 * len(rows))
    figure.suptitle(title)
    widths = [len(versions[rows[0]]) for versions in clips.values()]
    panels = figure.subplots(
        len(rows), len(clips), sharex="col", sharey=True, squeeze=False, width_ratios=widths
    )
    for column, (name, versions) in zip(panels.T, clips.items(), strict=True):
        peak = spectrogram_peak(versions[rows[0]], sample_rate)
        for panel, what in zip(column, rows, strict=True):
            picture = draw_spectrogram(panel, versions[what], sample_rate, peak)
            panel.label_outer()
        column[0].set_title(name, fontsize="medium")
    for panel, what in zip(panels[:, 0], rows, strict=True):
        panel.set_ylabel(f"{what}\nfrequency (kHz)")
    figure.colorbar(picture, ax=panels, label="magnitude (dB)", fraction=0.03)
    return figure
