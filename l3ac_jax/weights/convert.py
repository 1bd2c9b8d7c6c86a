"""Whole folders from the official form to ours and back: weights and configuration together."""

from __future__ import annotations

import os
from pathlib import Path

from l3ac_jax.config import PUBLISHED, ExperimentConfig, load_config, published_config
from l3ac_jax.config.layers import read_toml
from l3ac_jax.errors import ConfigError, WeightsError
from l3ac_jax.official.config import from_official_config, is_official_config
from l3ac_jax.official.weights import from_torch, to_torch
from l3ac_jax.system.folders import check_target
from l3ac_jax.weights.folder import MODEL_FILES, PARAMS_FOLDER, load_model, save_model
from l3ac_jax.weights.hub import download_weights

__all__ = ["convert_from_torch", "convert_to_torch", "find_config"]


def convert_from_torch(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    config: str | None = None,
    overwrite: bool = False,
) -> ExperimentConfig:
    """Make a model folder of official weights. Returns its configuration.

    `source` is a folder with the five .pt files, or a published name, whose weights are downloaded
    where the cache lacks them; `config` a published name or a TOML file, ours or an official one,
    which `find_config` looks for if it is None. Raises ConfigError, WeightsError, DownloadError or
    OutputError; nothing is written then.
    """
    check_target(target, overwrite, MODEL_FILES)  # before a download
    # As in get_model, a published name means the published model even where a folder is called so.
    if str(source) in PUBLISHED:
        experiment = published_config(str(source)) if config is None else read_any_config(config)
        folder = download_weights(str(source))
    else:
        folder = Path(source)
        if not folder.is_dir():
            names = ", ".join(PUBLISHED)
            raise WeightsError(f"{source}: is neither a folder nor a published model ({names})")
        experiment = find_config(folder) if config is None else read_any_config(config)
    save_model(target, experiment, from_torch(folder, experiment.model), overwrite)
    return experiment


def convert_to_torch(
    source: str | os.PathLike[str], target: str | os.PathLike[str], overwrite: bool = False
) -> ExperimentConfig:
    """Make a folder with the five official files of a model folder. Returns its configuration.

    Raises ConfigError (also for a network that the official package does not have), WeightsError,
    OutputError, or MissingPackageError without torch; nothing is written then.
    """
    if not (Path(source) / PARAMS_FOLDER).is_dir():
        raise WeightsError(f"{source}: is not a model folder: it has no {PARAMS_FOLDER}/")
    experiment, params = load_model(source)
    to_torch(params, experiment.model, target, overwrite)
    return experiment


def find_config(folder: Path) -> ExperimentConfig:
    """The configuration that goes with the weights in a folder.

    It is the folder's only TOML file, or the published one that the folder is named after, with or
    without a version: 3kbps, 3kbps.v1. Raises ConfigError if there is neither.
    """
    files = sorted(folder.glob("*.toml"))
    if len(files) == 1:
        return read_any_config(str(files[0]))
    name = folder.resolve().name.split(".")[0]
    if not files and name in PUBLISHED:
        return published_config(name)
    found = (
        "several TOML files" if files else "no TOML file, nor has it the name of a published one"
    )
    raise ConfigError(
        f"{folder}: which model it holds is not known ({found}): give --config, "
        f"{', '.join(PUBLISHED)} or a TOML file"
    )


def read_any_config(name: str) -> ExperimentConfig:
    """A published configuration, or a TOML file in our or the official form. Raises ConfigError."""
    if name in PUBLISHED:
        return published_config(name)
    try:
        content = read_toml(Path(name))
    except ConfigError:
        content = {}  # load_config says what is wrong with it
    if is_official_config(content):
        return ExperimentConfig(model=from_official_config(name))
    return load_config(name)
