"""A training run that is killed and goes on, against one that nothing disturbed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from gpu_benchmark import steps
from gpu_benchmark.job import Voice, work_file
from gpu_benchmark.material import TINY_STEPS, data_words, training_config
from gpu_benchmark.plan import Job, Measurement, Settings
from gpu_benchmark.worker import ending_with_parent
from l3ac_jax.config import dump_config, load_config

TRAIN = Path(__file__).parents[1] / "train.py"
# Known to every build of XLA; programs for a CPU are deterministic without.
DETERMINISTIC = {"XLA_FLAGS": "--xla_gpu_deterministic_ops=true"}
STEPS, BATCH = 40, 4
KILLED, COST = "killed and resumed", "generator"


def measurements(tiny: bool) -> list[Measurement]:
    """What deterministic operations cost, and whether runs are equal with and without them."""
    side = "float32" if tiny else "tf32"
    cost = steps.measurement(COST, side, tiny).jobs[0]
    price = replace(cost, name=f"{cost.name}, deterministic", environment=DETERMINISTIC)
    variants = ([] if tiny else [("deterministic", DETERMINISTIC)]) + [("as it is", {})]
    audio_seconds = cost.arguments["clips"] * cost.arguments["seconds"]
    return [
        *([] if tiny else [
            Measurement("resume", COST, (price,), warm_up=3, audio_seconds=audio_seconds)
        ]),
        *(
            Measurement(
                "resume",
                KILLED,
                (Job(name, f"{__name__}:compare", {"name": name}, environment=environment),),
                uses_device=True,
            )
            for name, environment in variants
        ),
    ]  # fmt: skip


def compare(voice: Voice, settings: Settings, name: str) -> None:
    """Trains twice to the same step, once with SIGKILL on the way."""
    total = TINY_STEPS if settings.tiny else STEPS
    folder = work_file(settings, f"resume {name}")
    folder.mkdir()
    _write_config(settings, folder, total)
    with voice.span("killed_s"):
        killed_after = _train(folder, "killed", kill_after=total // 2)
    with voice.span("resumed_s"):
        _train(folder, "killed")
    with voice.span("undisturbed_s"):
        _train(folder, "undisturbed")
    one, other = (_arrays(folder / run, total) for run in ("killed", "undisturbed"))
    if one.keys() != other.keys():
        raise ValueError("the two runs hold different arrays")
    unequal = [path for path in one if one[path].tobytes() != other[path].tobytes()]
    voice.figures(
        steps=total,
        killed_after_step=killed_after,
        arrays=len(one),
        unequal_arrays=len(unequal),
        same_to_the_bit="no" if unequal else "yes",
    )


def _write_config(settings: Settings, folder: Path, total: int) -> None:
    words = ["--training.epochs", "1", "--data.batch-size", str(BATCH)]
    words += ["--data.clips-per-epoch", str(BATCH * total)]
    words += ["--training.checkpoints.every", str(max(1, total // 8))]
    config = load_config(training_config(settings), [*data_words(settings), *words])
    assert config.data is not None
    data = config.data.model_copy(update={"evaluation": None})  # and no program for it
    text = dump_config(config.model_copy(update={"data": data}))
    (folder / "config.toml").write_text(text, encoding="utf-8")


def _train(folder: Path, run: str, kill_after: int | None = None) -> int:
    """Run train.py to its end, or until it has a checkpoint of a step; the last checkpoint's."""
    # As with train.py's own cache: one compilation for the three of them.
    environment = {"JAX_COMPILATION_CACHE_DIR": str(folder / "programs"), **os.environ}
    environment["JAX_ENABLE_COMPILATION_CACHE"] = "true"
    words = [sys.executable, str(TRAIN), str(folder / "config.toml")]
    words += ["--run-dir", str(folder / run), "--quiet"]
    process = subprocess.Popen(ending_with_parent(words), env=environment)
    while process.poll() is None:
        if kill_after is not None and _last_checkpoint(folder / run) >= kill_after:
            process.kill()
        time.sleep(0.02)
    expected = 0 if kill_after is None else -signal.SIGKILL
    if process.returncode != expected:
        raise RuntimeError(f"train.py ended with {process.returncode}, not with {expected}")
    return _last_checkpoint(folder / run)


def _last_checkpoint(run: Path) -> int:
    # Unfinished ones have longer names.
    names = [path.name for path in run.glob("checkpoints/*")]
    return max((int(name) for name in names if name.isdecimal()), default=0)


def _arrays(run: Path, step: int) -> dict[str, np.ndarray]:
    """All that a checkpoint holds, by path."""
    import jax
    import orbax.checkpoint as ocp

    arrays: dict[str, Any] = {}
    for item in ("params", "state"):
        with ocp.StandardCheckpointer() as checkpointer:
            tree = checkpointer.restore((run / "checkpoints" / str(step) / item).absolute())
        for path, leaf in jax.tree.leaves_with_path(tree):
            arrays[item + jax.tree_util.keystr(path)] = np.asarray(leaf)
    return arrays
