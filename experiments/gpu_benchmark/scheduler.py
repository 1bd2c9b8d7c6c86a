"""Prepares several jobs at once, and times them one measurement at a time.

Most of the time goes by in compiling, on one core or two for each program. So some jobs prepare
side by side; whenever all jobs of a measurement are ready, everything else is stopped (SIGSTOP),
the jobs take turns, and the rest goes on. Nothing is timed beside anything else; the seconds of
compiling are those beside other compilers, less what they were stopped.
"""

from __future__ import annotations

import selectors
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from gpu_benchmark.plan import Job, Measurement, Settings
from gpu_benchmark.record import DONE, FAILED, LEFT_OUT, Entry, Record
from gpu_benchmark.worker import Worker

POLL_SECONDS = 0.5
NO_TIME = "no time"
LONGEST_RUN_SECONDS = 120.0


@dataclass
class _Place:
    """A job on its way."""

    job: Job
    entry: Entry
    worker: Worker | None = None
    over: bool = False
    runs: dict[str, list[float]] = field(default_factory=dict)
    last: dict[str, Any] | None = None
    """the answer to the run under way"""


class Scheduler:
    """Carries out a plan before `deadline` (of the monotonic clock).

    A section has until its own deadline, where `limits` (seconds from its first job) has one.
    """

    def __init__(
        self,
        plan: Sequence[Measurement],
        record: Record,
        settings: Settings,
        deadline: float,
        at_once: int,
        limits: dict[str, float],
    ):
        self.record, self.settings = record, settings
        self.deadline, self.at_once, self.limits = deadline, at_once, limits
        self.started: dict[str, float] = {}
        self.open = [
            (
                measurement,
                [
                    _Place(job, record.entries[key])
                    for job, key in zip(measurement.jobs, measurement.keys, strict=True)
                ],
            )
            for measurement in plan
        ]
        self.selector = selectors.DefaultSelector()

    def run(self) -> None:
        """Until everything is measured or has been left out."""
        reason = "interrupted"
        try:
            while self.open and time.monotonic() < self.deadline:
                self._start_jobs()
                self._listen(POLL_SECONDS)
                self._give_up()
                for measurement, places in self.open:
                    ready = [place for place in places if _is_ready(place)]
                    if ready and all(place.over or place in ready for place in places):
                        self._measure(measurement, places)
                self.open = [pair for pair in self.open if not all(p.over for p in pair[1])]
            reason = NO_TIME
        finally:
            for _, places in self.open:
                for place in places:
                    self._end(place, LEFT_OUT, reason)

    def _start_jobs(self) -> None:
        """In order; one that keeps the device busy not while programs are being prepared."""
        preparing = [
            measurement
            for measurement, places in self.open
            for place in places
            if not place.over and place.worker is not None and not place.worker.ready
        ]
        for measurement, places in self.open:
            for place in places:
                if place.over or place.worker is not None:
                    continue
                others = {other.uses_device for other in preparing}
                if len(preparing) >= self.at_once or others - {measurement.uses_device}:
                    return
                self._start(place)
                preparing.append(measurement)

    def _start(self, place: _Place) -> None:
        entry = place.entry
        self.started.setdefault(entry.section, time.monotonic())
        name = "-".join(entry.title.translate(str.maketrans(":,/", "   ")).split())
        log = self.record.folder / "logs" / f"{name}.log"
        log.parent.mkdir(exist_ok=True)
        place.worker = Worker(place.job, self.settings, log)
        self.selector.register(place.worker.output, selectors.EVENT_READ, place)

    def _listen(self, seconds: float) -> None:
        for key, _ in self.selector.select(seconds):
            place: _Place = key.data
            assert place.worker is not None
            messages = place.worker.read()
            if messages is None:
                words = place.worker.last_words()
                self._end(place, FAILED, f"the process ended with exit code {{code}}: {words}")
                continue
            for message in messages:
                self._hear(place, place.worker, message)

    def _hear(self, place: _Place, worker: Worker, message: dict[str, Any]) -> None:
        match message["event"]:
            case "figures":
                self.record.note(place.entry, worker.figures(message))
            case "ready":
                worker.ready = True
            case "ran":
                place.last = message["figures"]
            case "over":
                self._end(place, DONE, None)
            case "failed":
                self._end(place, FAILED, message["reason"])

    def _give_up(self) -> None:
        """On jobs that are stuck, and on sections whose time is over."""
        now = time.monotonic()
        for measurement, places in self.open:
            limit = self.limits.get(measurement.section)
            begun = self.started.get(measurement.section, now)
            for place in places:
                if limit is not None and now - begun > limit:
                    reason = f"{NO_TIME}: this section's {limit:.0f} s are over"
                    self._end(place, LEFT_OUT, reason)
                elif place.worker is not None and place.worker.overdue:
                    reason = f"{NO_TIME}: not ready after {place.worker.limit:.0f} s"
                    self._end(place, LEFT_OUT, reason)

    def _measure(self, measurement: Measurement, places: Sequence[_Place]) -> None:
        with self._alone():
            for keep, turns in ((False, measurement.warm_up), (True, measurement.repeats)):
                start = time.monotonic()
                for _ in range(turns):
                    for place in places:
                        self._run(place, keep)
                    if time.monotonic() - start > measurement.longest:
                        break
        for place in places:
            if not place.over and place.worker is not None:
                if place.runs:
                    self.record.note(place.entry, _summary(place.runs, measurement.audio_seconds))
                place.worker.finish()
        until = time.monotonic() + 20.0
        while not all(place.over for place in places) and time.monotonic() < until:
            self._listen(POLL_SECONDS)
        for place in places:
            self._end(place, DONE, None)

    def _run(self, place: _Place, keep: bool) -> None:
        if place.over or place.worker is None:
            return
        for name, value in self._answer(place, place.worker).items():
            if keep:
                place.runs.setdefault(name, []).append(value)

    def _answer(self, place: _Place, worker: Worker) -> dict[str, Any]:
        """What a run gave; nothing where it did not come to its end."""
        place.last = None
        worker.ask()
        until = min(self.deadline, time.monotonic() + LONGEST_RUN_SECONDS)
        while place.last is None and not place.over:
            self._listen(max(0.0, until - time.monotonic()))
            if time.monotonic() >= until:
                self._end(place, LEFT_OUT, f"{NO_TIME} for a run")
        return place.last or {}

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """While all who prepare stand still."""
        others = [
            place.worker
            for _, places in self.open
            for place in places
            if place.worker is not None and not place.over and not place.worker.ready
        ]
        for worker in others:
            worker.stop()
        try:
            yield
        finally:
            for worker in others:
                worker.resume()

    def _end(self, place: _Place, status: str, reason: str | None) -> None:
        if place.over:
            return
        place.over = True
        if place.worker is not None:
            self.selector.unregister(place.worker.output)
            code = place.worker.end()
            reason = reason and reason.replace("{code}", str(code))
        self.record.close(place.entry, status, reason)


def _is_ready(place: _Place) -> bool:
    return not place.over and place.worker is not None and place.worker.ready


def _summary(runs: dict[str, list[float]], audio_seconds: float | None) -> dict[str, Any]:
    """Medians, and all runs."""
    medians = {name: median(values) for name, values in runs.items()}
    figures: dict[str, Any] = dict(medians)
    milliseconds = sum(value for name, value in medians.items() if name.endswith("_ms"))
    if audio_seconds is not None and milliseconds:
        figures["times_real_time"] = 1e3 * audio_seconds / milliseconds
    slowest = {f"slowest_{name}": max(runs[name]) for name in runs if name.endswith("_ms")}
    return figures | slowest | {"runs": runs}
