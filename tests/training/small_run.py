"""A training run in small: a codec of a few thousand parameters on crops of 0.1 s of speech."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import soundfile as sf

from l3ac_jax.config import CodecConfig, ExperimentConfig, dump_config
from l3ac_jax.data.prepare import prepare
from tests.data.trees import CUT, FIXTURES

ROOT = Path(__file__).parents[2]
STEPS = 40

# One stage of everything: what compiles in seconds.
TINY = CodecConfig.model_validate(
    {
        "feature_dim": 8,
        "encoder": {"rates": (4,), "dims": (4, 8), "depths": (1, 1)},
        "decoder": {"rates": (4,), "dims": (8, 4), "depths": (1, 1), "last_layer": "plain"},
        "tpooling": {"encoder_kernels": (1, 5), "decoder_kernels": (1, 3)},
        "transformer": {
            "encoder_depth": 1,
            "decoder_depth": 1,
            "window_size": 8,
            "compress_rate": 1,
        },
        "quantizer": {"levels": (5, 4, 3)},
    }
)

TRAINING: dict[str, Any] = {
    "epochs": 2,
    "log_every": 1,
    "average_decay": 0.9,
    "loss": {"perceptual": 0.0, "stft": 0.0},
    "optimizer": {"initial_rate": 1e-4, "peak_rate": 1e-3, "final_rate": 1e-5},
    "discriminator": {
        "every": 3,
        "periods": [3],
        "fft_sizes": [],
        "period_widths": [4, 6, 8],
        "spectrum_width": 4,
    },
    "evaluation": {"every": 15, "workers": 0, "examples": 1},
    "checkpoints": {"every": 5},
}


def prepare_corpus(folder: Path) -> Path:
    """20 clips of 0.5 s in two shards."""
    audio, rate = sf.read(FIXTURES / "librivox_sense_0870.wav", dtype="int16")
    (folder / "source").mkdir(parents=True)
    for number in range(20):
        part = np.roll(audio, -2000 * number)[:8000]
        sf.write(folder / "source" / f"{number:02}.wav", part, rate)
    prepare("folder", folder / "source", folder / "data", CUT, workers=1)
    return folder / "data"


def small_experiment(corpus: Path, **changes: Any) -> ExperimentConfig:
    """`changes` of [training], table by table."""
    training = {
        key: {**value, **changes.pop(key, {})}
        if isinstance(value, dict)
        else changes.pop(key, value)
        for key, value in TRAINING.items()
    }
    corpora = [{"corpus": "folder", "path": str(corpus)}]
    data = {
        "corpora": corpora,
        "batch_size": 4,
        "seconds": 0.1,
        "clips_per_epoch": 2 * STEPS,
        "workers": 1,
        "evaluation": {"corpora": corpora, "split": "train", "clips": 3},
    }
    return ExperimentConfig.model_validate(
        {"model": TINY, "data": data, "training": training | changes}
    )


def write_config(config: ExperimentConfig, folder: Path) -> Path:
    path = folder / "experiment.toml"
    path.write_text(dump_config(config))
    return path


def start_training(
    config: Path,
    run: Path,
    cache: Path,
    *words: str,
    program: Sequence[str] = ("experiments/train.py",),
    may_begin_anew: bool = False,
    **variables: str,
) -> subprocess.Popen:
    """The command in a process of its own, and no other, for however long that compiles."""
    from tests.quick import QUICK_FLAGS  # which looks for devices

    environment = {
        **os.environ,
        "L3AC_JAX_CACHE": str(cache),
        "XLA_FLAGS": QUICK_FLAGS,
        **variables,
    }
    if not may_begin_anew:
        environment["L3AC_JAX_BEGUN_ANEW"] = "1"
    command = [sys.executable, *program, config, "--run-dir", run, *words]
    return subprocess.Popen(
        [*map(str, command)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def run_training(
    config: Path,
    run: Path,
    cache: Path,
    *words: str,
    code: int = 0,
    variables: Mapping[str, str] = MappingProxyType({}),
    program: Sequence[str] = ("experiments/train.py",),
    may_begin_anew: bool = False,
) -> str:
    """Run the command to its end, insist on its exit code, and return what it printed."""
    process = start_training(
        config, run, cache, *words, program=program, may_begin_anew=may_begin_anew, **variables
    )
    output, _ = process.communicate(timeout=3600)
    assert process.returncode == code, output
    return output
