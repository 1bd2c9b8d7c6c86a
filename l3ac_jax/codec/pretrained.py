"""A codec with its weights: what most programs begin with."""

from __future__ import annotations

import os

from l3ac_jax.codec.l3ac import L3AC
from l3ac_jax.config import DEFAULT_MODEL
from l3ac_jax.model.precision import Precision
from l3ac_jax.system.device_memory import take_memory_as_needed
from l3ac_jax.weights.sources import load_params

__all__ = ["get_model"]


def get_model(
    name: str | os.PathLike[str] = DEFAULT_MODEL,
    precision: Precision = "exact",
    gpu_memory: float | None = None,
) -> L3AC:
    """A codec with its weights: by name, from the hub, a model folder or file, or a training run.

    A name of `list_models` means that model even where a folder is called the same (for that, give
    "./3kbps"). Weights of published models are downloaded into the user's cache the first time;
    bundled ones need no network. "hf://OWNER/NAME" is a hub repository with a model that
    experiments/export.py wrote, "hf://OWNER/NAME@REVISION" a state of it. Of a training run it is
    the best checkpoint. `precision` is "exact" or, quicker on a GPU, "fast" (see L3AC).

    Where JAX has not computed yet, a GPU's memory is taken as it is needed, up to `gpu_memory` of
    the card (0 to 1), and not three quarters of it at once (see system/device_memory.py).

    Raises ModelNotFoundError, DownloadError (no weights and no network), or WeightsError or
    ConfigError (a damaged file); all of them are ValueErrors.
    """
    take_memory_as_needed(gpu_memory)
    config, params = load_params(name)
    return L3AC(config, params, os.fspath(name), precision)
