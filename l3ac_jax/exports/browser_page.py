"""A folder of static files that codes audio in a browser.

It holds the page (l3ac_jax/exports/page), a codec's steps as ONNX programs, and what runs them:
three files of the npm package onnxruntime-web, with one thread and without a GPU.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from importlib.resources import as_file, files
from pathlib import Path

from l3ac_jax.codec.l3ac import L3AC
from l3ac_jax.config import DEFAULT_STREAMING_MODEL
from l3ac_jax.errors import ArgumentError, DownloadError, StreamingError
from l3ac_jax.exports.programs import step_programs
from l3ac_jax.exports.writing import write_programs

__all__ = ["NAMES", "PACKAGE", "check_runtime", "check_streams", "runtime_folder", "write_page"]

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"  # the version that the tests run with
PAGE = files("l3ac_jax") / "exports" / "page"
PROGRAMS, RUNTIME, MANIFEST = "codec", "onnxruntime", "package.json"
# .mjs as .js: some servers do not know that the former is JavaScript, and browsers then refuse it.
RUNTIME_FILES = {
    "dist/ort.wasm.min.mjs": "ort.js",
    "dist/ort-wasm-simd-threaded.mjs": "ort-wasm.js",
    "dist/ort-wasm-simd-threaded.wasm": "ort-wasm.wasm",
    MANIFEST: MANIFEST,  # its version
}
NAMES = frozenset({path.name for path in PAGE.iterdir()} | {PROGRAMS, RUNTIME})
"""What is in such a folder."""


def check_runtime(folder: Path) -> None:
    """Raise ArgumentError for a folder that is no unpacked onnxruntime-web."""
    for name in RUNTIME_FILES:
        if not (folder / name).is_file():
            raise ArgumentError(f"{folder}: is no npm package {PACKAGE}: {name} is missing")


def check_streams(codec: L3AC, block: int) -> None:
    """Raise StreamingError for a codec that does not stream exactly, both ways."""
    _, reasons = step_programs(codec, block)
    if reasons:
        raise StreamingError(
            f"{codec.name}: {'; '.join(reasons)}. A page codes step by step: it takes a model that "
            f"streams exactly, as {DEFAULT_STREAMING_MODEL} does"
        )


@contextlib.contextmanager
def runtime_folder() -> Iterator[Path]:
    """The package onnxruntime-web in a temporary folder, from the registry that npm is set to.

    Raises DownloadError where npm is missing or fails.
    """
    instead = f"--runtime takes the folder of an unpacked {PACKAGE} instead"
    npm = shutil.which("npm")
    if npm is None:
        raise DownloadError(
            f"{PACKAGE} {VERSION} comes with npm, which is not installed; {instead}"
        )
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [npm, "pack", f"{PACKAGE}@{VERSION}", "--loglevel=error"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        archives = list(Path(folder).glob("*.tgz"))
        if done.returncode or len(archives) != 1:
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            reason = lines[0].strip() if lines else f"exit code {done.returncode}"
            raise DownloadError(f"npm pack {PACKAGE}@{VERSION} failed: {reason}; {instead}")
        package = Path(folder) / "package"  # the folder in the archive
        with tarfile.open(archives[0]) as archive:
            for name in RUNTIME_FILES:
                archive.extract(f"{package.name}/{name}", folder, filter="data")
        yield package


def write_page(codec: L3AC, folder: Path, block: int, runtime: Path) -> Iterator[str]:
    """Write the page of a codec that `check_streams` lets pass into an existing, empty folder.

    `runtime` is the folder of the package onnxruntime-web. Yields a line for each part.
    """
    with as_file(PAGE) as page:
        for path in page.iterdir():
            shutil.copyfile(path, folder / path.name)
    (folder / PROGRAMS).mkdir()
    for line in write_programs(codec, folder / PROGRAMS, "onnx", block, clips=False):
        yield f"{PROGRAMS}/{line}"
    (folder / RUNTIME).mkdir()
    for source, name in RUNTIME_FILES.items():
        shutil.copyfile(runtime / source, folder / RUNTIME / name)
    size = sum(path.stat().st_size for path in (folder / RUNTIME).iterdir())
    version = json.loads((folder / RUNTIME / MANIFEST).read_text(encoding="utf-8")).get("version")
    yield f"{RUNTIME}: {PACKAGE} {version}, {size / 1e6:.1f} MB"
