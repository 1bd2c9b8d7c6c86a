"""Figures: one look for all, readable in black and white, written completely or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, UInt8

from l3ac_jax.audio.spectra import magnitudes
from l3ac_jax.errors import OutputError
from l3ac_jax.system.files import check_output, complete_file
from l3ac_jax.system.packages import needs_extra

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

__all__ = ["LINES", "draw_spectrogram", "figure_image", "new_figure", "save_figure",
           "spectrogram_db", "spectrogram_image"]  # fmt: skip

Audio = Float[np.ndarray, " time"]

# Told apart by lightness and dashes, not by hue alone. The colours are Okabe and Ito's.
LINES: tuple[dict[str, object], ...] = (
    {"color": "#000000", "linestyle": "-", "marker": "o"},
    {"color": "#0072B2", "linestyle": "--", "marker": "s"},
    {"color": "#D55E00", "linestyle": "-.", "marker": "^"},
    {"color": "#56B4E9", "linestyle": ":", "marker": "D"},
    {"color": "#009E73", "linestyle": (0, (5, 1)), "marker": "v"},
    {"color": "#E69F00", "linestyle": (0, (3, 1, 1, 1)), "marker": "P"},
)
# Its lightness grows evenly: it reads the same in black and white.
COLOR_MAP = "magma"
FORMATS = {".png", ".pdf", ".svg"}

WINDOW_SECONDS = 0.032
RANGE_DB = 80.0


def new_figure(width: float = 9.0, height: float = 5.4, dpi: int = 100) -> Figure:
    """An empty figure, in inches. It needs no display, and nothing global refers to it."""
    with needs_extra("train", "a figure"):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    figure = Figure(figsize=(width, height), dpi=dpi, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def check_figure(path: str | os.PathLike[str], overwrite: bool) -> None:
    """Raise what `save_figure` would: OutputError, or MissingPackageError without matplotlib."""
    new_figure()
    check_output(path, overwrite)
    if Path(path).suffix.lower() not in FORMATS:
        raise OutputError(f"{path}: a figure's name ends with {', '.join(sorted(FORMATS))}")


def save_figure(figure: Figure, path: str | os.PathLike[str], overwrite: bool = True) -> None:
    """Write a PNG, PDF or SVG, the same bytes for the same figure. Raises OutputError."""
    check_figure(path, overwrite)
    ending = Path(path).suffix.lower().removeprefix(".")
    from matplotlib import rc_context

    # No dates and no random names, which would differ from one run to the next.
    dates = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
    with complete_file(path, overwrite) as part, rc_context({"svg.hashsalt": "l3ac"}):
        figure.savefig(part, format=ending, metadata=dates.get(ending))


def figure_image(figure: Figure) -> UInt8[np.ndarray, "height width 3"]:
    """What a figure looks like, as RGB."""
    canvas = figure.canvas
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()  # pyright: ignore


def spectrogram_db(
    audio: Audio, sample_rate: int, peak: float | None = None
) -> Float[np.ndarray, "bins frames"]:
    """Log magnitudes in dB from -80 to 0, which is `peak`, or the audio's own largest magnitude.

    Frames of 32 ms, a quarter of that apart, centred from the first sample on; Hann windows.
    """
    spectrum = _spectrum(audio, sample_rate)
    peak = peak or spectrum.max() or 1.0
    return 20 * np.log10(np.maximum(spectrum.T / peak, 10 ** (-RANGE_DB / 20)))


def draw_spectrogram(
    panel: Axes, audio: Audio, sample_rate: int, peak: float | None = None
) -> AxesImage:
    """Draw `spectrogram_db` with its axes labelled; the image is for a colour bar."""
    picture = panel.imshow(
        spectrogram_db(audio, sample_rate, peak),
        vmin=-RANGE_DB,
        vmax=0,
        cmap=COLOR_MAP,
        origin="lower",
        aspect="auto",
        extent=(0, len(audio) / sample_rate, 0, sample_rate / 2000),
    )
    panel.set_xlabel("time (s)")
    panel.set_ylabel("frequency (kHz)")
    return picture


def spectrogram_image(
    reference: Audio, decoded: Audio, sample_rate: int
) -> UInt8[np.ndarray, "height width 3"]:
    """RGB image of two log-magnitude spectrograms on one scale, 0 dB being the louder's peak."""
    figure = new_figure()
    peak = max(_spectrum(clip, sample_rate).max() for clip in (reference, decoded))
    panels = figure.subplots(2, sharex=True, sharey=True)
    for panel, title, clip in zip(
        panels, ("reference", "decoded"), (reference, decoded), strict=True
    ):
        picture = draw_spectrogram(panel, clip, sample_rate, peak)
        panel.set_title(title)
    panels[0].set_xlabel("")
    figure.colorbar(picture, ax=panels, label="magnitude (dB)")
    return figure_image(figure)


def _spectrum(audio: Audio, sample_rate: int) -> Float[np.ndarray, "frames bins"]:
    return magnitudes(np.nan_to_num(audio), round(WINDOW_SECONDS * sample_rate))
