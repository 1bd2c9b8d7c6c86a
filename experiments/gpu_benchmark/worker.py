"""The process of a job, as the scheduler sees it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gpu_benchmark.plan import Job, Settings

SCRIPT = Path(__file__).parents[1] / "benchmark_gpu.py"
_PR_SET_PDEATHSIG = 1

# JAX takes memory as it needs it, and compiles everything: no program is found in a cache.
ENVIRONMENT = {
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    "JAX_ENABLE_COMPILATION_CACHE": "false",
    "TF_CPP_MIN_LOG_LEVEL": "2",
}
# Of tiny jobs, nobody asks how long they compile, and the CPU may be slow and busy.
PATIENCE = 20.0
TINY_FLAGS = ["--xla_backend_optimization_level=0"]
TINY_ENVIRONMENT = {
    "JAX_ENABLE_COMPILATION_CACHE": "true",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
}


class Worker:
    """One process, and those that it starts: a group that can be stopped and ended."""

    def __init__(self, job: Job, settings: Settings, log: Path):
        self.job, self.log = job, log
        self.limit = job.limit * (PATIENCE if settings.tiny else 1)
        self.started = time.monotonic()
        self.ready = False
        """waits for runs"""
        self._stopped: list[tuple[float, float]] = []
        self._stop_began: float | None = None
        self._rest = b""
        message = json.dumps(
            {
                "function": job.function,
                "settings": asdict(settings),
                "arguments": dict(job.arguments),
            }
        )
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                ending_with_parent([sys.executable, str(SCRIPT), "--job", message]),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                env=_environment(job, settings),
                start_new_session=True,
            )
        assert self.process.stdin is not None and self.process.stdout is not None
        self.input, self.output = self.process.stdin, self.process.stdout
        os.set_blocking(self.output.fileno(), False)

    @property
    def overdue(self) -> bool:
        """Whether it takes longer than it may to get ready; stops do not count."""
        return not self.ready and self._lasted(self.started, time.monotonic()) > self.limit

    def read(self) -> list[dict[str, Any]] | None:
        """What it has said; None when it is gone."""
        data = self.output.read()
        if data == b"":
            return None
        *lines, self._rest = (self._rest + (data or b"")).split(b"\n")
        return [json.loads(line) for line in lines]

    def ask(self) -> None:
        """For one run."""
        with suppress(BrokenPipeError):
            self.input.write(b"run\n")
            self.input.flush()

    def finish(self) -> None:
        """No more runs."""
        with suppress(BrokenPipeError):
            self.input.close()

    def figures(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Those of a message: spans in seconds, without the time for which it was stopped."""
        spans = message.get("spans", {})
        return message.get("figures", {}) | {
            name: round(self._lasted(*span), 3) for name, span in spans.items()
        }

    def stop(self) -> None:
        """Let it stand still."""
        self._signal(signal.SIGSTOP)
        self._stop_began = time.monotonic()

    def resume(self) -> None:
        """Let it go on."""
        if self._stop_began is not None:
            self._stopped.append((self._stop_began, time.monotonic()))
            self._stop_began = None
            self._signal(signal.SIGCONT)

    def end(self) -> int:
        """Kill what is left, and wait; its exit code."""
        self._signal(signal.SIGKILL)
        with suppress(BrokenPipeError):
            self.input.close()
        self.output.close()
        return self.process.wait()

    def last_words(self) -> str:
        """The last line of its log."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else ""

    def _lasted(self, start: float, end: float) -> float:
        pauses = [*self._stopped]
        if self._stop_began is not None:
            pauses.append((self._stop_began, end))
        stopped = sum(max(0.0, min(end, b) - max(start, a)) for a, b in pauses)
        return end - start - stopped

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


def ending_with_parent(words: list[str]) -> list[str]:
    """The command that runs a program which is killed when the process that started it ends.

    A signal, since it also reaches what stands still; only on Linux. It is asked for in the new
    process: a function to run between fork and exec makes JAX warn of the fork.
    """
    if not sys.platform.startswith("linux"):
        return words
    ask = f"ctypes.CDLL(None).prctl({_PR_SET_PDEATHSIG}, {int(signal.SIGKILL)})"
    become = "os.execv(sys.argv[1], sys.argv[1:])"
    return [sys.executable, "-c", f"import ctypes, os, sys; {ask}; {become}", *words]


def _environment(job: Job, settings: Settings) -> dict[str, str]:
    environment = {**os.environ, **ENVIRONMENT}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    if settings.tiny:
        environment |= TINY_ENVIRONMENT
        environment["JAX_COMPILATION_CACHE_DIR"] = str(Path(settings.work) / "programs")
    environment["TORCHINDUCTOR_CACHE_DIR"] = str(Path(settings.work) / "inductor")
    flags = [environment.get("XLA_FLAGS", ""), job.environment.get("XLA_FLAGS", "")]
    flags += TINY_FLAGS if settings.tiny else []
    return environment | dict(job.environment) | {"XLA_FLAGS": " ".join(flags).strip()}
