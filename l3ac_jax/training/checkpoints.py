"""The checkpoints of a training run, written in the background by Orbax, whole or not at all.

    RUN/checkpoints/STEP/params/    the model: averaged weights, where the run keeps an average
    RUN/checkpoints/STEP/state/     the rest: optimizers, discriminators, key, counts
    RUN/checkpoints/STEP/run/       data iterator and configuration, as JSON
    RUN/checkpoints/STEP/metrics/   what evaluation said, where there was one

Each STEP folder is a model folder too: see l3ac_jax/weights/folder.py.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as policies

from l3ac_jax.config import ExperimentConfig
from l3ac_jax.config.training import CheckpointConfig
from l3ac_jax.data.loader import LoaderState
from l3ac_jax.errors import ConfigError
from l3ac_jax.training.step import TrainState
from l3ac_jax.weights.folder import CHECKPOINTS_FOLDER, PARAMS_FOLDER, RANK, RUN_ITEM
from l3ac_jax.weights.writing import orbax_writes

STATE = "state"


class Checkpoints:
    """Writes and reads the checkpoints of one run."""

    def __init__(self, run: Path, config: CheckpointConfig):
        self._lowest = config.best_by == "loss"
        self._best_by = config.best_by
        # Orbax remarks on every checkpoint that has no scores.
        logging.getLogger("absl").setLevel(logging.ERROR)
        options = ocp.CheckpointManagerOptions(
            best_fn=_rank,
            preservation_policy=policies.AnyPreservationPolicy(
                [
                    policies.LatestN(config.keep_last),
                    policies.BestN(
                        get_metric_fn=_rank,
                        n=config.keep_best,
                        keep_checkpoints_without_metrics=False,
                    ),
                ]
            ),
            cleanup_tmp_directories=True,  # of a killed run
        )
        self._manager = ocp.CheckpointManager(
            (run / CHECKPOINTS_FOLDER).absolute(),
            options=options,
            item_names=(PARAMS_FOLDER, STATE, RUN_ITEM),
        )
        # A copy on the device: the next step may overwrite the state while it is being written.
        self._copy = jax.jit(lambda tree: jax.tree.map(lambda x: x.copy(), tree))

    @property
    def latest(self) -> int | None:
        """The step of the newest complete checkpoint."""
        return self._manager.latest_step()

    def save(
        self,
        state: TrainState,
        step: int,
        data: LoaderState,
        config: ExperimentConfig,
        scores: Mapping[str, float] | None = None,
    ) -> None:
        """Begin to write a checkpoint, if there is none of this step; earlier ones are finished.

        `scores` are those of the evaluation that `best_by` is looked up in. Raises OutputError
        where this or the one before cannot be written, as on a full disk.
        """
        if step in self._manager.all_steps():
            return
        tree = self._copied(state)
        run = {"data": dict(data), "config": config.model_dump(mode="json", exclude_none=True)}
        args = ocp.args.Composite(
            **{name: ocp.args.StandardSave(part) for name, part in tree.items()},  # type: ignore[call-arg]
            **{RUN_ITEM: ocp.args.JsonSave(run)},  # type: ignore[call-arg]
        )
        with self._writes():
            self._manager.save(step, args=args, metrics=self._ranked(scores), force=True)

    def prepare(self, state: TrainState) -> None:
        """Compile what `save` needs, so that no later step waits for it."""
        self._copied(state)

    def restore_run(self, step: int) -> tuple[LoaderState, ExperimentConfig]:
        """Where the data stood, and the configuration of the run."""
        item = ocp.args.Composite(**{RUN_ITEM: ocp.args.JsonRestore()})  # type: ignore[call-arg]
        run = self._manager.restore(step, args=item)[RUN_ITEM]
        return run["data"], ExperimentConfig.model_validate(run["config"])

    def restore(
        self, step: int, abstract: Mapping[str, Any], sharding: jax.sharding.Sharding
    ) -> TrainState:
        """The state of a step, placed as `sharding` says; `abstract` is what it must look like.

        Raises ConfigError if the run had other parts (discriminators, an average).
        """
        key = jax.eval_shape(jax.random.key_data, abstract["key"])
        targets = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
            _items({**abstract, "key": key}),
        )
        items = {name: ocp.args.StandardRestore(tree) for name, tree in targets.items()}  # type: ignore[call-arg]
        try:
            restored = self._manager.restore(step, args=ocp.args.Composite(**items))
        except (ValueError, KeyError) as error:
            reason = str(error).strip().splitlines()[0]
            raise ConfigError(
                f"{self._manager.directory / str(step)}: does not fit the configuration: what a "
                "run trains (the model, discriminators, an average) cannot change under way "
                f"({reason})"
            ) from error
        model = "params" if abstract["average"] is None else "average"
        fields = {**restored[STATE], model: restored[PARAMS_FOLDER]}
        return TrainState(**{**fields, "key": jax.random.wrap_key_data(fields["key"])})

    def wait(self) -> None:
        """Until everything is written. Raises OutputError."""
        with self._writes():
            self._manager.wait_until_finished()

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(self, *_: object) -> None:
        with self._writes():
            self._manager.close()

    def _writes(self) -> AbstractContextManager[None]:
        return orbax_writes(Path(self._manager.directory))

    def _copied(self, state: TrainState) -> dict[str, Any]:
        fields = {field.name: getattr(state, field.name) for field in dataclasses.fields(state)}
        return _items(self._copy({**fields, "key": jax.random.key_data(state.key)}))

    def _ranked(self, scores: Mapping[str, float] | None) -> dict[str, float] | None:
        value = math.nan if scores is None else scores.get(self._best_by, math.nan)
        if not math.isfinite(value):
            return None
        return {RANK: -value if self._lowest else value, self._best_by: value}


def _rank(metrics: Mapping[str, float]) -> float:
    return metrics[RANK]


def _items(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The model, and the rest without it: what goes into folders of their own."""
    model = "params" if fields["average"] is None else "average"
    return {PARAMS_FOLDER: fields[model], STATE: {**fields, model: None}}
