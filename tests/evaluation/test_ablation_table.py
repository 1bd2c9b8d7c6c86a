"""The comparison of an ablation, from reports with known scores."""

import csv
import io
import json

import numpy as np
import pytest
from rich.console import Console

from l3ac_jax.evaluation.ablation_table import (
    draw_rows,
    make_rows,
    make_table,
    write_csv,
    write_json,
)
from l3ac_jax.evaluation.report import METRICS, ClipScores, Codec, Report, Summary
from l3ac_jax.plots.figures import figure_image

# PESQ of clips a, b, c; by variant and seed. Clip c has no score in one run.
PESQ = {
    "baseline": [(1.0, 2.0, 9.0), (1.2, 2.2, None)],
    "better": [(2.0, 3.0, 1.0), (2.2, 3.2, 1.0)],
    "mixed": [(1.0, 2.3, 5.0), (1.0, 2.3, 5.0)],
}


def report(pesq: tuple[float | None, ...], usage: float = 50.0) -> Report:
    codec = Codec(name="x", kind="l3ac", bitrate=750, sample_rate=16000, parameters=1234)
    clips = tuple(
        ClipScores(codec="x", clip=name, domain="speech", seconds=1, scores={"pesq": value})
        for name, value in zip("abc", pesq, strict=True)
    )
    summary = Summary(
        codec="x", domain="all", clips=3, seconds=3, scores={}, codebook={"usage": usage}
    )
    return Report(data="d", seed=0, codecs=(codec,), clips=clips, summaries=(summary,))


@pytest.fixture(scope="module")
def rows():
    reports = {name: [report(pesq) for pesq in seeds] for name, seeds in PESQ.items()}
    return make_rows(reports, "baseline")


def test_means_are_over_the_clips_that_every_seed_has(rows):
    baseline, better, _ = (row.scores["pesq"] for row in rows)
    assert baseline.runs == pytest.approx((1.5, 1.7))
    assert baseline.mean == pytest.approx(1.6)
    assert baseline.spread == pytest.approx(0.2 / np.sqrt(2))
    assert baseline.interval.clips == 2 and better.interval.clips == 3
    assert better.mean == pytest.approx((2.1 + 3.1 + 1.0) / 3)


def test_differences_are_clip_by_clip(rows):
    baseline, better, mixed = (row.scores["pesq"].difference for row in rows)
    assert baseline is None
    # 1.0 on each of the clips that both have, so it is certain, however much the clips differ.
    assert (better.mean, better.low, better.high) == pytest.approx((1, 1, 1))
    # -0.1 and 0.2: draws of two clips are both one, both the other, or one of each.
    assert (mixed.mean, mixed.low, mixed.high) == pytest.approx((0.05, -0.1, 0.2))


def test_scores_of_the_whole_codebook_have_no_interval():
    reports = [report((1, 2, 3), usage) for usage in (10.0, 30.0)]
    (row,) = make_rows({"baseline": reports}, "baseline")
    score = row.scores["usage"]
    assert (score.runs, score.mean) == ((10, 30), 20)
    assert score.interval is None and score.difference is None
    assert row.scores.keys() == {"pesq", "usage"} and row.parameters == 1234


def test_one_seed_has_no_spread_and_a_missing_baseline_no_differences():
    (row,) = make_rows({"baseline": [], "other": [report((1, 2, 3))]}, "baseline")
    assert (row.variant, row.scores["pesq"].spread) == ("other", None)
    assert row.scores["pesq"].difference is None


def test_the_table_marks_clear_differences(rows):
    console = Console(width=100, file=io.StringIO())
    console.print(make_table(rows, ["pesq", "stoi"]))
    text = console.file.getvalue()
    assert "PESQ-WB (MOS) ↑" in text and "1.60" in text and "±0.14" in text
    assert "+1.00*" in text and "+0.05" in text and "+0.05*" not in text
    assert "difference to baseline" in " ".join(text.split())


def test_files_hold_every_score(rows, tmp_path):
    write_json(tmp_path / "a.json", rows, {"steps": 7})
    content = json.loads((tmp_path / "a.json").read_text())
    assert content["steps"] == 7 and content["rows"] == [
        row.model_dump(mode="json") for row in rows
    ]
    write_csv(tmp_path / "a.csv", rows)
    lines = list(csv.DictReader((tmp_path / "a.csv").read_text().splitlines()))
    assert len(lines) == 6
    assert lines[2] | {"low": "", "high": ""} == {
        "variant": "better", "parameters": "1234", "metric": "pesq", "unit": "MOS", "seeds": "2",
        "mean": "2.06667", "spread": "0.0942809", "low": "", "high": "", "difference": "1",
        "difference_low": "1", "difference_high": "1",
    }  # fmt: skip


def test_the_figure_shows_every_variant_at_its_mean(rows):
    figure = draw_rows(rows, ["pesq", "usage"])
    pesq, usage = figure.axes
    assert (pesq.get_xlabel(), usage.get_xlabel()) == (
        "PESQ-WB (MOS), higher is better",
        f"{METRICS['usage'].title} (%), higher is better",
    )
    assert [label.get_text() for label in pesq.get_yticklabels()] == list(PESQ)
    (means,) = (line for line in pesq.lines if line.get_marker() == "D")
    np.testing.assert_allclose(means.get_xdata(), [row.scores["pesq"].mean for row in rows])
    np.testing.assert_array_equal(means.get_ydata(), [0, 1, 2])
    top, bottom = sorted(pesq.get_ylim(), reverse=True)
    assert pesq.get_ylim() == (top, bottom)  # the baseline is on top
    (seeds,) = pesq.collections
    assert len(seeds.get_offsets()) == 6
    np.testing.assert_array_equal(
        figure_image(figure), figure_image(draw_rows(rows, ["pesq", "usage"]))
    )
