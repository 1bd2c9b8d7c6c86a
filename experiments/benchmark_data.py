"""Speed of the data pipeline: seconds of audio a second, beside the naive loop over files.

The naive loop does for each clip what a training script does without a pipeline: read the whole
file (soundfile), average channels, resample (librosa), normalize, crop, pad. Both sides take clips
of the same folder at random, alternate, and count audio, not padding.

Example: python experiments/benchmark_data.py my/recordings --workers 0 1 2
         python experiments/benchmark_data.py my/recordings --workers 2 --memory-batches 10000
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import librosa
import numpy as np
import soundfile
import tyro
from rich.table import Table

from l3ac_jax.cli.printing import print_table
from l3ac_jax.cli.run import run_command
from l3ac_jax.config.data import CorpusConfig, DataConfig
from l3ac_jax.data.corpora import find_recordings
from l3ac_jax.data.loader import BatchLoader
from l3ac_jax.data.prepare import prepare
from l3ac_jax.data.recordings import Cut

PROGRAM = "benchmark_data.py"
SAMPLE_RATE = 16000


@dataclass(frozen=True)
class Options:
    """What to measure."""

    source: tyro.conf.Positional[Path]
    """Folder of recordings; it is prepared in a temporary folder."""
    workers: tuple[int, ...] = (0, 1, 2)
    """Numbers of worker processes to compare."""
    batch_size: int = 24
    seconds: float = 7.2
    """Length of a crop."""
    batches: int = 10
    """Batches of each side in each round."""
    rounds: int = 5
    memory_batches: int = 0
    """Make so many batches with the last number of workers, and report memory on the way."""


def naive(options: Options) -> Iterator[float]:
    """Endless batches; yields the seconds of audio in each."""
    rng = np.random.default_rng(0)
    files = [recording.path for recording in find_recordings("folder", options.source)]
    crop = round(options.seconds * SAMPLE_RATE)
    while True:
        batch = np.zeros((options.batch_size, crop), np.float32)
        filled = 0
        for row in batch:
            audio, rate = soundfile.read(
                files[rng.integers(len(files))], dtype="float32", always_2d=True
            )
            audio = audio.mean(axis=1)
            if rate != SAMPLE_RATE:
                audio = librosa.resample(
                    audio, orig_sr=rate, target_sr=SAMPLE_RATE, res_type="soxr_vhq"
                )
            count = max(1, len(audio) // 1000)
            level = np.partition(np.abs(audio), len(audio) - count)[-count:].mean()
            audio = np.clip(audio / (level / 0.75 + 1e-6), -1, 1)
            start = rng.integers(max(1, len(audio) - crop + 1))
            part = audio[start : start + crop]
            row[: len(part)] = part
            filled += len(part)
        yield filled / SAMPLE_RATE


def rate(make: Callable[[], float], batches: int) -> float:
    """Seconds of audio per second."""
    start = time.perf_counter()
    seconds = sum(make() for _ in range(batches))
    return seconds / (time.perf_counter() - start)


def compare(options: Options, config: DataConfig) -> None:
    """Alternating rounds of all sides; prints medians."""
    with ExitStack() as stack:
        files = naive(options)
        sides: dict[str, Callable[[], float]] = {"naive": lambda: next(files)}
        ahead = {"naive": 1}
        for workers in options.workers:
            loader = stack.enter_context(BatchLoader(config, SAMPLE_RATE, workers=workers))
            name = f"{workers} workers"
            sides[name] = lambda loader=loader: float(next(loader)["lengths"].sum() / SAMPLE_RATE)
            # What was made ahead while the others ran is not counted.
            ahead[name] = 2 * workers + 1
        rates: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(options.rounds):
            for name, make in sides.items():
                for _ in range(ahead[name]):
                    make()
                rates[name].append(rate(make, options.batches))
    table = Table(
        "side", "s/s", "times naive", title=f"{options.batch_size} crops of {options.seconds:g} s"
    )
    for name, measured in rates.items():
        ratio = np.median(np.array(measured) / rates["naive"])
        table.add_row(name, f"{np.median(measured):.0f}", f"{ratio:.2f}")
    print_table(table, 100)


def watch_memory(options: Options, config: DataConfig) -> None:
    """Print the memory of this process and its workers ten times on the way."""
    with BatchLoader(config, SAMPLE_RATE, workers=options.workers[-1]) as loader:
        start, seconds = time.perf_counter(), 0.0
        for number in range(options.memory_batches + 1):
            seconds += float(next(loader)["lengths"].sum() / SAMPLE_RATE)
            if number % max(1, options.memory_batches // 10) == 0:
                speed = seconds / (time.perf_counter() - start)
                print(f"{number:6d} batches, {speed:5.0f} s/s: {_memory()}", flush=True)


def _memory() -> str:
    """Anonymous memory in MB, of this process and of those it started (Linux)."""
    pids = Path("/proc/self/task").glob("*/children")
    family = ["self", *(pid for path in pids for pid in path.read_text().split())]
    sizes = []
    for pid in family:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        sizes += [int(line.split()[1]) // 1024 for line in lines if line.startswith("RssAnon")]
    return " + ".join(map(str, sizes)) + " MB"


def run(options: Options) -> None:
    """Prepares the folder, measures, prints."""
    with TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared"
        prepare("folder", options.source, prepared, Cut(SAMPLE_RATE, 0.1, 1e-3, 30.0))
        config = DataConfig(
            corpora=(CorpusConfig(corpus="folder", path=str(prepared)),),
            batch_size=options.batch_size,
            seconds=options.seconds,
        )
        if options.memory_batches:
            watch_memory(options, config)
        else:
            compare(options, config)


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    return run_command(
        PROGRAM, lambda: run(tyro.cli(Options, prog=PROGRAM, description=__doc__, args=argv))
    )


if __name__ == "__main__":
    sys.exit(main())
