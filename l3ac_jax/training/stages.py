"""What each stage of a training run computes, with which numbers, on which batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jax

from l3ac_jax.config import CodecConfig, ExperimentConfig
from l3ac_jax.config.stages import Stage
from l3ac_jax.config.training import TrainingConfig
from l3ac_jax.data.loader import BatchLoader
from l3ac_jax.training.devices import Devices
from l3ac_jax.training.hyperparameters import Hyperparameters, make_hyperparameters
from l3ac_jax.training.step import Steps, make_steps


@dataclass(frozen=True)
class StageProgram:
    """What a stage of a run computes, and the numbers that it computes with."""

    stage: Stage
    steps: Steps
    hyperparameters: Hyperparameters


def stage_programs(
    config: CodecConfig,
    training: TrainingConfig,
    stages: Sequence[Stage],
    devices: Devices,
    teacher: CodecConfig | None = None,
) -> tuple[StageProgram, ...]:
    """Those of a run, in order. Raises ConfigError for rates of layers that are not there."""
    judged = sum(stage.end - stage.begin for stage in stages if "adversarial" in stage.terms)
    return tuple(
        StageProgram(
            stage,
            make_steps(config, training, stage.terms, teacher),
            jax.device_put(
                make_hyperparameters(
                    config, stage.training, stage.end - stage.begin, stage.begin, judged
                ),
                devices.replicated,
            ),
        )
        for stage in stages
    )


def program_at(programs: Sequence[StageProgram], step: int) -> StageProgram:
    """That of the next step, or the last one's at the end."""
    return next((one for one in programs if step < one.stage.end), programs[-1])


def stage_loader(
    stage: Stage, config: ExperimentConfig, step: int = 0, workers: int | None = None
) -> BatchLoader:
    """The batches of a stage, from that of `step` on. Raises what `BatchLoader` raises."""
    rate = config.model.sample_rate
    places = jax.process_index(), jax.process_count()
    loader = BatchLoader(stage.data, rate, *places, workers)
    loader.step = step
    return loader


def audio_seconds(stage: Stage) -> float:
    """Seconds of audio in a step."""
    return stage.data.batch_size * stage.data.seconds
