"""`l3ac-jax page`: its folder or none, and what it refuses."""

import json
import os
import sys

import pytest

from l3ac_jax.cli.main import main
from l3ac_jax.config import ExperimentConfig
from l3ac_jax.evaluation.random_params import random_params
from l3ac_jax.exports import browser_page
from l3ac_jax.exports.browser_page import NAMES, RUNTIME_FILES, VERSION
from l3ac_jax.weights.folder import save_model
from tests.small_configs import ABLATED_CONFIGS

pytest.importorskip("onnx", reason="the extra export is not installed")
NPM = """#!{python}
import pathlib, sys, tarfile
assert sys.argv[1:3] == ["pack", "onnxruntime-web@{version}"], sys.argv
with tarfile.open("onnxruntime-web.tgz", "w:gz") as archive:
    archive.add({package!r}, "package")
"""


@pytest.fixture(scope="module")
def causal(tmp_path_factory):
    """The folder of a model that streams exactly."""
    config = ABLATED_CONFIGS["causal"]
    folder = tmp_path_factory.mktemp("models") / "causal"
    save_model(folder, ExperimentConfig(model=config), random_params(config, 0))
    return folder


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A folder with the names that onnxruntime-web has."""
    folder = tmp_path_factory.mktemp("npm") / "onnxruntime-web"
    for name in RUNTIME_FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps({"version": "1.2.3"}))
    return folder


@pytest.fixture
def npm(tmp_path, monkeypatch):
    """Call it with a program: it is npm."""

    def install(program: str) -> None:
        path = tmp_path / "bin" / "npm"
        path.parent.mkdir()
        path.write_text(program)
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}{os.environ['PATH']}")

    return install


@pytest.fixture
def page(tmp_path, command_cache):
    out = tmp_path / "out"
    return lambda *words: main(["page", str(out), *map(str, words)])


def test_a_page_of_a_model_with_the_runtime_that_is_given(page, causal, package, tmp_path, capsys):
    assert page("--model", causal, "--runtime", package, "--block", 3) == 0
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} == NAMES
    described = json.loads((out / "codec" / "codec.json").read_text())
    assert set(described["programs"]) == {"encoder_step", "decoder_step"}
    assert described["programs"]["encoder_step"]["block"] == 3
    said = capsys.readouterr().out
    assert "onnxruntime-web 1.2.3" in said
    assert f"python -m http.server --directory {out}" in said
    # another of its kind replaces it, if that is asked for, and nothing else
    again = ("--model", causal, "--runtime", package)
    assert page(*again) == 2
    assert "exists already" in capsys.readouterr().err
    assert page(*again, "--overwrite") == 0
    (out / "mine.txt").touch()
    assert page(*again, "--overwrite") == 2
    assert "it also holds mine.txt" in capsys.readouterr().err


def test_npm_packs_the_version_that_is_tested(page, causal, package, npm, tmp_path):
    npm(NPM.format(python=sys.executable, version=VERSION, package=str(package)))
    assert page("--model", causal) == 0
    assert (tmp_path / "out" / "onnxruntime" / "ort-wasm.wasm").is_file()


def refused(page, capsys, tmp_path, *words):
    """The one line that says why; nothing is left."""
    assert page(*words) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".l3ac*"))
    return line


def test_a_model_that_does_not_stream_names_one_that_does(
    page, model_folder, package, tmp_path, capsys
):
    words = ("--model", model_folder, "--runtime", package)
    line = refused(page, capsys, tmp_path, *words)
    assert "no step of the decoder" in line and line.endswith("streams exactly, as stream does")


def test_a_folder_that_is_no_runtime(page, causal, package, tmp_path, capsys):
    line = refused(page, capsys, tmp_path, "--model", causal, "--runtime", package / "dist")
    assert "is no npm package onnxruntime-web: dist/ort.wasm.min.mjs is missing" in line


def test_a_block_of_no_token(page, tmp_path, capsys):
    assert "--block must be at least 1" in refused(page, capsys, tmp_path, "--block", 0)


def test_npm_that_is_missing_or_fails(page, causal, npm, tmp_path, monkeypatch, capsys):
    npm("#!/bin/sh\necho 'npm error code ENOTFOUND' >&2\nexit 1\n")
    line = refused(page, capsys, tmp_path, "--model", causal)
    assert f"npm pack onnxruntime-web@{VERSION} failed: npm error code ENOTFOUND" in line
    assert "--runtime takes" in line
    monkeypatch.setattr(browser_page.shutil, "which", lambda name: None)
    line = refused(page, capsys, tmp_path, "--model", causal)
    assert "npm, which is not installed; --runtime takes" in line
