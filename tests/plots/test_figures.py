"""Spectrograms show what is in the audio; figures are written the same each time."""

import numpy as np
import pytest
from matplotlib import colormaps

from l3ac_jax.errors import OutputError
from l3ac_jax.plots.figures import new_figure, save_figure, spectrogram_db, spectrogram_image

RATE = 16000


def tone(frequency):
    return np.float32(0.5 * np.sin(2 * np.pi * frequency * np.arange(8000) / RATE))


@pytest.fixture(scope="module")
def rows():
    """How much lighter than for silence the rows of an image are: its upper half, its lower."""
    silence = np.zeros(8000, np.float32)
    dark = spectrogram_image(silence, silence, RATE)[:, 100:700].astype(float)

    def rows(reference, decoded):
        light = spectrogram_image(reference, decoded, RATE)[:, 100:700]
        return np.split((light - dark).mean(axis=(1, 2)), 2)

    return rows


def test_a_tone_is_at_its_frequency(rows):
    tones = [rows(tone(frequency), tone(frequency)) for frequency in (1000, 4000, 7000)]
    for half in (0, 1):
        low, middle, high = (pair[half].argmax() for pair in tones)
        assert low - middle == pytest.approx(middle - high, abs=2)
        assert low - high > 150


def test_both_spectrograms_have_one_scale(rows):
    loud, quiet = rows(tone(2000), 0.01 * tone(2000))
    assert loud.max() == pytest.approx(np.mean(colormaps["magma"](1.0)[:3]) * 255, abs=15)
    assert quiet.max() == pytest.approx(np.mean(colormaps["magma"](0.5)[:3]) * 255, abs=15)
    _, silent = rows(tone(2000), np.zeros(8000, np.float32))
    assert not silent.any()


def test_levels_are_in_decibels_below_the_peak():
    levels = spectrogram_db(tone(4000) + 0.01 * tone(1000), RATE)
    middle = levels[:, levels.shape[1] // 2]
    # Bins of 31.25 Hz.
    assert middle[128] == pytest.approx(0, abs=0.1)
    assert middle[32] == pytest.approx(-40, abs=0.1)
    assert middle[200] == -80


@pytest.mark.parametrize("ending", ["png", "pdf", "svg"])
def test_the_same_figure_is_the_same_file(tmp_path, ending):
    for name in ("one", "two"):
        figure = new_figure(3, 2)
        figure.subplots().plot([1, 2], [3, 1])
        save_figure(figure, tmp_path / f"{name}.{ending}")
    one, two = ((tmp_path / f"{name}.{ending}").read_bytes() for name in ("one", "two"))
    assert one == two


def test_what_exists_is_kept_and_other_endings_are_refused(tmp_path):
    (tmp_path / "there.png").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"there\.png: already exists"):
        save_figure(new_figure(), tmp_path / "there.png", overwrite=False)
    with pytest.raises(OutputError, match=r"figure\.jpg: a figure's name ends with \.pdf, \.png"):
        save_figure(new_figure(), tmp_path / "figure.jpg")
    assert (tmp_path / "there.png").read_bytes() == b"mine"
