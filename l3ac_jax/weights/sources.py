"""Where parameters come from: a name, a hub repository, a model folder or file, a training run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from l3ac_jax.config import BUNDLED, NAMED, PUBLISHED, CodecConfig, published_config
from l3ac_jax.errors import ModelNotFoundError
from l3ac_jax.official.weights import from_torch
from l3ac_jax.weights.file import ENDING, load_model_file
from l3ac_jax.weights.folder import (
    CHECKPOINTS_FOLDER,
    CONFIG_FILE,
    RUN_ITEM,
    best_checkpoint,
    load_model,
)
from l3ac_jax.weights.hub import WEIGHT_FILES, download_weights, missing_weights
from l3ac_jax.weights.repositories import MODEL_FILE, PREFIX, download_model

__all__ = ["list_models", "load_params"]

BUNDLED_FOLDER = Path(__file__).parent / "bundled"


def list_models() -> dict[str, str]:
    """The names that get_model takes, beside files and folders, and where each one's weights are.

    "bundled" (in this package), "downloaded" (in the user's cache), or "to be downloaded".
    """
    return dict.fromkeys(BUNDLED, "bundled") | {
        name: "to be downloaded" if missing_weights(name) else "downloaded" for name in PUBLISHED
    }


def load_params(name: str | os.PathLike[str]) -> tuple[CodecConfig, dict[str, Any]]:
    """Configuration and parameters of what `get_model` takes. Raises what it raises."""
    name = os.fspath(name)
    if name in PUBLISHED:
        config = published_config(name).model
        return config, from_torch(download_weights(name), config)
    if name in BUNDLED:
        return load_model_file(BUNDLED_FOLDER / f"{name}{ENDING}", trusted=True)
    if name.startswith(PREFIX):
        return load_model_file(download_model(name))
    if name.endswith(ENDING) and Path(name).is_file():
        return load_model_file(name)
    if (exported := Path(name, MODEL_FILE)).is_file():
        return load_model_file(exported)
    experiment, params = load_model(_model_folder(Path(name)))
    return experiment.model, params


def _model_folder(folder: Path) -> Path:
    """The folder itself, or the best checkpoint of a training run."""
    if not folder.is_dir():
        names = ", ".join(NAMED)
        raise ModelNotFoundError(
            f"{folder}: is neither a model ({names}) nor a repository ({PREFIX}OWNER/NAME), a "
            f"folder or a {ENDING} file"
        )
    # The official training code leaves a config.toml of its own beside its weights.
    if any((folder / file).is_file() for file in WEIGHT_FILES):
        raise ModelNotFoundError(
            f"{folder}: holds PyTorch weights; make a model folder of them with "
            f"python convert_torch_weights.py {folder} TARGET"
        )
    if (folder / CHECKPOINTS_FOLDER).is_dir():
        checkpoint = best_checkpoint(folder)
        if checkpoint is None:
            raise ModelNotFoundError(f"{folder}: this training run has no checkpoint yet")
        return checkpoint
    if not (folder / CONFIG_FILE).is_file() and not (folder / RUN_ITEM).is_dir():
        raise ModelNotFoundError(f"{folder}: is not a model folder: it has no config.toml")
    return folder
