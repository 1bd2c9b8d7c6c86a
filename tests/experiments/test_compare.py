"""experiments/compare.py, as a researcher runs it."""

import csv
import subprocess
import sys
from pathlib import Path

from PIL import Image

from l3ac_jax.evaluation.report import Codec, Interval, Report, Summary, write_report

SCRIPT = Path(__file__).parents[2] / "experiments" / "compare.py"


def compare(folder, *words):
    return subprocess.run(
        [sys.executable, SCRIPT, *words], cwd=folder, capture_output=True, text=True, check=False
    )


def write_evaluation(folder: Path) -> None:
    folder.mkdir()
    codec = Codec(name="opus 6000", kind="opus", bitrate=6100, sample_rate=16000)
    score = Interval(mean=1.75, low=1.5, high=2, clips=3)
    summary = Summary(codec=codec.name, domain="speech", clips=3, seconds=9, scores={"pesq": score})
    report = Report(data="clips", seed=0, codecs=(codec,), clips=(), summaries=(summary,))
    write_report(folder, report)


def test_an_evaluation_is_compared_with_what_is_published(tmp_path):
    write_evaluation(tmp_path / "eval")
    done = compare(tmp_path, "eval", "--figure", "bubbles.png", "--csv", "rows.csv")
    assert done.returncode == 0, done.stderr
    assert "measured here: clips, speech; eval" in done.stdout
    assert "published: Codec-SUPERB speech" in done.stdout
    with (tmp_path / "rows.csv").open(newline="") as file:
        first, *others = csv.DictReader(file)
    assert (first["scores"], first["pesq"], first["stoi"]) == ("measured", "1.75", "")
    assert {row["scores"] for row in others} == {"published"}
    with Image.open(tmp_path / "bubbles.png") as image:
        assert image.size == (1250, 660)


def test_mistakes_are_one_line_that_names_them(tmp_path):
    write_evaluation(tmp_path / "eval")
    mistakes = {
        ("eval", "--domain", "music"): "eval: has no domain 'music'; there are speech",
        ("eval", "--figure", "bubbles.txt"): "bubbles.txt: a figure's name ends with",
        ("eval", "--csv", "eval/evaluation.json"): "eval/evaluation.json: already exists",
        ("missing",): "missing: cannot be read",
    }
    for words, message in mistakes.items():
        done = compare(tmp_path, *words)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"compare.py: error: {message}")
        assert done.stderr.count("\n") == 1
