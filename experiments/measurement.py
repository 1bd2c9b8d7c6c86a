"""What the benchmarks share: speech, alternating runs of two sides, memory of one of them alone."""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from l3ac_jax.audio import read_audio


def speech(seconds: float, sample_rate: int, clips: int = 1) -> NDArray[np.float32]:
    """(clips, samples) of the recording that ships with the package, repeated to this length."""
    clip = read_audio(Path(str(files("l3ac_jax") / "assets" / "cmu_arctic_a0007.wav")))
    samples = round(seconds * sample_rate)
    return np.resize(clip.samples[0], clips * samples).reshape(clips, samples)


def seconds_of(function: Callable, *arguments) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def alternating(sides: Sequence[Callable[[], object]], repeats: int) -> NDArray[np.float64]:
    """(repeats, sides) seconds of runs that take turns, so that other work falls on all sides."""
    return np.array([[seconds_of(side) for side in sides] for _ in range(repeats)])


def memory_of(script: str, *words: str) -> float:
    """The MiB that another process of a script reports by `report_peak`."""
    command = [sys.executable, script, *words]
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(result.stdout.splitlines()[-1])["mib"]


def report_peak(run: Callable[[], object], before: float | None = None) -> None:
    """Print how many MiB three runs add at their peak to what there is now, or was `before`."""
    before = resident_mib() if before is None else before
    forget_peak()
    for _ in range(3):
        run()
    print(json.dumps({"mib": resident_mib("VmHWM") - before}))


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
