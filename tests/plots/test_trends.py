"""TPooling beside the level that it follows."""

import numpy as np
import pytest

from l3ac_jax.plots.trends import draw_trends, liveliest, trends

RATE = 16000


@pytest.fixture(scope="module")
def swelling():
    """Half a second of 1 kHz whose level goes up and down every 50 ms."""
    time = np.arange(RATE // 2) / RATE
    level = 0.5 * (1 + np.sin(2 * np.pi * 20 * time))
    return (level * np.sin(2 * np.pi * 1000 * time)).astype(np.float32)


def test_trends_follow_the_level_that_the_waveform_hides(swelling):
    wave, short, long = trends(swelling, (1, 21, 81), RATE)
    assert [trend.span for trend in (wave, short, long)] == [1, 41, 161]
    np.testing.assert_array_equal(wave.values, swelling)
    assert abs(wave.correlation) < 0.1
    # Windows of 1.3 and 5 ms hold a whole period of |x|, 0.5 ms: only the level is left.
    assert short.correlation > 0.98 and long.correlation > 0.98


def test_an_impulse_spreads_over_the_span():
    impulse = np.zeros(401, np.float32)
    impulse[200] = 1
    (trend,) = trends(impulse, (45,), RATE)
    assert np.flatnonzero(trend.values)[[0, -1]].tolist() == [200 - 44, 200 + 44]
    assert trend.span == 89


def test_silence_has_no_correlation():
    (trend,) = trends(np.zeros(400, np.float32), (5,), RATE)
    assert np.isnan(trend.correlation)


def test_kernels_are_odd(swelling):
    for kernel in (0, -3, 10):
        with pytest.raises(ValueError, match=f"odd and 1 or more, got {kernel}"):
            trends(swelling, (5, kernel), RATE)


def test_the_zoom_goes_where_the_level_varies(swelling):
    onset = np.concatenate([np.ones(8000), np.zeros(4000), np.ones(8000)]).astype(np.float32)
    start = liveliest(onset, 1600, RATE)
    assert start < 8000 < start + 1600 or start < 12000 < start + 1600
    assert liveliest(swelling, len(swelling), RATE) == 0


def test_the_figure_shows_each_trend_with_its_axes(swelling):
    found = trends(swelling, (5, 45), RATE)
    figure = draw_trends(swelling, found, RATE, (0.1, 0.2), "a tone")
    panels = [panel for panel in figure.axes if panel.get_title()]
    assert [panel.get_title() for panel in panels] == [
        "spectrum",
        "waveform (grey) and its TPooling, K = 5 (0.6 ms)",
        "waveform (grey) and its TPooling, K = 45 (5.6 ms)",
        "the shaded part: 100 ms, with a grid of 10 ms",
    ]
    assert all(panel.get_ylabel() for panel in figure.axes)
    line = panels[2].get_lines()[-1]
    np.testing.assert_array_equal(line.get_ydata(), found[1].values)
    assert panels[3].get_xlim() == pytest.approx((0.1, 0.2))
