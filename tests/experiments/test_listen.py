"""The script: a page of a model folder, the same each time, and what it says of mistakes."""

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import FIXTURES

SCRIPT = Path(__file__).parents[2] / "experiments" / "listen.py"


@pytest.fixture
def data(tmp_path):
    (tmp_path / "data").mkdir()
    shutil.copy(FIXTURES / "misc_crow.flac", tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def listen(tmp_path, compiled):
    """Runs the script where the page shall be."""

    def run(*words):
        return subprocess.run(
            [sys.executable, str(SCRIPT), *map(str, words)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=os.environ | {"L3AC_JAX_CACHE": str(compiled)},
        )

    return run


def test_a_page_of_a_model_folder(listen, model_folder, data, tmp_path):
    words = ("--out", "page.html", "--workers", "1", "--figure", "page.png")
    done = listen(model_folder, "data", *words)
    assert done.returncode == 0, done.stderr
    page = tmp_path / "page.html"
    size = page.stat().st_size
    assert done.stdout == f"page.html: clips: 1, codecs: 1, {size / 1e6:.1f} MB\n"
    html = page.read_text(encoding="utf-8")
    assert html.count("<audio ") == 2 and html.count('src="data:image/png') == 2
    assert "misc_crow.flac" in html and "SI-SDR" in html
    with Image.open(tmp_path / "page.png") as image:
        # A row for the original and one for the model.
        assert image.width > 1000 and image.height > 500
        assert np.unique(np.asarray(image.convert("L"))).size > 50

    (data / "damaged.wav").write_bytes(b"RIFF")
    again = listen(model_folder, "data", "--out", "page.html", "--overwrite", "--keep", "kept")
    assert again.returncode == 1
    assert again.stderr.startswith("listen.py: left out: data/damaged.wav: is not")
    assert (tmp_path / "kept" / "evaluation.json").is_file()
    # The same page, but for that line: what is decoded and scored does not depend on the run.
    other = page.read_text(encoding="utf-8")
    start, end = other.index('<section aria-labelledby="failures">'), other.index("</main>")
    assert "damaged.wav" in other[start:end]
    assert (other[:start] + other[end:]).split() == html.split()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere", "data", "--out", "a.html"], "nowhere: is neither a model"),
        (["3kbps", "nowhere", "--out", "a.html"], "nowhere: is neither a folder nor a file"),
        (["data", "--out", "a.html"], "MODEL... DATA: two or more are needed, got 1"),
        (["3kbps", "data", "--out", "a.txt"], "a.txt: the name of a page ends with .html"),
        (["3kbps", "data", "--out", "data/no/a.html"], "data/no does not exist"),
        (["3kbps", "data", "--out", "a.html", "--clips", "0"], "at least 1 clip is needed"),
        (["3kbps", "data", "--out", "a.html", "--workers", "0"], "--workers: at least 1"),
    ],
)
def test_mistakes_are_named(listen, data, tmp_path, words, message):
    done = listen(*words)
    assert done.returncode == 2
    assert done.stderr.startswith("listen.py: error: ") and message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_help_has_an_example(listen):
    done = listen("--help")
    assert done.returncode == 0
    assert "python experiments/listen.py 3kbps 1kbps recordings --out page.html" in done.stdout


def test_pictures_have_short_names_that_are_nobody_elses(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPT.parent))  # where the script finds its neighbours
    short = importlib.import_module("listen")._short
    assert short(["Opus 5.6k", "runs/a/best", "base"]) == {
        "Opus 5.6k": "Opus 5.6k", "runs/a/best": "best", "base": "base"
    }  # fmt: skip
    both = ["speech/a.wav", "music/a.wav"]
    assert short(both) == {name: name for name in both}
