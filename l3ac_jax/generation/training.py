"""Training of a language model: the loop around the step, with the habits of the codec's trainer.

A run goes on where it was left, however it ended: batch and dropout of a step are known by its
number, so that the parameters come out the same to the bit.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int

from l3ac_jax.config import differences
from l3ac_jax.errors import ConfigError, TokenDatasetError, TrainingDivergedError
from l3ac_jax.generation import folder as folders
from l3ac_jax.generation.config import LanguageConfig
from l3ac_jax.generation.data import (
    Batch,
    Batches,
    RecordingBatches,
    WindowBatches,
    stacked,
)
from l3ac_jax.generation.network import LanguageModel
from l3ac_jax.system.compilation import CompilationWatch
from l3ac_jax.training.folders import RunKind
from l3ac_jax.training.logs import RunLog
from l3ac_jax.training.optimizer import make_optimizer, optimizer_hyperparameters
from l3ac_jax.training.progress import TrainingProgress
from l3ac_jax.training.stop import StopRequest

__all__ = ["LanguageOutcome", "train_language_model"]

LANGUAGE_RUN = RunKind(
    "training run of a language model", lock="language.lock", mark=folders.CODEC_FILE
)
Tokens = Int[Array | np.ndarray, "batch length"]


class LanguageOutcome(NamedTuple):
    """Where a call of `train_language_model` left a run."""

    step: int
    total: int
    exit_code: int
    """0, or 128 + the number of the signal that ended it before its time"""


def train_language_model(
    config: LanguageConfig, folder: str | os.PathLike[str], quiet: bool = False
) -> LanguageOutcome:
    """Train from where a folder left off to the end, or until Ctrl-C or SIGTERM.

    Raises ConfigError (also for a folder that was begun with another model), TokenDatasetError,
    WeightsError for a damaged checkpoint, OutputError, and TrainingDivergedError.
    """
    folder = Path(folder)
    train, evaluation = _data(config)
    labels = train.usual_tokens() if isinstance(train, RecordingBatches) else {}
    network = LanguageModel(config.model, train.levels, len(labels))
    with ExitStack() as stack:
        stop = stack.enter_context(StopRequest())
        state, step = _claimed(config, folder, network, train, labels, stack)
        folders.write_description(folder, config, train.description, labels)
        log = stack.enter_context(RunLog(folder, step))
        seconds = config.training.batch_size * config.model.context / train.description.frame_rate
        progress = None
        if not quiet:
            progress = TrainingProgress(config.training.steps, step, seconds)
            stack.enter_context(CompilationWatch(progress.compiling, progress.compiled))
            stack.enter_context(progress)
            progress.note(f"{folder}: {_size(state)}, {'going on' if step else 'new run'}")
        run = _Run(config, folder, network, train, evaluation, log, progress)
        step = run.go_on(state, step, stop)
        exit_code = stop.exit_code if step < config.training.steps else 0
        return LanguageOutcome(step, config.training.steps, exit_code)


def _data(config: LanguageConfig) -> tuple[Batches, Sequence[Batch]]:
    """Batches without end, and those of the evaluation."""
    of_run, length = config.training, config.model.context
    dimensions = config.data.dimensions
    kind = RecordingBatches if config.data.labelled else WindowBatches
    train = kind(config.data.train, length, of_run.batch_size, of_run.seed, dimensions)
    if not config.data.evaluation:
        return train, []
    held_out = kind(config.data.evaluation, length, 1, 0, dimensions)
    if isinstance(train, RecordingBatches) and isinstance(held_out, RecordingBatches):
        held_out.number_as(train.labels)
    if held_out.description.format != train.description.format:
        raise TokenDatasetError(
            f"{', '.join(config.data.evaluation)}: holds tokens of another codec than the training"
        )
    count = min(len(held_out), config.data.evaluation_windows)
    # Spread over all of them: neighbours are of one voice.
    chosen = np.linspace(0, len(held_out) - 1, count).round().astype(int)
    parts = np.array_split(chosen, math.ceil(count / of_run.batch_size))
    return train, [stacked([held_out[int(number)] for number in part]) for part in parts]


def _claimed(
    config: LanguageConfig,
    folder: Path,
    network: LanguageModel,
    train: Batches,
    labels: Mapping[str, int],
    stack: ExitStack,
) -> tuple[dict[str, Any], int]:
    """The state to go on with, in a folder that is this process's own."""
    LANGUAGE_RUN.check(folder)
    LANGUAGE_RUN.claim(folder, stack)
    init = jax.jit(partial(_initial, config, network))
    key = jax.random.key(config.training.seed)
    like = jax.eval_shape(init, key)
    if (folder / folders.CHECKPOINT_FILE).exists():
        _check_same_model(config, folder, train, labels)
        found = folders.restore(folder, like)
        assert found is not None
        return found
    return init(key), 0


def _check_same_model(
    config: LanguageConfig, folder: Path, train: Batches, labels: Mapping[str, int]
) -> None:
    before = folders.load_language_model(folder)
    as_before = config.model_copy(update={"model": before.config.model})
    if before.levels != train.levels:
        raise ConfigError(
            f"{folder}: data.dimensions was {before.config.data.dimensions}, is "
            f"{config.data.dimensions}: give a new folder"
        )
    if list(before.labels) != list(labels):
        raise ConfigError(
            f"{folder}: its labels were {', '.join(before.labels) or 'none'}, and are "
            f"{', '.join(labels) or 'none'}: give a new folder"
        )
    if changed := differences(as_before, config):
        raise ConfigError(f"{folder}: has another model: {'; '.join(changed)}: give a new folder")
    if before.codec.format != train.description.format:
        raise ConfigError(f"{folder}: speaks the tokens of another codec: {before.codec.model}")


def _initial(config: LanguageConfig, network: LanguageModel, key: Array) -> dict[str, Any]:
    params = network.random_params(key)
    flat, _ = ravel_pytree(params)
    return {"params": params, "optimizer": _optimizer(config, params).init(flat)}


def _optimizer(config: LanguageConfig, params: Any) -> optax.GradientTransformation:
    of_run = config.training
    values = optimizer_hyperparameters(of_run.optimizer, of_run.steps, params)
    return make_optimizer(of_run.optimizer.method, values, params)


class _Run:
    def __init__(
        self,
        config: LanguageConfig,
        folder: Path,
        network: LanguageModel,
        train: Batches,
        evaluation: Sequence[Batch],
        log: RunLog,
        progress: TrainingProgress | None,
    ):
        self.config, self.folder, self.train = config, folder, train
        self.evaluation, self.log, self.progress = evaluation, log, progress
        self.take = jax.jit(partial(take_step, config, network), donate_argnums=0)
        self.bits = jax.jit(
            lambda params, batch: bits_of(network, params, batch.tokens, label=batch.label)
        )

    def go_on(self, state: dict[str, Any], step: int, stop: StopRequest) -> int:
        of_run, saved = self.config.training, step
        batches, metrics = self.train.batches(step), {}
        while step < of_run.steps and not stop.made:
            state, metrics = self.take(state, next(batches), step)
            step += 1
            if step % of_run.log_every == 0 or step == of_run.steps:
                self._look_at(step, metrics)
            if step % of_run.evaluate_every == 0 or step == of_run.steps:
                self._evaluate(step, state["params"])
            if step % of_run.checkpoint_every == 0:
                self._save(step, state, metrics)
                saved = step
        if step > saved:
            self._save(step, state, metrics)
        return step

    def _save(self, step: int, state: dict[str, Any], metrics: dict[str, Array]) -> None:
        self._finite(step, metrics)
        folders.save(self.folder, state, step)

    def _finite(self, step: int, metrics: dict[str, Array]) -> dict[str, float]:
        """What was measured of a step. Raises TrainingDivergedError where it is not finite."""
        values = {name: float(value) for name, value in metrics.items()}
        for name, value in values.items():
            if not math.isfinite(value):
                raise TrainingDivergedError(
                    f"{self.folder}: step {step}: {name} is not finite, and training cannot go on; "
                    "try a lower training.optimizer.peak_rate"
                )
        return values

    def _look_at(self, step: int, metrics: dict[str, Array]) -> None:
        values = self._finite(step, metrics)
        self.log.scalars(step, "train", values)
        if self.progress is not None:
            self.progress.update(step, values)

    def _evaluate(self, step: int, params: Any) -> None:
        if not self.evaluation:
            return
        found = np.concatenate([np.asarray(self.bits(params, part)) for part in self.evaluation])
        exists = np.concatenate([_own_tokens(part) for part in self.evaluation])
        scores = self.scores(found, exists)
        self.log.scalars(step, "evaluation", scores)
        if self.progress is not None:
            shown = ", ".join(f"{name} {value:.4g}" for name, value in scores.items())
            self.progress.note(f"step {step}: {shown}")

    def scores(
        self, bits: Float[np.ndarray, "rows length"], exists: Bool[np.ndarray, "rows length"]
    ) -> dict[str, float]:
        """Bits a token and a second, of all tokens, and of those with half a context before."""
        mean = float(bits[exists].mean())
        found = {
            "bits_per_token": mean,
            "bits_per_second": mean * self.train.description.frame_rate,
        }
        half = bits.shape[1] // 2
        late = bits[:, half:][exists[:, half:]]
        return found | ({"late_bits_per_token": float(late.mean())} if len(late) else {})


def take_step(
    config: LanguageConfig,
    network: LanguageModel,
    state: dict[str, Any],
    batch: Batch,
    step: Int[Array, ""],
) -> tuple[dict[str, Any], dict[str, Float[Array, ""]]]:
    """One step on a batch: the new state, and `loss` (bits a token before it), norms, rate."""
    params = state["params"]

    def loss(params: Any) -> Array:
        key = jax.random.fold_in(jax.random.key(config.training.seed), step)
        bits = bits_of(network, params, batch.tokens, {"dropout": key}, batch.label)
        if batch.exists is None:
            return bits.mean()
        return jnp.where(batch.exists, bits, 0).sum() / batch.exists.sum()

    value, slope = jax.value_and_grad(loss)(params)
    flat, unravel = ravel_pytree(params)
    flat_slope, _ = ravel_pytree(slope)
    updates, optimizer = _optimizer(config, params).update(flat_slope, state["optimizer"], flat)
    rate = optimizer[1].hyperparams["learning_rate"]  # type: ignore[index]
    flat = flat + cast(Array, updates)
    metrics = {
        "loss": value,
        "gradient_norm": jnp.linalg.norm(flat_slope),
        "parameter_norm": jnp.linalg.norm(flat),
        "learning_rate": rate,
    }
    return {"params": unravel(flat), "optimizer": optimizer}, metrics


def bits_of(
    network: LanguageModel,
    params: Any,
    tokens: Tokens,
    keys: dict[str, Array] | None = None,
    label: Int[Array | np.ndarray, " batch"] | None = None,
) -> Float[Array, "batch length"]:
    """Bits that each token takes, given those before it; with random `keys` as in training."""
    call: Callable[..., Any] = network.apply
    logs = call({"params": params}, tokens, train=keys is not None, label=label, rngs=keys)
    return -logs / np.float32(np.log(2))


def _own_tokens(batch: Batch) -> Bool[np.ndarray, "batch length"]:
    return np.ones(batch.tokens.shape, bool) if batch.exists is None else batch.exists


def _size(state: dict[str, Any]) -> str:
    count = sum(leaf.size for leaf in jax.tree.leaves(state["params"]))
    return f"{count / 1e6:.1f} M parameters"
