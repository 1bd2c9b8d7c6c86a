"""What the benchmarks share: speech, sides in processes of their own, memory."""

import gc
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from l3ac_jax.audio.reading import read_audio


def speech(seconds: float, sample_rate: int, clips: int = 1) -> NDArray[np.float32]:
    """(clips, samples) of the recording that ships with the package, repeated to this length."""
    clip = read_audio(Path(str(files("l3ac_jax") / "assets" / "cmu_arctic_a0007.wav")))
    samples = round(seconds * sample_rate)
    return np.resize(clip.samples[0], clips * samples).reshape(clips, samples)


def alternating(sides: Sequence[Callable[[], object]], repeats: int) -> NDArray[np.float64]:
    """(repeats, sides) seconds of runs that take turns, so that other work falls on all sides."""
    return np.array([[_seconds_of(side) for side in sides] for _ in range(repeats)])


def _seconds_of(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


class Side:
    """A script in a process of its own, which runs what it measures when it is asked to (`serve`).

    Two sides in one process would cut up each other's memory and wait for each other's threads.
    To be used as a context manager; at its end the process leaves.
    """

    def __init__(self, script: str, *words: str):
        pipe = subprocess.PIPE
        command = [sys.executable, script, *words]
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)

    def run(self) -> dict[str, float]:
        """What `serve` says of one run."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write("run\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"a side ended with exit code {self._process.wait()}")
        return json.loads(answer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()  # closes its input, and waits


def serve(run: Callable[[], dict[str, float]], before: float) -> None:
    """Run once for each line of input, until it ends.

    Each time, print the result with `seconds`, and `mib`: the peak so far above `before`.
    """
    gc.collect()
    forget_peak()
    for _ in sys.stdin:
        start = time.perf_counter()
        result = run()
        seconds = time.perf_counter() - start
        peak = resident_mib("VmHWM") - before
        print(json.dumps({**result, "seconds": seconds, "mib": peak}), flush=True)


def forget_peak() -> None:
    """Let VmHWM begin anew, as after loading."""
    with suppress(OSError):  # not Linux, or not allowed
        Path("/proc/self/clear_refs").write_text("5")


def resident_mib(field: str = "VmRSS") -> float:
    """VmRSS (now) or VmHWM (peak) of this process."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:  # not Linux: the peak is all there is
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024
