"""Short training runs in each precision, from the same seed: losses and scores."""

from __future__ import annotations

import numpy as np

from gpu_benchmark.job import Voice, work_file
from gpu_benchmark.material import TINY_STEPS, data_words, training_config
from gpu_benchmark.plan import Job, Measurement, Settings


def measurements(tiny: bool) -> list[Measurement]:
    """One run each. Nothing is timed."""
    precisions = ("tf32",) if tiny else ("float32", "tf32", "bfloat16")
    return [
        Measurement(
            "precision",
            "training",
            (
                Job(
                    precision,
                    f"{__name__}:train",
                    {"precision": precision},
                    limit=600.0,
                ),
            ),
            uses_device=True,
        )
        for precision in precisions
    ]


def train(voice: Voice, settings: Settings, precision: str) -> None:
    """The configuration for so many steps, then its evaluation."""
    from l3ac_jax.config import load_config
    from l3ac_jax.training.logs import read_metrics
    from l3ac_jax.training.trainer import train as run_training

    total = TINY_STEPS if settings.tiny else settings.train_steps
    file = training_config(settings)
    given = load_config(file, data_words(settings))
    assert given.data is not None
    words = [*data_words(settings), "--training.precision", precision, "--training.epochs", "1"]
    words += ["--data.clips-per-epoch", str(total * given.data.batch_size)]
    words += ["--training.evaluation.every", str(total), "--training.log-every", "1"]
    words += ["--training.checkpoints.every", str(total)]
    if settings.whisper is not None:
        words += ["--training.whisper", settings.whisper]
    folder = work_file(settings, f"training {precision}")
    with voice.span("training_s"):
        run_training(load_config(file, words), folder, quiet=True)
    entries = read_metrics(folder / "metrics.jsonl")
    losses = {entry["step"]: entry["loss"] for entry in entries if entry["kind"] == "train"}
    last = [losses[step] for step in sorted(losses)[-max(1, total // 5) :]]
    scores = next(entry for entry in entries if entry["kind"] == "evaluation")
    voice.figures(
        steps=total,
        training_loss=float(np.mean(last)),
        **{f"validation_{name}": scores[name] for name in ("loss", "stoi", "pesq")},
        skipped=sum(entry.get("skipped_in_row", 0) > 0 for entry in entries),
        losses=losses,
    )
