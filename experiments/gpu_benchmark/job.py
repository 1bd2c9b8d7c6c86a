"""The process of a job: it prepares, says that it is ready, and runs when it is asked to.

It speaks JSON, one object a line, on what was its standard output: `figures` that it knows, with
the `spans` of time (seconds of the monotonic clock, which all processes share) that they took, as
the scheduler may stop a process meanwhile; then `ready`; then `ran` for each line of input; at the
end of input, the last figures and `over`. What libraries print goes to its log.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from gpu_benchmark.plan import Settings

Run = Callable[[], dict[str, float]]
"""Something to time: what one run of it took, or gave, by name."""
Preparation = Callable[..., Run | None]
"""A job's function: takes the `Voice`, `Settings`, and the job's arguments."""


class Voice:
    """What a job says to the scheduler."""

    def __init__(self, pipe: IO[str]):
        self._pipe = pipe
        self.at_end: Callable[[], dict[str, Any]] = dict
        """asked for figures that are known at the end"""

    def send(self, event: str, **content: Any) -> None:
        """One line."""
        self._pipe.write(json.dumps({"event": event, **content}) + "\n")
        self._pipe.flush()

    def figures(self, **figures: Any) -> None:
        """Known now."""
        self.send("figures", figures=figures)

    @contextlib.contextmanager
    def span(self, name: str) -> Iterator[None]:
        """The seconds that a block takes, as the figure `name`."""
        start = time.monotonic()
        yield
        self.send("figures", spans={name: [start, time.monotonic()]})


def run_job(message: str) -> None:
    """What the process does; `message` is what `worker.message` made."""
    pipe = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    voice = Voice(pipe)
    content = json.loads(message)
    try:
        module, _, function = content["function"].partition(":")
        prepare: Preparation = getattr(importlib.import_module(module), function)
        run = prepare(voice, Settings(**content["settings"]), **content["arguments"])
        if run is not None:
            voice.send("ready")
            for _ in sys.stdin:
                voice.send("ran", figures=run())
        voice.figures(**voice.at_end())
        voice.send("over")
    except Exception as error:
        traceback.print_exc()
        lines = str(error).strip().splitlines() or [""]
        voice.send("failed", reason=f"{type(error).__name__}: {lines[0][:300]}")
    # Without waiting for what libraries would do at the end: the next job waits for this one.
    sys.stderr.flush()
    os._exit(0)


def timed(function: Callable[[], object]) -> float:
    """Milliseconds of a call."""
    start = time.perf_counter()
    function()
    return 1e3 * (time.perf_counter() - start)


def work_file(settings: Settings, name: str) -> Path:
    """Where jobs leave things for each other."""
    return Path(settings.work) / name
