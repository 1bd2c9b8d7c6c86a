"""What a training run holds open, and where its state comes from.

    RUN/config.toml      the configuration, every field written out
    RUN/checkpoints/     see checkpoints.py
    RUN/metrics.jsonl    losses and scores; the same for TensorBoard in RUN/tensorboard/

The state is, in this order: that of the newest checkpoint in RUN; else, with `fine_tune`, the
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
import jax.numpy as jnp

from l3ac_jax.config import ExperimentConfig, differences, dump_config
from l3ac_jax.config.data import DataConfig
from l3ac_jax.config.training import TrainingConfig
from l3ac_jax.data.evaluation import EvaluationClips
from l3ac_jax.data.loader import BatchLoader
from l3ac_jax.errors import ConfigError, WeightsError
from l3ac_jax.model.params import expected_params, flatten, in_words, mismatches
from l3ac_jax.system.compilation import CompilationWatch, quick_compilation
from l3ac_jax.system.files import complete_file
from l3ac_jax.system.locks import FolderInUseError, exclusive
from l3ac_jax.training.checkpoints import Checkpoints
from l3ac_jax.training.devices import Devices, all_devices
from l3ac_jax.training.hyperparameters import Hyperparameters, make_hyperparameters
from l3ac_jax.training.logs import NoLog, RunLog
from l3ac_jax.training.progress import TrainingProgress
from l3ac_jax.training.step import Steps, TrainState, make_steps
from l3ac_jax.training.validation import Evaluator
from l3ac_jax.training.whisper_weights import load_whisper_encoder
from l3ac_jax.weights.folder import CHECKPOINTS_FOLDER, CONFIG_FILE
from l3ac_jax.weights.sources import load_params

LOCK_FILE = "lock"


@dataclass
class TrainingRun:
    """The parts of a run. `state` is that after `step` steps of `total`."""

    folder: Path
    config: ExperimentConfig
    training: TrainingConfig
    devices: Devices
    steps: Steps
    hyperparameters: Hyperparameters
    loader: BatchLoader
    evaluator: Evaluator | None
    checkpoints: Checkpoints
    whisper: dict | None
    state: TrainState
    step: int
    total: int
    log: RunLog | NoLog
    evaluate_every: int
    progress: TrainingProgress | None
    """None where nothing is to be shown"""
    reference_logged: bool = False

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
    config: ExperimentConfig, folder: Path, fine_tune: str | None, quiet: bool
) -> Iterator[TrainingRun]:
    """A run, ready for its next step. Raises what `train` raises before anything is trained."""
    data, training = _tables(config)
    devices = all_devices()
    devices.check_batch(data.batch_size, training.micro_batches)
    steps = make_steps(config.model, training)
    total = training.epochs * data.steps_per_epoch
    hyperparameters = make_hyperparameters(config.model, training, total)
    hyperparameters = jax.device_put(hyperparameters, devices.replicated)
    first = jax.process_index() == 0
    # What can be wrong comes first, and what takes long last.
    whisper = _whisper(training, devices)
    with ExitStack() as stack:
        loader = stack.enter_context(
            BatchLoader(data, config.model.sample_rate, jax.process_index(), jax.process_count())
        )
        evaluator = None
        if data.evaluation is not None:
            clips = EvaluationClips(data.evaluation, config.model.sample_rate)
            evaluator = stack.enter_context(
                Evaluator(steps.objective, clips, devices, training.evaluation)
            )
        _check_folder(folder)
        if first:
            _claim(folder, stack)
        checkpoints = stack.enter_context(Checkpoints(folder, training.checkpoints))
        progress = None
        if first and not quiet:
            seconds = data.batch_size * data.seconds
            progress = TrainingProgress(total, checkpoints.latest or 0, seconds)
            stack.enter_context(CompilationWatch(progress.compiling, progress.compiled))
        state, came_from = _initial_state(
            config, steps, hyperparameters, devices, loader, checkpoints, fine_tune
        )
        checkpoints.prepare(state)
        step = int(jax.device_get(state.step))
        log: RunLog | NoLog = NoLog()
        if first:
            with complete_file(folder / CONFIG_FILE, overwrite=True) as part:
                part.write_text(dump_config(config), encoding="utf-8")
            log = stack.enter_context(RunLog(folder, step))
        if progress is not None:
            stack.enter_context(progress)
        evaluate_every = training.evaluation.every or data.steps_per_epoch
        run = TrainingRun(
            folder, config, training, devices, steps, hyperparameters, loader, evaluator,
            checkpoints, whisper, state, step, total, log, evaluate_every, progress,
        )  # fmt: skip
        run.note(f"{folder}: {came_from}; {_size(state)}, {_places(devices)}")
        yield run


def _tables(config: ExperimentConfig) -> tuple[DataConfig, TrainingConfig]:
    missing = [name for name in ("data", "training") if getattr(config, name) is None]
    if missing or config.data is None or config.training is None:
        raise ConfigError(f"for training, the configuration needs the table [{missing[0]}]")
    return config.data, config.training


def _whisper(training: TrainingConfig, devices: Devices) -> dict | None:
    if not training.loss.perceptual:
        return None
    path = training.whisper
    if path is not None:
        path = os.path.expanduser(os.path.expandvars(path))
        if unset := re.search(r"\$\{?(\w+)", path):
            raise ConfigError(
                f"training.whisper: {training.whisper}: the environment variable {unset[1]} is not "
                "set; it should lead to the file with Whisper's weights"
            )
    return jax.device_put(load_whisper_encoder(path), devices.replicated)


def _check_folder(folder: Path) -> None:
    """Refuse a folder with other things in it."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: exists and is not a folder")
    begun = (folder / CHECKPOINTS_FOLDER).is_dir() or (folder / LOCK_FILE).exists()
    if folder.is_dir() and any(folder.iterdir()) and not begun:
        raise ConfigError(f"{folder}: is no training run, and not empty: give a new folder")


def _claim(folder: Path, stack: ExitStack) -> None:
    """One process at a time trains in a folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stack.enter_context(exclusive(folder / LOCK_FILE))
    except FolderInUseError:
        raise ConfigError(f"{folder}: another process is training here") from None
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written to: {error.strerror or error}") from None


def _initial_state(
    config: ExperimentConfig,
    steps: Steps,
    hyperparameters: Hyperparameters,
    devices: Devices,
    loader: BatchLoader,
    checkpoints: Checkpoints,
    fine_tune: str | None,
) -> tuple[TrainState, str]:
    """The state to go on with, on all devices, and where it comes from in words."""
    if (latest := checkpoints.latest) is not None:
        data, before = checkpoints.restore_run(latest)
        _check_model(config, before, latest)
        loader.restore(data)
        state = checkpoints.restore(latest, steps.abstract(hyperparameters), devices.replicated)
        return state, f"going on from step {latest}"
    params = None if fine_tune is None else _params_of(fine_tune, config)
    init = jax.jit(
        steps.init, out_shardings=devices.replicated, compiler_options=quick_compilation()
    )
    assert config.training is not None
    state = init(jax.random.key(config.training.seed), hyperparameters, params)
    return state, "new run" if fine_tune is None else f"new run with the parameters of {fine_tune}"


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


def _params_of(model: str, config: ExperimentConfig) -> dict[str, Any]:
    _, params = load_params(model)
    if problems := mismatches(flatten(params), expected_params(config.model)):
        raise WeightsError(f"{model}: does not fit the configuration:{in_words(problems)}")
    return jax.tree.map(jnp.asarray, params)


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
