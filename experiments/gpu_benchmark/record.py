"""Results: a line for each when it comes, and one JSON file that is always complete.

The file names everything that was planned from the beginning, so that whatever ends the benchmark,
what is missing is said: `status` is "planned", "done", "failed" or "left out", the last two with
a `reason`.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpu_benchmark.plan import Measurement
from l3ac_jax.system.files import complete_file

RESULTS_FILE = "results.json"
PLANNED, DONE, FAILED, LEFT_OUT = "planned", "done", "failed", "left out"

# Figures say their unit at the end of their name.
_UNITS = {"s_per_s": ".0f", "ms": ".2f", "s": ".1f", "gib": ".2f", "percent": ".4g", "rms": ".2e"}
_WORDS = {"gib": "GiB", "percent": "%", "rms": "rms", "s_per_s": "s of audio a second"}


@dataclass
class Entry:
    """One job of one measurement."""

    section: str
    measurement: str
    job: str
    status: str = PLANNED
    reason: str | None = None
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.section}: {self.measurement}, {self.job}"


class Record:
    """The entries of a plan, in order. Written anew whenever something is known."""

    def __init__(
        self,
        folder: Path,
        about: Mapping[str, Any],
        say: Callable[[str], None],
    ):
        self.folder, self._say = folder, say
        self.about: dict[str, Any] = dict(about)
        self.entries: dict[tuple[str, str, str], Entry] = {}
        self._start = time.monotonic()
        self.write()

    def add(self, plan: Sequence[Measurement]) -> None:
        """Plan measurements; those that are planned already stay as they are."""
        for measurement in plan:
            for key in measurement.keys:
                self.entries.setdefault(key, Entry(*key))
        self.write()

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries.values())

    def figure(self, section: str, measurement: str, job: str, name: str) -> Any:
        """A figure, or None where there is none."""
        entry = self.entries.get((section, measurement, job))
        return None if entry is None else entry.figures.get(name)

    def note(self, entry: Entry, figures: Mapping[str, Any]) -> None:
        """Keep figures of a job that goes on."""
        entry.figures.update(figures)
        self.write()

    def close(self, entry: Entry, status: str, reason: str | None = None) -> None:
        """The end of a job. Of a job that has ended already, nothing changes."""
        if entry.status != PLANNED:
            return
        entry.status, entry.reason = status, reason
        self.write()
        what = in_words(entry.figures)
        if status != DONE:
            what = f"{status}: {reason}" + (f" ({what})" if what else "")
        self.say(f"{entry.title}: {what or status}")

    def finish(self) -> None:
        """Nothing more is done: what was not begun is left out."""
        for entry in self:
            self.close(entry, LEFT_OUT, "not begun")

    def say(self, text: str) -> None:
        """A line with the time since the start."""
        self._say(f"[{time.monotonic() - self._start:5.0f} s] {text}")

    def write(self) -> None:
        """Replace the file."""
        content = {
            **self.about,
            "seconds": round(time.monotonic() - self._start, 1),
            "results": [
                {
                    key: _finite(value)
                    for key, value in vars(entry).items()
                    if value not in (None, {})
                }
                for entry in self
            ],
        }
        with complete_file(self.folder / RESULTS_FILE, overwrite=True) as part:
            part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _finite(value: Any) -> Any:
    """As JSON has it: without NaN and infinity."""
    if isinstance(value, Mapping):
        return {str(key): _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def in_words(figures: Mapping[str, Any]) -> str:
    """The numbers among figures: "encode 3.75 ms, peak 1.20 GiB"."""
    return ", ".join(
        _one(name, value)
        for name, value in figures.items()
        if isinstance(value, int | float | str) and not isinstance(value, bool)
    )


def _one(name: str, value: float | str) -> str:
    for unit, form in _UNITS.items():
        if isinstance(value, int | float) and name.endswith(f"_{unit}"):
            what = name.removesuffix(f"_{unit}").replace("_", " ")
            return f"{what} {value:{form}} {_WORDS.get(unit, unit)}"
    what = name.replace("_", " ")
    return f"{what} {value}" if isinstance(value, str | int) else f"{what} {value:.4g}"
