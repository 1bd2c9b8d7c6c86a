"""Curves of training runs: what metrics.jsonl says, and what is said of one that says nothing."""

import json
import subprocess
import sys

import numpy as np
import pytest

from l3ac_jax.errors import CurvesError
from l3ac_jax.training.curves import draw_curves, read_curves


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    records = [{"step": n, "kind": "train", "time": 0.0, "loss": 10.0 - n} for n in (1, 2, 3, 4)]
    records.insert(3, {"step": 2, "kind": "evaluation", "time": 0.0, "loss": 8.5, "stoi": 0.5})
    # resumed from step 2: steps 3 and 4 once more
    records += [{"step": n, "kind": "train", "time": 1.0, "loss": 20.0 - n} for n in (3, 4)]
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (folder / "metrics.jsonl").write_text(lines)
    return folder


def test_curves_are_by_kind_and_name_and_what_was_done_again_counts_once(run):
    curves = read_curves(run)
    assert curves.keys() == {("train", "loss"), ("evaluation", "loss"), ("evaluation", "stoi")}
    np.testing.assert_array_equal(curves["train", "loss"].steps, [1, 2, 3, 4])
    np.testing.assert_array_equal(curves["train", "loss"].values, [9, 8, 17, 16])


def test_smoothing_takes_means_of_both(run):
    smooth = read_curves(run)["train", "loss"].smoothed(2)
    np.testing.assert_allclose(smooth.steps, [1.5, 2.5, 3.5])
    np.testing.assert_allclose(smooth.values, [8.5, 12.5, 16.5])
    assert read_curves(run)["evaluation", "stoi"].smoothed(9).values == [0.5]


def test_a_line_that_was_cut_off_is_left_out_and_a_damaged_one_named(run):
    path = run / "metrics.jsonl"
    text = path.read_text()
    path.write_text(text + '{"step": 5, "ki')
    assert read_curves(run)["train", "loss"].steps.max() == 4
    path.write_text("{\n" + text)
    with pytest.raises(CurvesError, match=r"metrics\.jsonl, line 1: not a step's kind"):
        read_curves(run)


def test_what_was_not_finite_is_a_gap(run):
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "kind": "train", "time": 2.0, "loss": null}\n')
    np.testing.assert_array_equal(read_curves(run)["train", "loss"].values, [9, 8, 17, 16, np.nan])


def test_what_is_no_run_and_what_no_run_has_is_named(run, tmp_path):
    with pytest.raises(CurvesError, match=r"is no training run: it has no metrics\.jsonl"):
        read_curves(tmp_path)
    with pytest.raises(CurvesError, match="no run has 'pesq'; there are loss, stoi"):
        draw_curves({"run": read_curves(run)}, ["pesq"], 1)


def test_lines_are_of_training_and_marks_of_evaluation(run):
    panels = draw_curves({"run": read_curves(run)}, ["loss", "stoi"], 1).axes
    # each has its own scale
    assert all(panel.yaxis.get_tick_params()["labelleft"] for panel in panels)
    trained, evaluated = panels[0].lines
    np.testing.assert_array_equal(trained.get_ydata(), [9, 8, 17, 16])
    np.testing.assert_array_equal(evaluated.get_xydata(), [[2, 8.5]])
    assert (trained.get_marker(), evaluated.get_marker()) == ("None", "o")
    (line,) = panels[1].lines
    np.testing.assert_array_equal(line.get_xydata(), [[2, 0.5]])


def test_the_script_draws_a_figure_and_keeps_an_existing_one(run, tmp_path):
    figure = tmp_path / "curves.png"
    command = [sys.executable, "experiments/curves.py", run, "--figure", figure, "--names", "loss"]
    assert subprocess.run(command, check=False).returncode == 0
    assert figure.read_bytes().startswith(b"\x89PNG")
    again = subprocess.run(command, check=False, capture_output=True, text=True)
    assert again.returncode == 2
    assert "already exists" in again.stderr
