"""Many variants read in one process, for speed, under limits of time and memory.

The process says in a file which variant it reads, so that its parent knows which one ended it or
kept it from going on, and starts another process behind that one.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from file_torture.mutations import mutated

__all__ = ["ERRORS", "OUTCOMES", "Result", "read_variants", "watch"]

OUTCOMES = ("refused", "told", "whole", "altered", "lost", "bug", "memory", "crashed", "hung")
ERRORS = {"lost", "bug", "memory", "crashed", "hung"}
HANGS = 30.0  # seconds of a processor
STUCK = 600.0  # seconds in which no variant was done, on a machine that has other work as well
MEGABYTES = 64  # by which one variant of a small file may raise the peak of memory
SPACE = 2**32  # bytes of addresses beyond those at the start
SHOWN = 20  # errors of each kind of file

Judge = Callable[[bytes], tuple[str, str]]
"""What becomes of a variant: one of the outcomes, and a word on it. What it raises is a bug."""


@dataclass
class Result:
    """Numbers of variants by outcome; `errors` say which should not be."""

    outcomes: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    slowest: float = 0.0
    megabytes: float = 0.0

    def add(self, outcome: str, what: str, seconds: float, megabytes: float) -> None:
        """One variant more."""
        self.outcomes[outcome] += 1
        self.slowest = max(self.slowest, seconds)
        self.megabytes = max(self.megabytes, megabytes)
        if outcome in ERRORS:
            self.errors.append(f"{outcome}: {what}")


def read_variants(
    data: bytes, judge: Judge, seed: int, first: int, last: int, progress: Path
) -> Result:
    """Variants `first` to `last`, not included, in this process; `progress` is told of each."""
    result, begin = Result(), _peak()
    _limit_addresses()
    place = os.open(progress, os.O_CREAT | os.O_WRONLY)
    before = begin
    for number in range(first, last):
        os.pwrite(place, number.to_bytes(8, "little"), 0)
        kind, variant = mutated(data, seed, number)
        start = time.process_time()
        try:
            outcome, what = judge(variant)
        except Exception as error:  # whatever is not the user's error
            memory = isinstance(error, MemoryError)
            outcome, what = "memory" if memory else "bug", f"{type(error).__name__}: {error}"[:300]
        seconds, peak = time.process_time() - start, _peak()
        if peak - before > MEGABYTES:
            outcome, what = "memory", f"{peak - before:.0f} MB"
        before = peak
        if seconds > HANGS:
            outcome, what = "hung", f"{seconds:.0f} s"
        result.add(outcome, f"variant {number} ({kind}): {what}", seconds, peak - begin)
    os.close(place)
    result.errors = result.errors[:SHOWN]
    return result


def watch(command: Sequence[str], first: int, last: int, folder: Path) -> Result:
    """Run a command that calls `read_variants` and prints `dumped` of what it gives.

    It gets the numbers of the first and last variant and the path of `progress` as last words.
    """
    whole, progress = Result(), folder / "progress"
    while first < last:
        progress.write_bytes(first.to_bytes(8, "little"))
        words = [*command, str(first), str(last), str(progress)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            outcome = _wait(process, progress)
            printed = process.stdout.read() if process.stdout else ""
        if outcome is None:
            _join(whole, json.loads(printed.splitlines()[-1]))
            break
        number = int.from_bytes(progress.read_bytes(), "little")
        # what the process had found before is lost with it: those variants once more, without this
        if number > first:
            _join_all(whole, watch(command, first, number, folder))
        whole.add(outcome, f"variant {number}", 0.0, 0.0)
        first = number + 1
    whole.errors = whole.errors[:SHOWN]
    return whole


def dumped(result: Result) -> str:
    """As a line of text."""
    return json.dumps({**vars(result), "outcomes": dict(result.outcomes)})


def _wait(process: subprocess.Popen[str], progress: Path) -> str | None:
    """None for a process that ended well, or else what became of it."""
    last, since = b"", time.monotonic()
    while True:
        try:
            code = process.wait(0.5)
        except subprocess.TimeoutExpired:
            code = None
        if code is not None and code > 0:
            raise RuntimeError(f"{process.args}: exit code {code}")  # not of a variant
        if code is not None:
            return None if code == 0 else "crashed"
        now = progress.read_bytes()
        if now != last:
            last, since = now, time.monotonic()
        elif time.monotonic() - since > STUCK:  # what it takes to start counts as well
            process.kill()
            process.wait()
            return "hung"


def _join(whole: Result, part: dict) -> None:
    _join_all(whole, Result(**{**part, "outcomes": Counter(part["outcomes"])}))


def _join_all(whole: Result, part: Result) -> None:
    whole.outcomes += part.outcomes
    whole.errors += part.errors
    whole.slowest = max(whole.slowest, part.slowest)
    whole.megabytes = max(whole.megabytes, part.megabytes)


def _peak() -> float:
    """Of the memory of this process, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _limit_addresses() -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGESIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + SPACE, resource.RLIM_INFINITY))
