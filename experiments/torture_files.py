"""Damaged .l3ac, .safetensors and .pt files, and commands that are killed: nothing lost in silence.

    python experiments/torture_files.py files --variants 100000
    python experiments/torture_files.py kills --kills 100

`files` reads variants of small files: cut off, flipped bits, overwritten, pieces that moved, other
numbers, all by a seed. Processes of their own read them, under limits of time and memory. A variant
is

    refused    an error says that it cannot be read
    told       it is read as far as it goes, and what is missing is told
    whole      it is read as the file itself
    altered    all is there, some with other values: without check sums nobody can tell
    lost       something is missing or wrong, and nothing is told: an error
    bug, memory, crashed, hung    an exception that is not the user's, and so on: errors

`kills` ends commands that write many files (SIGKILL), at random times, and starts them again: what
they have made in the end has to be what an undisturbed run makes, byte by byte.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import tyro

from l3ac_jax.cli.run import FAILED, run_command
from l3ac_jax.errors import ArgumentError

sys.path.insert(0, str(Path(__file__).parent))

from file_torture.kills import Kills, kill_often
from file_torture.reading import OUTCOMES, Result, dumped, read_variants, watch

PROGRAM = "torture_files.py"
EXPERIMENTS = Path(__file__).parent
COMMANDS = ("encode", "tokens", "prepare_data")

app = tyro.extras.SubcommandApp()


@app.command
def files(variants: int = 1000, kinds: tuple[str, ...] = (), seed: int = 0) -> int:
    """Read damaged variants of small files, and say what became of them.

    Args:
        variants: of each kind of file
        kinds: of files; all unless given
        seed: other variants with another one
    """
    from file_torture.files import FILES

    for kind in kinds:
        if kind not in FILES:
            raise ArgumentError(f"{kind}: is none of {', '.join(FILES)}")
    results: dict[str, Result] = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind in kinds or FILES:
            command = [sys.executable, __file__, "read", kind, str(seed)]
            results[kind] = watch(command, 0, variants, Path(folder))
    _show(results)
    return FAILED if any(result.errors for result in results.values()) else 0


@app.command
def read(
    kind: Annotated[str, tyro.conf.Positional],
    seed: Annotated[int, tyro.conf.Positional],
    first: Annotated[int, tyro.conf.Positional],
    last: Annotated[int, tyro.conf.Positional],
    progress: Annotated[Path, tyro.conf.Positional],
) -> None:
    """Read variants in this process: what `files` starts."""
    from file_torture.files import FILES

    data, judge = FILES[kind]()
    print(dumped(read_variants(data, judge, seed, first, last, progress)))


@app.command
def kills(
    kills: int = 100,
    commands: tuple[str, ...] = COMMANDS,
    recordings: int = 60,
    delay: float = 2.0,
    seed: int = 0,
) -> int:
    """Kill commands again and again, and compare what they have made in the end.

    Args:
        kills: of each command
        commands: encode, tokens, prepare_data
        recordings: in the folder that they work on
        delay: seconds after the first change of what a command writes, at most, until it is killed
        seed: other times with another one
    """
    failed = False
    for command in commands:
        if command not in COMMANDS:
            raise ArgumentError(f"{command}: is none of {', '.join(COMMANDS)}")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        _make_recordings(work / "in", recordings)
        for command in commands:
            words = _words(command, work)
            found = kill_often(words, work / "out", kills, seed, delay, _environment(work))
            print(_line(command, found))
            failed = failed or bool(found.errors)
    return FAILED if failed else 0


def _make_recordings(folder: Path, count: int) -> None:
    """Pieces of real recordings, of some tenths of a second."""
    import numpy as np
    import soundfile

    random = np.random.default_rng(0)
    fixtures = EXPERIMENTS.parent / "tests" / "fixtures"
    sources = [soundfile.read(path) for path in sorted(fixtures.glob("*.wav"))]
    for number in range(count):
        samples, rate = sources[number % len(sources)]
        length = int(random.uniform(0.05, 0.24) * rate)
        start = int(random.integers(0, len(samples) - length))
        path = folder / f"{number % 7}" / f"{number}.{'flac' if number % 3 else 'wav'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples[start : start + length], rate)


def _words(command: str, work: Path) -> list[str]:
    source, target = str(work / "in"), str(work / "out")
    if command == "prepare_data":
        script = str(EXPERIMENTS / "prepare_data.py")
        return [sys.executable, script, "folder", source, target, "--workers", "2"]
    model = _model(work)
    words = [sys.executable, "-m", "l3ac_jax.cli", command, source, target, "--model", str(model)]
    return [*words, "--shard-tokens", "1500"] if command == "tokens" else words


def _model(work: Path) -> Path:
    from file_torture.files import small_model

    from l3ac_jax.evaluation.random_params import random_params
    from l3ac_jax.weights.file import save_model_file

    path, config = work / "model.safetensors", small_model()
    if not path.exists():
        save_model_file(path, config, random_params(config, 0))
    return path


def _environment(work: Path) -> dict[str, str]:
    return {**os.environ, "L3AC_JAX_CACHE": str(work / "cache")}


def _line(command: str, found: Kills) -> str:
    lines = [
        f"{command}: {found.kills} kills, {found.writing} of them while a file was being written; "
        f"{found.ends} runs came to their end, {len(found.errors)} of them with other bytes",
        *found.errors,
    ]
    return "\n".join(lines)


def _show(results: dict[str, Result]) -> None:
    """A table in Markdown, and what should not be."""
    head = ["file", "variants", *OUTCOMES, "slowest", "memory at most"]
    rows = [head, ["---"] * len(head)]
    for kind, result in results.items():
        counts = [str(result.outcomes[outcome]) for outcome in OUTCOMES]
        limits = [f"{1000 * result.slowest:.0f} ms", f"{result.megabytes:.0f} MB"]
        rows.append([kind, str(result.outcomes.total()), *counts, *limits])
    for row in rows:
        print(f"| {' | '.join(row)} |")
    for kind, result in results.items():
        for error in result.errors:
            print(f"{kind}: {error}")


def main(argv: list[str] | None = None) -> int:
    """Run the command line. Returns 1 where something was lost, crashed or hung."""
    return run_command(PROGRAM, lambda: app.cli(prog=PROGRAM, description=__doc__, args=argv))


if __name__ == "__main__":
    sys.exit(main())
