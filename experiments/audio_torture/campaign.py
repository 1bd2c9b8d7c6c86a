"""Variants of a recording, read by another process, and what became of them."""

from __future__ import annotations

import json
import select
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from audio_torture.formats import RECORDINGS, Recording
from audio_torture.variants import KINDS, damaged

__all__ = ["OUTCOMES", "Result", "torture"]

OUTCOMES = (
    "refused",
    "told",
    "whole",
    "altered",
    "longer",
    "unknown",
    "lost",
    "crashed",
    "hung",
    "memory",
)
SHORTER = {"cut", "without a piece"}  # kinds of which a format without sizes knows nothing
ERRORS = {"lost", "crashed", "hung", "memory"}
HANGS = 30.0  # seconds
MEGABYTES = 150.0  # above what the recording itself takes
TOLERANCE = 0.002 * 48000  # samples


@dataclass
class Result:
    """How many variants of a format had which outcome; `errors` say which should not be."""

    outcomes: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    seconds: float = 0.0
    megabytes: float = 0.0


class _Reader:
    """The process that reads. It is started again where it has died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def read(self, path: Path) -> dict | str:
        """What it says of a file, or "crashed" or "hung"."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("reader.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        stdin.write(f"{path}\n")
        stdin.flush()
        if not select.select([stdout], [], [], HANGS)[0]:
            self.close()
            return "hung"
        line = stdout.readline()
        if not line:
            self.close()
            return "crashed"
        return json.loads(line)

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def torture(
    name: str, variants: int, seed: int = 0, keep: Path | None = None, processes: int = 1
) -> Result:
    """Read so many variants of a format; those that show an error are put into `keep`."""
    recording = RECORDINGS[name]
    data = recording.make()
    result = Result()
    with tempfile.TemporaryDirectory() as folder:
        whole = _whole(Path(folder), data)

        def some(first: int) -> Result:
            return _some(Path(folder), name, data, whole, range(first, variants, processes), seed)

        with ThreadPoolExecutor(processes) as pool:
            for part in pool.map(some, range(processes)):
                result.outcomes += part.outcomes
                result.errors += part.errors
                result.seconds = max(result.seconds, part.seconds)
                result.megabytes = max(result.megabytes, part.megabytes)
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        for error in result.errors:
            number = int(error.split()[1])
            (keep / f"{name}-{number}").write_bytes(_variant(data, whole["samples"], number, seed))
    return result


def _whole(folder: Path, data: bytes) -> dict:
    (folder / "whole").write_bytes(data)
    with closing(_Reader()) as reader:
        whole = reader.read(folder / "whole")
    if isinstance(whole, str) or whole["error"] or whole["told"]:
        raise RuntimeError(f"the recording itself is not read: {whole}")
    return whole


def _variant(data: bytes, samples: int, number: int, seed: int) -> bytes:
    return damaged(data, samples, list(KINDS)[number % len(KINDS)], seed * 1_000_000 + number)


def _some(folder: Path, name: str, data: bytes, whole: dict, numbers: range, seed: int) -> Result:
    result = Result()
    path = folder / f"{numbers.start}"
    with closing(_Reader()) as reader:
        for number in numbers:
            kind = list(KINDS)[number % len(KINDS)]
            path.write_bytes(_variant(data, whole["samples"], number, seed))
            read = reader.read(path)
            outcome = read if isinstance(read, str) else _judge(RECORDINGS[name], kind, read, whole)
            if not isinstance(read, str):
                result.seconds = max(result.seconds, read["seconds"])
                result.megabytes = max(result.megabytes, read["megabytes"])
                if read["megabytes"] > whole["megabytes"] + MEGABYTES:
                    outcome = "memory"
            result.outcomes[outcome] += 1
            if outcome in ERRORS:
                shown = read if isinstance(read, str) else f"{read['samples']} samples"
                result.errors.append(f"{name} {number} ({kind}): {outcome}: {shown}")
    return result


def _judge(recording: Recording, kind: str, read: dict, whole: dict) -> str:
    if read["error"] is not None:
        return "refused"
    if read["told"] is not None:
        return "told"
    if read["digest"] == whole["digest"]:
        return "whole"
    missing = whole["samples"] - read["samples"]
    if missing > TOLERANCE:
        return "unknown" if not recording.sized and kind in SHORTER else "lost"
    if missing < -TOLERANCE:
        return "longer"
    return "lost" if recording.checked else "altered"
