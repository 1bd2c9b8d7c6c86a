"""Commands that are killed again and again, and what they have made in the end."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

__all__ = ["Kills", "contents", "kill_often"]

PATIENCE = 300.0  # seconds for a run
POLL = 0.003


@dataclass
class Kills:
    """How often a command was killed, how often it came to its end, and what was not right then."""

    kills: int = 0
    ends: int = 0
    writing: int = 0  # kills that left a file half written
    errors: list[str] = field(default_factory=list)


def kill_often(
    command: Sequence[str],
    target: Path,
    kills: int,
    seed: int,
    delay: float,
    environment: Mapping[str, str] | None = None,
    part: Callable[[str], bool] = lambda name: name.endswith(".part"),
) -> Kills:
    """Kill a command that makes `target` so many times, and let it finish now and then.

    A run is killed (SIGKILL, its main process alone) up to `delay` seconds after it has begun to
    change `target`. One that ends before must have made what an undisturbed run makes, to the byte;
    the next one then begins anew. `part` says whether a file is half written by its name.
    """
    random, result = np.random.default_rng(seed), Kills()
    _run(command, environment)
    expected = contents(target)
    shutil.rmtree(target)
    while result.kills < kills:
        code = _killed(command, environment, target, random.uniform(0, delay))
        if code == -signal.SIGKILL:
            result.kills += 1
            result.writing += any(part(path.name) for path in target.rglob("*"))
        else:
            _check(result, code, target, expected)
    _check(result, _run(command, environment), target, expected)
    return result


def contents(folder: Path) -> dict[str, bytes]:
    """Of all files below a folder, hidden ones too."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _check(result: Kills, code: int, target: Path, expected: dict[str, bytes]) -> None:
    result.ends += 1
    found = contents(target)
    if code:
        result.errors.append(f"after {result.kills} kills: exit code {code}")
    elif found != expected:
        names = sorted({*expected, *found})
        other = [name for name in names if expected.get(name) != found.get(name)]
        result.errors.append(f"after {result.kills} kills: other bytes in {', '.join(other[:5])}")
    shutil.rmtree(target)


def _run(command: Sequence[str], environment: Mapping[str, str] | None) -> int:
    return subprocess.run(
        command, env=environment, capture_output=True, timeout=PATIENCE, check=False
    ).returncode


def _killed(
    command: Sequence[str], environment: Mapping[str, str] | None, target: Path, delay: float
) -> int:
    before = _state(target)
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        limit = time.monotonic() + PATIENCE
        while process.poll() is None and _state(target) == before and time.monotonic() < limit:
            time.sleep(POLL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(delay)
        process.kill()
        return process.wait()


def _state(folder: Path) -> list[tuple[str, int]]:
    """What a folder holds, so that it can be seen when something is written. Locks are empty."""
    found = []
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                state = os.stat(f"{place}/{name}")
                if state.st_size:
                    found.append((f"{place}/{name}", state.st_mtime_ns))
    return found
