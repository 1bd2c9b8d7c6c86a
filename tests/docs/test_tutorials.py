"""The tutorials do what they say: their blocks are run as they stand, in order, in a new folder.

What runs is marked by the language of a block: `python` (one namespace a page) and `sh`. A block
`toml` with a title is a file of that name. An `output` block holds what must be found in what the
blocks since the one before have printed, line by line, in this order. `console` blocks are shown
and not run: they need a GPU, a sound card, or days.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from l3ac_jax.weights.hub import WEIGHT_FILES

ROOT = Path(__file__).parents[2]
TUTORIALS = ROOT / "docs" / "tutorials"
RUN = ("python", "sh", "toml", "output")
SHOWN = ("console",)
# What a reader finds in the folder that a tutorial begins in.
CHECKOUT = ("configs", "convert_torch_weights.py", "experiments", "l3ac_jax")

FENCE = re.compile(r'^```(\w*)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    title: str | None
    text: str
    line: int
    """of the page, on which its text begins"""


def blocks(page: str) -> list[Block]:
    text = (TUTORIALS / f"{page}.md").read_text(encoding="utf-8")
    return [
        Block(match[1], match[2], match[3], text.count("\n", 0, match.start(3)) + 1)
        for match in FENCE.finditer(text)
    ]


PAGES = sorted(path.stem for path in TUTORIALS.glob("*.md"))


@pytest.fixture
def checkout(tmp_path, monkeypatch, compiled) -> Path:
    """A new folder with what a checkout has; commands find this Python's programs."""
    for name in CHECKOUT:
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("L3AC_JAX_CACHE", str(compiled))
    # Long compilation would make train.py save and begin anew.
    monkeypatch.setenv("L3AC_JAX_BEGUN_ANEW", "1")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    packages = (str(ROOT), os.environ.get("PYTHONPATH", ""))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, packages)))
    return tmp_path


@pytest.fixture
def official_weights(hub, tmp_path_factory, monkeypatch) -> None:
    """A hub that has `1kbps`, with other weights than the published ones."""
    pytest.importorskip("torch")
    from l3ac_jax.config import published_config
    from l3ac_jax.evaluation.random_params import random_params
    from l3ac_jax.official.weights import to_torch

    config = published_config("1kbps").model
    folder = tmp_path_factory.mktemp("official")
    to_torch(random_params(config, 0), config, folder / "1kbps.v1")
    files = {file: (folder / "1kbps.v1" / file).read_bytes() for file in WEIGHT_FILES}
    hub.publish("1kbps", files)
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)  # for the commands
    monkeypatch.setenv("L3AC_JAX_CACHE", str(folder / "cache"))


@pytest.mark.parametrize("page", PAGES)
def test_a_tutorial_does_what_it_says(page, checkout, request, capfd):
    if page == "official_weights":
        request.getfixturevalue("official_weights")
    namespace: dict[str, object] = {"__name__": page}
    printed = ""
    for block in blocks(page):
        place = f"{page}.md, line {block.line}"
        match block.language:
            case "python":
                capfd.readouterr()
                code = compile("\n" * (block.line - 1) + block.text, f"{page}.md", "exec")
                exec(code, namespace)
                printed += capfd.readouterr().out
            case "sh":
                printed += run_in_shell(block, place)
            case "toml":
                assert block.title, f"{place}: a file needs a title"
                Path(block.title).write_text(block.text, encoding="utf-8")
            case "output":
                require_output(block, printed, place)
                printed = ""
            case _:
                assert block.language in SHOWN, f"{place}: neither run nor shown"


def run_in_shell(block: Block, place: str) -> str:
    """What its commands print; each of them must succeed."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.text],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{place}: {done.stdout}"
    return done.stdout


def require_output(block: Block, printed: str, place: str) -> None:
    """Each line of the block is part of what was printed, after the line before it."""
    position = 0
    for line in block.text.splitlines():
        found = printed.find(line, position)
        assert found >= 0, f"{place}: {line!r} was not printed:\n{printed}"
        position = found + len(line)


def test_every_tutorial_runs_something():
    assert len(PAGES) == 7
    for page in PAGES:
        assert "output" in {block.language for block in blocks(page)}, page


def test_output_that_is_not_there_is_noticed():
    block = Block("output", None, "one\ntwo\n", 1)
    require_output(block, "one, then\n two", "page")
    with pytest.raises(AssertionError, match="'two' was not printed"):
        require_output(block, "two\none", "page")
