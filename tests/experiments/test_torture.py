"""Damaged files in small: nothing crashes, hangs, or is lost in silence."""

import subprocess
import sys
from pathlib import Path

from l3ac_jax.audio.formats import FORMATS

ROOT = Path(__file__).parents[2]


def run(*words: object) -> subprocess.CompletedProcess:
    command = [sys.executable, ROOT / "experiments" / "torture.py", *words]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True)


def test_variants_of_every_kind_are_read_or_refused(tmp_path):
    names = ["wav", "flac", "vorbis", "opus", "mp3", "mp3-bare"]
    done = run("--variants", 14, "--seed", 5, "--out", tmp_path / "a.md", "--formats", *names)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split(" | ") for line in (tmp_path / "a.md").read_text().splitlines()]
    assert [row[0] for row in rows[2:]] == [f"| `{name}`" for name in names]
    assert all(row[1] == "14" and int(row[3]) >= 3 for row in rows[2:])  # told
    assert {container for container, _ in FORMATS.values()} == {"WAV", "FLAC", "OGG", "MP3"}
