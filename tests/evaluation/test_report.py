"""Reports are read as they were written, and their intervals are those of a bootstrap."""

import json

import numpy as np
import pytest

from l3ac_jax.errors import ReportError
from l3ac_jax.evaluation.report import (
    REPORT_FILE,
    ClipScores,
    Codec,
    Interval,
    Report,
    Summary,
    confidence_interval,
    read_report,
    write_report,
)

REPORT = Report(
    data="recordings",
    seed=3,
    codecs=(Codec(name="a", kind="l3ac", bitrate=1000.5, sample_rate=16000, levels=(3, 5)),),
    clips=(ClipScores(codec="a", clip="x.wav", domain="d", seconds=1.5, scores={"pesq": None}),),
    summaries=(
        Summary(
            codec="a",
            domain="all",
            clips=1,
            seconds=1.5,
            scores={"stoi": Interval(mean=0.5, low=0.4, high=0.6, clips=2)},
            codebook={"usage": 1.0},
        ),
    ),
    failures=("y.wav: is an empty file",),
)


def test_a_report_is_read_as_it_was_written(tmp_path):
    write_report(tmp_path, REPORT)
    assert read_report(tmp_path) == read_report(tmp_path / REPORT_FILE) == REPORT
    assert REPORT.summary("a").scores["stoi"].mean == 0.5
    with pytest.raises(KeyError):
        REPORT.summary("b")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "is no evaluation"),
        (json.dumps({**REPORT.model_dump(mode="json"), "version": 2}), "is no evaluation: version"),
        (json.dumps({**REPORT.model_dump(mode="json"), "seed": "x"}), "is no evaluation: seed"),
    ],
)
def test_other_files_are_named(tmp_path, text, message):
    path = tmp_path / REPORT_FILE
    path.write_text(text)
    with pytest.raises(ReportError, match=f"{REPORT_FILE}: {message}"):
        read_report(path)


def test_a_missing_report_is_named(tmp_path):
    with pytest.raises(ReportError, match=r"evaluation\.json: cannot be read: No such file"):
        read_report(tmp_path)


def test_an_interval_is_that_of_normal_values():
    values = np.random.default_rng(0).normal(2, 1, 400)
    interval = confidence_interval(values)
    assert interval is not None and interval.clips == 400
    assert interval.mean == pytest.approx(values.mean())
    half = 1.96 * values.std() / np.sqrt(400)
    # 2,000 draws put the ends of the interval to about 5 % of its half width.
    assert interval.mean - interval.low == pytest.approx(half, rel=0.15)
    assert interval.high - interval.mean == pytest.approx(half, rel=0.15)
    assert interval == confidence_interval(values) != confidence_interval(values, seed=1)


def test_values_that_do_not_exist_are_left_out():
    assert confidence_interval([None, np.nan, np.inf]) is None
    one = confidence_interval([None, 3.0, np.inf])
    assert one == Interval(mean=3.0, low=3.0, high=3.0, clips=1)
