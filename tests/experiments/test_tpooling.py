"""experiments/tpooling.py, as a researcher runs it."""

import subprocess
import sys
from pathlib import Path

from PIL import Image

SCRIPT = Path(__file__).parents[2] / "experiments" / "tpooling.py"


def draw(folder, *words):
    return subprocess.run(
        [sys.executable, SCRIPT, *map(str, words)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_recording_is_drawn_and_described(tmp_path, speech, stereo):
    done = draw(tmp_path, speech, "--figure", "one.png", "--kernels", "5", "45")
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()[2:] if line.strip()]
    assert [row[:3] for row in rows] == [["5", "9", "0.6"], ["45", "89", "5.6"]]
    with Image.open(tmp_path / "one.png") as picture:
        assert picture.size == (1000, 820)
    draw(tmp_path, speech, "--figure", "two.png", "--kernels", "5", "45")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    other = draw(tmp_path, stereo, "--figure", "one.png", "--overwrite", "--length", "0.05")
    assert other.returncode == 0, other.stderr


def test_mistakes_are_one_line_that_names_them(tmp_path, speech):
    (tmp_path / "there.png").touch()
    mistakes = {
        ("nothing.wav", "--figure", "a.png"): "nothing.wav: does not exist",
        (speech, "--figure", "a.jpeg"): "a.jpeg: a figure's name ends with",
        (speech, "--figure", "there.png"): "there.png: already exists",
        (speech, "--figure", "a.png", "--kernels", "4"): "--kernels: must be odd and 1 or more",
        (speech, "--figure", "a.png", "--kernels"): "--kernels: give 1 to 6, got 0",
        (speech, "--figure", "a.png", "--length", "9"): "--length: must be above 0, up to 0.24",
        (speech, "--figure", "a.png", "--length", "nan"): "--length: must be above 0, up to 0.24",
        (speech, "--figure", "a.png", "--start", "0.2"): "--start: must be 0 to 0.14",
    }
    for words, message in mistakes.items():
        done = draw(tmp_path, *words)
        assert done.returncode == 2, words
        assert done.stderr.startswith(f"tpooling.py: error: {message}"), done.stderr
        assert done.stderr.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"speech.wav", "there.png"}
