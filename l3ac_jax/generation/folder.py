"""A language model's folder: its training run, and what is sampled from.

`config.toml` holds the LanguageConfig, every field written out; `codec.json` which codec's tokens
it speaks; `labels.json` of a model that is told labels their names, in their order, and how many
tokens a recording of each usually has; `checkpoint.safetensors` parameters, optimizer and step,
replaced as a whole; `metrics.jsonl` and `tensorboard/` the likelihood by step.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from l3ac_jax.errors import ConfigError, WeightsError
from l3ac_jax.generation.config import LanguageConfig, dump_language_config, load_language_config
from l3ac_jax.generation.data import kept_levels
from l3ac_jax.generation.network import LanguageModel
from l3ac_jax.system.files import complete_file
from l3ac_jax.tokens.dataset.index import Description

__all__ = ["TrainedModel", "load_language_model", "restore", "save", "write_description"]

CONFIG_FILE, CODEC_FILE, LABELS_FILE = "config.toml", "codec.json", "labels.json"
CHECKPOINT_FILE = "checkpoint.safetensors"
PARAMS = "params"


@dataclass(frozen=True)
class TrainedModel:
    """A language model and its parameters."""

    config: LanguageConfig
    codec: Description
    params: dict[str, Any]
    step: int
    labels: Mapping[str, int] = field(default_factory=dict)
    """names of the labels that it is told, if any, and how many tokens each usually has"""

    @property
    def levels(self) -> tuple[int, ...]:
        """Of the quantizer's dimensions that it speaks."""
        return kept_levels(self.codec.format.levels, self.config.data.dimensions)

    @property
    def network(self) -> LanguageModel:
        """What the parameters are of."""
        return LanguageModel(self.config.model, self.levels, len(self.labels))


def load_language_model(folder: str | os.PathLike[str]) -> TrainedModel:
    """The newest state of a run. Raises ConfigError or WeightsError for what is none."""
    folder = Path(folder)
    if not (folder / CONFIG_FILE).is_file() or not (folder / CODEC_FILE).is_file():
        raise ConfigError(
            f"{folder}: is no language model: it has no {CONFIG_FILE} or no {CODEC_FILE}"
        )
    config = load_language_config(folder / CONFIG_FILE)
    try:
        codec = Description.model_validate_json((folder / CODEC_FILE).read_bytes())
    except ValidationError as error:
        message = error.errors()[0]["msg"]
        raise ConfigError(f"{folder / CODEC_FILE}: is damaged: {message}") from None
    labels = _labels(folder) if config.data.labelled else {}
    levels = kept_levels(codec.format.levels, config.data.dimensions)
    network = LanguageModel(config.model, levels, len(labels))
    shapes = jax.eval_shape(network.random_params, jax.random.key(0))
    found = restore(folder, {PARAMS: shapes})
    if found is None:
        raise WeightsError(f"{folder / CHECKPOINT_FILE}: is not there: nothing was trained yet")
    tree, step = found
    return TrainedModel(config, codec, tree[PARAMS], step, labels)


def _labels(folder: Path) -> dict[str, int]:
    path = folder / LABELS_FILE
    try:
        labels = TypeAdapter(dict[str, int]).validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ConfigError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from None
    if not labels or min(labels.values()) < 1:
        raise ConfigError(f"{path}: is damaged: it must say how many tokens each label has")
    return labels


def write_description(
    folder: Path, config: LanguageConfig, codec: Description, labels: Mapping[str, int]
) -> None:
    """What is known before the first step. Raises OutputError."""
    texts = {
        CONFIG_FILE: dump_language_config(config),
        CODEC_FILE: codec.model_dump_json(indent=1) + "\n",
    }
    if labels:
        texts[LABELS_FILE] = json.dumps(dict(labels), indent=1) + "\n"
    for name, text in texts.items():
        with complete_file(folder / name, overwrite=True) as part:
            part.write_text(text, encoding="utf-8")


def save(folder: Path, state: Mapping[str, Any], step: int) -> None:
    """Replace the checkpoint. Raises OutputError."""
    leaves = {
        jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf)
        for path, leaf in jax.tree.leaves_with_path(jax.device_get(dict(state)))
    }
    with complete_file(folder / CHECKPOINT_FILE, overwrite=True) as part:
        save_file(leaves, part, {"step": json.dumps(step)})


def restore(folder: Path, like: Mapping[str, Any]) -> tuple[dict[str, Any], int] | None:
    """The parts of the checkpoint that `like` has, in its structure, and the step; None without.

    Raises WeightsError for a checkpoint of other shapes, and for a damaged one.
    """
    path = folder / CHECKPOINT_FILE
    if not path.exists():
        return None
    try:
        tensors = load_file(path)
        step = _step(path)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise WeightsError(f"{path}: cannot be read: {error}") from None

    def of(place: Any, leaf: Any) -> np.ndarray:
        name = jax.tree_util.keystr(place, simple=True, separator="/")
        found = tensors.get(name)
        if found is None or found.shape != leaf.shape or found.dtype != leaf.dtype:
            what = "missing" if found is None else f"{found.dtype.name} of shape {found.shape}"
            raise WeightsError(
                f"{path}: {name}: {what}, and the configuration needs "
                f"{np.dtype(leaf.dtype).name} of shape {leaf.shape}: another model was trained here"
            )
        return found

    return jax.tree.map_with_path(of, dict(like)), step


def _step(path: Path) -> int:
    from safetensors import safe_open

    with safe_open(path, "numpy") as file:
        return int(json.loads((file.metadata() or {})["step"]))
