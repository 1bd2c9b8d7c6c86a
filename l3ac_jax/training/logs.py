"""What a training run leaves to be looked at: metrics.jsonl, and TensorBoard's files."""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float

from l3ac_jax.plots.figures import spectrogram_image
from l3ac_jax.system.files import complete_file
from l3ac_jax.system.packages import needs_extra

__all__ = ["METRICS_FILE", "Kind", "NoLog", "RunLog", "read_metrics"]

METRICS_FILE = "metrics.jsonl"
TENSORBOARD_FOLDER = "tensorboard"
FLUSH_SECONDS = 20  # what TensorBoard's files lose at most when the process is killed

Kind = Literal["train", "evaluation"]
Audio = Float[np.ndarray, " time"]


class RunLog:
    """The log of a run in `folder`, from the step after `start_step` on.

    metrics.jsonl has a JSON object a line: `step`, `kind` ("train" or "evaluation"), `time` (Unix,
    in seconds) and the scalars; null is what was not finite. Each line is in the file before
    `scalars` returns. Opening drops what stands there of later steps, which will be taken once
    more, and what a killed process left half-written; TensorBoard is told to do the same.

    Close it, or use it as a context manager. Raises OutputError if metrics.jsonl cannot be
    written, and MissingPackageError without the packages of the extra `train`.
    """

    def __init__(self, folder: str | os.PathLike[str], start_step: int = 0):
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        metrics = folder / METRICS_FILE
        if metrics.exists():
            _forget_after(start_step, metrics)
        self._board = _open_board(folder / TENSORBOARD_FOLDER, start_step)
        self._metrics = metrics.open("a", encoding="ascii")

    def scalars(self, step: int, kind: Kind, values: Mapping[str, float]) -> None:
        """Write the metrics of a step; to TensorBoard as "train/loss" and so on.

        Raises ValueError for metrics called step, kind or time.
        """
        now = time.time()
        entry = {"step": step, "kind": kind, "time": now}
        if taken := entry.keys() & values.keys():
            raise ValueError(f"a metric cannot be called {' or '.join(sorted(taken))}")
        numbers = {name: float(value) for name, value in values.items()}
        finite = {name: x if math.isfinite(x) else None for name, x in numbers.items()}
        self._metrics.write(json.dumps(entry | finite, allow_nan=False) + "\n")
        self._metrics.flush()
        for name, x in numbers.items():
            self._board.add_scalar(f"{kind}/{name}", x, step, now)

    def audio(self, step: int, name: str, samples: Audio, sample_rate: int) -> None:
        """Let TensorBoard play `samples`, clipped to [-1, 1], as "audio/{name}"."""
        samples = np.clip(np.nan_to_num(samples), -1, 1)
        self._board.add_audio(f"audio/{name}", samples, step, sample_rate)

    def spectrograms(
        self, step: int, name: str, reference: Audio, decoded: Audio, sample_rate: int
    ) -> None:
        """Let TensorBoard show both spectrograms as "spectrograms/{name}"."""
        image = spectrogram_image(reference, decoded, sample_rate)
        self._board.add_image(f"spectrograms/{name}", image, step, dataformats="HWC")

    def close(self) -> None:
        """Write what is still to be written."""
        self._metrics.close()
        self._board.close()

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class NoLog:
    """A log that keeps nothing: of the processes of a run, only the first has a `RunLog`."""

    def scalars(self, step: int, kind: Kind, values: Mapping[str, float]) -> None:
        """Keeps nothing."""

    def audio(self, step: int, name: str, samples: Audio, sample_rate: int) -> None:
        """Keeps nothing."""

    def spectrograms(
        self, step: int, name: str, reference: Audio, decoded: Audio, sample_rate: int
    ) -> None:
        """Keeps nothing."""

    def close(self) -> None:
        """There is nothing to write."""

    def __enter__(self) -> NoLog:
        return self

    def __exit__(self, *_: object) -> None: ...


def read_metrics(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl, of a run that goes on as well; null is read as NaN.

    A half-written last line is left out. Raises ValueError, with its number, for any other line
    that is none of a `RunLog`.
    """
    lines = Path(path).read_bytes().splitlines()
    entries = []
    for number, line in enumerate(lines, 1):
        entry = _entry(line)
        if entry is not None:
            entries.append({k: math.nan if x is None else x for k, x in entry.items()})
        elif number < len(lines):
            raise ValueError(f"{path}, line {number}: not a step's kind and numbers")
    return entries


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    if not isinstance(entry, dict) or entry.get("kind") not in get_args(Kind):
        return None
    values = [value for name, value in entry.items() if name != "kind"]
    numbers = all(isinstance(value, int | float | None) for value in values)
    return entry if numbers and type(entry.get("step")) is int else None


def _forget_after(step: int, path: Path) -> None:
    with (
        path.open("rb") as lines,
        complete_file(path, overwrite=True) as part,
        part.open("wb") as kept,
    ):
        for line in lines:
            entry = _entry(line)
            if entry is not None and entry["step"] <= step:
                kept.write(line.rstrip(b"\n") + b"\n")


def _open_board(folder: Path, start_step: int) -> Any:
    # Imported where it is needed: with PyTorch installed, which it imports, it takes seconds.
    with needs_extra("train", "the log of a training run"):
        from tensorboardX import SummaryWriter
    # It warns of each NaN, which TensorBoard can show.
    logging.getLogger("tensorboardX.x2num").setLevel(logging.ERROR)
    return SummaryWriter(
        str(folder),
        purge_step=start_step + 1,
        flush_secs=FLUSH_SECONDS,
        # File names have whole seconds: a run that is resumed within one would replace its file.
        filename_suffix=f".{time.time_ns()}",
    )
