"""The stages of a training run: written as changes, kept whole, carried out one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from l3ac_jax.config.data import DataConfig
from l3ac_jax.config.training import LossWeights, TrainingConfig

# What a stage may change of the tables of the same names.
_CHANGED = ("loss", "optimizer")

# The fields of `LossWeights` that leave something out where they are zero.
TERMS = (
    *("waveform", "stft", "mel", "mel_magnitude", "perceptual"),
    *("adversarial", "usage", "distillation"),
)
_COSTLY = frozenset({"perceptual", "adversarial", "distillation"})


@dataclass(frozen=True)
class Stage:
    """One of a run's stages: its steps are `begin` to `end` - 1 of the run."""

    training: TrainingConfig
    """with this stage's objective and optimizer, and no further stages"""
    data: DataConfig
    begin: int
    end: int
    terms: frozenset[str]
    """of `TERMS`, those that are computed, whatever their weights: its own, and the cheap ones of
    other stages, so that their steps are the same program"""


def run_stages(training: TrainingConfig, data: DataConfig) -> tuple[Stage, ...]:
    """The stages of a run, in order."""
    tables = [(training.epochs, training.loss, training.optimizer, data)]
    tables += [(one.epochs, one.loss, one.optimizer, one.data) for one in training.stages]
    shared = all_terms(training) - _COSTLY
    stages: list[Stage] = []
    for epochs, loss, optimizer, crops in tables:
        begin = stages[-1].end if stages else 0
        alone = {"epochs": epochs, "loss": loss, "optimizer": optimizer, "stages": ()}
        stages.append(
            Stage(
                training.model_copy(update=alone),
                crops,
                begin,
                begin + epochs * crops.steps_per_epoch,
                shared | terms_of(loss),
            )
        )
    return tuple(stages)


def terms_of(loss: LossWeights) -> frozenset[str]:
    """The terms that have a weight."""
    return frozenset(name for name in TERMS if getattr(loss, name))


def all_terms(training: TrainingConfig) -> frozenset[str]:
    """Those that have a weight in one of the stages."""
    losses = [training.loss, *(stage.loss for stage in training.stages)]
    return frozenset().union(*map(terms_of, losses))


def write_out_stages(tables: Any) -> Any:
    """The tables of a file with every stage's own ones whole; anything else as it is.

    A table of a stage is laid over that of the stage before, lists taking the place of lists. What
    is not of the right kind is left for validation to tell.
    """
    training = _table(tables, "training")
    stages = training.get("stages")
    if not isinstance(stages, list | tuple) or not all(isinstance(s, Mapping) for s in stages):
        return tables
    data = {key: value for key, value in _table(tables, "data").items() if key != "evaluation"}
    before = {name: training.get(name, {}) for name in _CHANGED} | {"data": data}
    written = []
    for stage in stages:
        whole = {name: _over(before[name], stage.get(name, {})) for name in before}
        written.append({**stage, **whole})
        before = whole
    return {**tables, "training": {**training, "stages": written}}


def _table(tables: Any, name: str) -> Mapping[str, Any]:
    found = tables.get(name) if isinstance(tables, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _over(below: Any, above: Any) -> Any:
    if not (isinstance(below, Mapping) and isinstance(above, Mapping)):
        return above
    return {**below, **{key: _over(below.get(key, {}), value) for key, value in above.items()}}
