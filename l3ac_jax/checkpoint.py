"""Model folders: a configuration and the parameters that belong to it.

    FOLDER/config.toml    an ExperimentConfig
    FOLDER/params/        an Orbax checkpoint of the parameter tree

A folder is written completely or not at all, and read on any kind of device.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from l3ac_jax.config import ExperimentConfig, dump_config, load_config
from l3ac_jax.folders import complete_folder
from l3ac_jax.params import expected_params, flatten, in_words, mismatches
from l3ac_jax.torch_files import WeightsError

__all__ = ["CONFIG_FILE", "PARAMS_FOLDER", "load_model", "save_model"]

CONFIG_FILE = "config.toml"
PARAMS_FOLDER = "params"


def save_model(
    folder: str | os.PathLike[str],
    config: ExperimentConfig,
    params: Mapping[str, Any],
    overwrite: bool = False,
) -> None:
    """Write a model folder; with `overwrite`, in place of another model folder.

    Raises WeightsError if the parameters are not those of the configuration's network,
    FileExistsError if the folder is there already. In both cases nothing is written.
    """
    problems = mismatches(flatten(params), expected_params(config.model))
    if problems:
        raise WeightsError(f"parameters do not fit the configuration:{in_words(problems)}")
    with complete_folder(folder, overwrite, {CONFIG_FILE, PARAMS_FOLDER}) as new:
        (new / CONFIG_FILE).write_text(dump_config(config), encoding="utf-8")
        # NumPy arrays leave no trace of the devices they were on.
        _save_arrays(new / PARAMS_FOLDER, jax.tree.map(np.asarray, dict(params)))


def load_model(folder: str | os.PathLike[str]) -> tuple[ExperimentConfig, dict[str, Any]]:
    """The configuration and the parameters, as NumPy arrays, of a model folder.

    Raises ConfigError for the configuration, WeightsError for parameters that are damaged or do
    not belong to it.
    """
    folder = Path(folder)
    config = load_config(folder / CONFIG_FILE)
    return config, _load_arrays(folder / PARAMS_FOLDER, expected_params(config.model))


def _save_arrays(path: Path, arrays: Any) -> None:
    import orbax.checkpoint  # takes two seconds, which reading .pt files does without

    with orbax.checkpoint.StandardCheckpointer() as checkpointer:
        checkpointer.save(path.resolve(), arrays)


def _load_arrays(path: Path, expected: Mapping[str, Any]) -> dict[str, Any]:
    import orbax.checkpoint

    if not path.is_dir():
        raise WeightsError(f"{path}: no such folder")
    # Each damaged file has its own exception, of Orbax, TensorStore or json.
    try:
        with orbax.checkpoint.StandardCheckpointer() as checkpointer:
            description = checkpointer.metadata(path.resolve()).item_metadata.tree
            problems = mismatches(flatten(description), expected)
            # NumPy targets: restored without the devices that the checkpoint was written on.
            targets = jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), description)
            arrays = None if problems else checkpointer.restore(path.resolve(), targets)
    except Exception as error:
        raise WeightsError(f"{path}: not a complete checkpoint: {_first_line(error)}") from error
    if problems:
        raise WeightsError(f"{path}: does not fit the configuration:{in_words(problems)}")
    return arrays


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
