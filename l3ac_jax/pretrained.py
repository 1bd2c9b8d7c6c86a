"""Where codecs come from: a published name, or a model folder."""

from __future__ import annotations

import os
from pathlib import Path

from l3ac_jax.checkpoint import load_model
from l3ac_jax.codec import L3AC
from l3ac_jax.config import PUBLISHED, published_config
from l3ac_jax.hub import WEIGHT_FILES, download_weights
from l3ac_jax.torch_weights import from_torch

__all__ = ["L3AC", "ModelNotFoundError", "get_model", "list_models"]


class ModelNotFoundError(ValueError):
    """A name that is no published model, or a folder that holds no model."""


def list_models() -> list[str]:
    """The names that get_model takes, beside folders."""
    return list(PUBLISHED)


def get_model(name: str | os.PathLike[str]) -> L3AC:
    """A codec with its weights, by published name or from a model folder.

    A published name means the published model even where a folder is called the same (for that,
    give "./3kbps"); its weights are downloaded into the user's cache the first time.

    Raises ModelNotFoundError, DownloadError (no weights and no network), or WeightsError or
    ConfigError (a damaged file); all of them are ValueErrors.
    """
    name = os.fspath(name)
    if name in PUBLISHED:
        config = published_config(name).model
        return L3AC(config, from_torch(download_weights(name), config), name)
    _check_model_folder(name)
    experiment, params = load_model(name)
    return L3AC(experiment.model, params, name)


def _check_model_folder(name: str) -> None:
    folder = Path(name)
    if not folder.is_dir():
        names = ", ".join(PUBLISHED)
        raise ModelNotFoundError(f"{name}: is neither a published model ({names}) nor a folder")
    # The official training code leaves a config.toml of its own beside its weights.
    if any((folder / file).is_file() for file in WEIGHT_FILES):
        raise ModelNotFoundError(
            f"{folder}: holds PyTorch weights; make a model folder of them with "
            f"python convert_torch_weights.py {folder} TARGET"
        )
    if not (folder / "config.toml").is_file():
        raise ModelNotFoundError(f"{folder}: is not a model folder: it has no config.toml")
