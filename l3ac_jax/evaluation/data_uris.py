"""Audio and spectrograms as data: URIs, so that a page carries them itself."""

from __future__ import annotations

import base64
import io

import numpy as np
import soundfile
from jaxtyping import Float

from l3ac_jax.plots.figures import COLOR_MAP, RANGE_DB, spectrogram_db

__all__ = ["audio_uri", "color_scale", "spectrogram_peak", "spectrogram_uri"]

Audio = Float[np.ndarray, " time"]

# As large as it is shown on a laptop; a finer picture only makes the page larger.
WIDTH, HEIGHT = 720, 128
# Steps of 1.25 dB are not seen, and take half the bytes of all 256.
COLORS = 64


def audio_uri(audio: Audio, sample_rate: int) -> str:
    """16-bit FLAC: nothing lossy is added, and it is about half as large as WAV.

    Chromium, Firefox and Safari play it. What lies beyond [-1, 1] is clipped.
    """
    file = io.BytesIO()
    soundfile.write(file, np.clip(audio, -1, 1), sample_rate, "PCM_16", format="FLAC")
    return _uri("audio/flac", file)


def spectrogram_peak(audio: Audio, sample_rate: int) -> float:
    """The largest magnitude, at least that of near silence: the 0 dB of `spectrogram_uri`."""
    return 10 ** (spectrogram_db(audio, sample_rate, peak=1.0).max() / 20)


def spectrogram_uri(audio: Audio, sample_rate: int, peak: float) -> str:
    """PNG of `spectrogram_db` without axes: time to the right, up to half the sample rate."""
    from PIL import Image

    decibels = np.minimum(spectrogram_db(audio, sample_rate, peak)[::-1], 0)
    levels = np.round((1 + decibels / RANGE_DB) * 255).astype(np.uint8)
    bins, frames = levels.shape
    size = min(frames, WIDTH), min(bins, HEIGHT)
    smaller = np.asarray(Image.fromarray(levels).resize(size, Image.Resampling.BOX))
    picture = Image.fromarray(smaller // (256 // COLORS))
    picture.putpalette(np.round(_colors(COLORS) * 255).astype(np.uint8).tobytes())
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return _uri("image/png", file)


def color_scale(steps: int) -> list[str]:
    """The spectrograms' colours as #rrggbb, from the faintest to the loudest."""
    from matplotlib.colors import to_hex

    return [to_hex(color) for color in _colors(steps)]


def _colors(steps: int) -> Float[np.ndarray, "steps 3"]:
    from matplotlib import colormaps

    return colormaps[COLOR_MAP](np.linspace(0, 1, steps))[:, :3]


def _uri(kind: str, file: io.BytesIO) -> str:
    return f"data:{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
