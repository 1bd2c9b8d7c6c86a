"""The examples run, and do what their pages say."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
NOTEBOOK = EXAMPLES / "l3ac_jax.ipynb"


def run(*words):
    command = [sys.executable, EXAMPLES / "datasets_tokens.py", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_datasets_computes_tokens_once(speech, model_folder, monkeypatch):
    """In processes of their own: what decides is that both come to the same fingerprint."""
    pytest.importorskip("datasets")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    folder, cache = speech.parent, speech.parent / ".tokens"
    first = run(folder, "--model", model_folder)
    made = {path.name: path.stat().st_mtime_ns for path in cache.iterdir()}
    assert first == "1 files, 641 tokens\n" and len(made) == 1  # 3843 samples, 6 to a token
    assert run(folder, "--model", model_folder) == first
    assert {path.name: path.stat().st_mtime_ns for path in cache.iterdir()} == made


def test_the_notebook_runs_and_is_kept_without_outputs(compiled, monkeypatch, tmp_path):
    nbformat = pytest.importorskip("nbformat")
    client = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.delenv("MPLBACKEND", raising=False)
    monkeypatch.setenv("L3AC_JAX_CACHE", str(compiled))
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLES.parent))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in cells)
    client.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    outputs = [output for cell in cells for output in cell.outputs]
    kinds = {kind for output in outputs for kind in output.get("data", {})}
    assert {"image/png", "text/html"} <= kinds  # spectrograms, and a player
    text = "".join(output.get("text", "") for output in outputs)
    assert "the same tokens: True" in text
