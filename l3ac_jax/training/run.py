"""What a training run holds open, and where its state comes from.

    RUN/config.toml      the configuration, every field written out
    RUN/checkpoints/     see checkpoints.py
    RUN/metrics.jsonl    losses and scores; the same for TensorBoard in RUN/tensorboard/

The state is, in this order: that of the newest checkpoint in RUN; else, with a `Beginning`, the
parameters of that model and nothing else of it; else random parameters, from the configuration's
seed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from l3ac_jax.config import CodecConfig, ExperimentConfig, differences, dump_config
from l3ac_jax.config.stages import all_terms
from l3ac_jax.config.training import TrainingConfig
from l3ac_jax.data.evaluation import EvaluationClips
from l3ac_jax.data.loader import BatchLoader
from l3ac_jax.errors import ConfigError
from l3ac_jax.model.params import in_words
from l3ac_jax.system.compilation import CompilationWatch, quick_compilation
from l3ac_jax.system.files import complete_file
from l3ac_jax.training.beginnings import Beginning
from l3ac_jax.training.checkpoints import Checkpoints
from l3ac_jax.training.devices import Devices, all_devices
from l3ac_jax.training.folders import RunKind
from l3ac_jax.training.hyperparameters import Hyperparameters
from l3ac_jax.training.logs import NoLog, RunLog
from l3ac_jax.training.objective import Weights
from l3ac_jax.training.progress import TrainingProgress
from l3ac_jax.training.stages import (
    StageProgram,
    audio_seconds,
    program_at,
    stage_loader,
    stage_programs,
)
from l3ac_jax.training.step import Steps, TrainState, make_steps
from l3ac_jax.training.teacher import load_teacher
from l3ac_jax.training.validation import Evaluator
from l3ac_jax.training.whisper_weights import load_whisper_encoder
from l3ac_jax.weights.folder import CHECKPOINTS_FOLDER, CONFIG_FILE

CODEC_RUN = RunKind("training run", lock="lock", mark=CHECKPOINTS_FOLDER)


@dataclass
class TrainingRun:
    """The parts of a run. `state` is that after `step` steps of `total`."""

    folder: Path
    config: ExperimentConfig
    training: TrainingConfig
    devices: Devices
    programs: tuple[StageProgram, ...]
    program: StageProgram
    """that of the next step"""
    loader: BatchLoader
    evaluator: Evaluator | None
    checkpoints: Checkpoints
    whisper: dict | None
    teacher: dict | None
    state: TrainState
    step: int
    log: RunLog | NoLog
    progress: TrainingProgress | None
    """None where nothing is to be shown"""
    reference_logged: bool = False

    @property
    def total(self) -> int:
        """The steps of all stages."""
        return self.programs[-1].stage.end

    @property
    def steps(self) -> Steps:
        """Of the present stage."""
        return self.program.steps

    @property
    def hyperparameters(self) -> Hyperparameters:
        """Of the present stage."""
        return self.program.hyperparameters

    @property
    def judging_weights(self) -> Weights:
        """Of the losses in evaluations: those of the last stage, so that all can be compared."""
        return self.programs[-1].hyperparameters.loss

    @property
    def evaluate_every(self) -> int:
        """Steps from one evaluation to the next, in the present stage."""
        return self.training.evaluation.every or self.program.stage.data.steps_per_epoch

    def enter_stage(self) -> None:
        """Go on with the data and the numbers of the stage that the next step is in."""
        self.loader.close()
        self.program = program_at(self.programs, self.step)
        self.loader = stage_loader(self.program.stage, self.config, self.step)
        if self.progress is not None:
            self.progress.audio_seconds = audio_seconds(self.program.stage)
            number = self.programs.index(self.program) + 1
            self.note(f"step {self.step}: stage {number} of {len(self.programs)}")

    @property
    def judged(self) -> bool:
        """Whether there are discriminators."""
        return self.steps.objective.adversarial

    @property
    def trains_discriminators(self) -> bool:
        """Whether the discriminators take the next step too."""
        return self.judged and self.step % self.training.discriminator.every == 0

    @property
    def model_params(self) -> dict:
        """The parameters that are evaluated: their average, where there is one."""
        return self.state.params if self.state.average is None else self.state.average

    def note(self, text: str) -> None:
        """Tell the user."""
        if self.progress is not None:
            self.progress.note(text)


@contextmanager
def open_run(
    config: ExperimentConfig, folder: Path, beginning: Beginning | None, quiet: bool
) -> Iterator[TrainingRun]:
    """A run, ready for its next step. Raises what `train` raises before anything is trained."""
    stages, training = config.stages, config.training
    assert training is not None
    devices = all_devices()
    for stage in stages:
        devices.check_batch(stage.data.batch_size, training.micro_batches)
    # What can be wrong comes first, and what takes long last.
    taught, teacher = _teacher(config.model, training, devices)
    # With all that one of the stages needs: what a run keeps is the same throughout.
    steps = make_steps(config.model, training, all_terms(training), taught)
    programs = stage_programs(config.model, training, stages, devices, taught)
    first = jax.process_index() == 0
    whisper = _whisper(training, steps, devices)
    with ExitStack() as stack:
        for stage in stages:
            stage_loader(stage, config, workers=0)
        evaluator = None
        if config.data is not None and config.data.evaluation is not None:
            clips = EvaluationClips(config.data.evaluation, config.model.sample_rate)
            evaluator = stack.enter_context(
                Evaluator(steps.objective, clips, devices, training.evaluation)
            )
        CODEC_RUN.check(folder)
        if first:
            CODEC_RUN.claim(folder, stack)
        checkpoints = stack.enter_context(Checkpoints(folder, training.checkpoints))
        progress = None
        if first and not quiet:
            program = program_at(programs, checkpoints.latest or 0)
            progress = TrainingProgress(
                programs[-1].stage.end, checkpoints.latest or 0, audio_seconds(program.stage)
            )
            stack.enter_context(CompilationWatch(progress.compiling, progress.compiled))
        state, came_from = _initial_state(
            config, steps, programs[0].hyperparameters, devices, checkpoints, beginning
        )
        checkpoints.prepare(state)
        step = int(jax.device_get(state.step))
        program = program_at(programs, step)
        loader = stage_loader(program.stage, config, step)
        stack.callback(loader.close)
        # At the border of two stages, the data that were read before are those of another one.
        if checkpoints.latest is not None and step > program.stage.begin:
            loader.restore(checkpoints.restore_run(step)[0])
        log: RunLog | NoLog = NoLog()
        if first:
            with complete_file(folder / CONFIG_FILE, overwrite=True) as part:
                part.write_text(dump_config(config), encoding="utf-8")
            log = stack.enter_context(RunLog(folder, step))
        if progress is not None:
            stack.enter_context(progress)
        run = TrainingRun(
            folder, config, training, devices, programs, program, loader, evaluator,
            checkpoints, whisper, teacher, state, step, log, progress,
        )  # fmt: skip
        stack.callback(lambda: run.loader.close())
        run.note(f"{folder}: {came_from}; {_size(state)}, {_places(devices)}")
        yield run


def _whisper(training: TrainingConfig, steps: Steps, devices: Devices) -> dict | None:
    if "perceptual" not in steps.objective.terms:
        return None
    path = training.whisper
    if path is not None:
        path = _expanded(path, "training.whisper", "the file with Whisper's weights")
    return jax.device_put(load_whisper_encoder(path), devices.replicated)


def _teacher(
    config: CodecConfig, training: TrainingConfig, devices: Devices
) -> tuple[CodecConfig | None, dict | None]:
    if training.teacher is None:
        return None, None
    model = _expanded(training.teacher, "training.teacher", "a model")
    network, params = load_teacher(model, config)
    return network, jax.device_put(params, devices.replicated)


def _expanded(path: str, key: str, what: str) -> str:
    """A path with this machine's variables and home. Raises ConfigError."""
    expanded = os.path.expanduser(os.path.expandvars(path))
    if unset := re.search(r"\$\{?(\w+)", expanded):
        raise ConfigError(
            f"{key}: {path}: the environment variable {unset[1]} is not set; it should lead to "
            f"{what}"
        )
    return expanded


def _initial_state(
    config: ExperimentConfig,
    steps: Steps,
    hyperparameters: Hyperparameters,
    devices: Devices,
    checkpoints: Checkpoints,
    beginning: Beginning | None,
) -> tuple[TrainState, str]:
    """The state to go on with, on all devices, and where it comes from in words."""
    if (latest := checkpoints.latest) is not None:
        _check_model(config, checkpoints.restore_run(latest)[1], latest)
        state = checkpoints.restore(latest, steps.abstract(hyperparameters), devices.replicated)
        return state, f"going on from step {latest}"
    params, came_from = None, "new run"
    if beginning is not None:
        params, words = beginning.params(config)
        came_from += f" {words}"
    init = jax.jit(
        steps.init, out_shardings=devices.replicated, compiler_options=quick_compilation()
    )
    assert config.training is not None
    state = init(jax.random.key(config.training.seed), hyperparameters, params)
    return state, came_from


def _check_model(config: ExperimentConfig, before: ExperimentConfig, step: int) -> None:
    """A run keeps its model; other settings may change."""
    changed = differences(
        ExperimentConfig(model=before.model), ExperimentConfig(model=config.model)
    )
    if changed:
        raise ConfigError(
            f"this run has another model (at step {step}); give a new folder, or its "
            f"configuration:{in_words(changed)}"
        )


def _size(state: TrainState) -> str:
    def millions(tree: Any) -> str:
        return f"{sum(leaf.size for leaf in jax.tree.leaves(tree)) / 1e6:.1f} M"

    parameters = f"{millions(state.params)} parameters"
    if state.discriminators is None:
        return parameters
    return f"{parameters}, discriminators {millions(state.discriminators)}"


def _places(devices: Devices) -> str:
    kind = devices.mesh.devices.flat[0].device_kind
    processes = jax.process_count()
    return f"{devices.count} x {kind}" + (f" in {processes} processes" if processes > 1 else "")
