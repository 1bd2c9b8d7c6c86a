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
    clips: Mapping[str, tuple[Audio, Audio]], sample_rate: int, title: str
) -> Figure:
    """Originals above, decoded audio below, a second of each equally wide; rates in Hz.

    0 dB is the loudest of each original.
    """
    figure = new_figure(12.0, 5.6)
    figure.suptitle(title)
    widths = [len(original) for original, _ in clips.values()]
    panels = figure.subplots(
        2, len(clips), sharex="col", sharey=True, squeeze=False, width_ratios=widths
    )
    for column, (name, pair) in zip(panels.T, clips.items(), strict=True):
        peak = spectrogram_peak(pair[0], sample_rate)
        for panel, audio, what in zip(column, pair, ("original", "decoded"), strict=True):
            picture = draw_spectrogram(panel, audio, sample_rate, peak)
            panel.set_title(f"{name}, {what}")
            panel.label_outer()
    figure.colorbar(picture, ax=panels, label="magnitude (dB)")
    return figure
