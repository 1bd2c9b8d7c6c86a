"""The parameters that a new run takes from another model."""

import os
from typing import Any

import jax
import jax.numpy as jnp

from l3ac_jax.config import ExperimentConfig
from l3ac_jax.errors import WeightsError
from l3ac_jax.model.params import (
    expected_params,
    flatten,
    in_words,
    layers_of,
    mismatches,
    unflatten,
)
from l3ac_jax.training.initialization import initial_params
from l3ac_jax.weights.sources import load_params


def all_params(model: str | os.PathLike[str], config: ExperimentConfig) -> dict[str, Any]:
    """Those of a model whose network is that of the configuration. Raises WeightsError."""
    _, params = load_params(model)
    if problems := mismatches(flatten(params), expected_params(config.model)):
        raise WeightsError(f"{model}: does not fit the configuration:{in_words(problems)}")
    return jax.tree.map(jnp.asarray, params)


def fitting_params(
    model: str | os.PathLike[str], config: ExperimentConfig
) -> tuple[dict[str, Any], list[str]]:
    """Those of the layers that the model has in the same shapes, and which layers it has not.

    A layer is taken whole or not at all; the others are random, from the configuration's seed.
    """
    training, expected = config.training, expected_params(config.model)
    assert training is not None
    _, params = load_params(model)
    given = flatten(params)
    fits = {
        name: name in given and given[name].shape == wanted.shape
        for name, wanted in expected.items()
    }
    owners = _owners(config)
    misfits = sorted({owners[name] for name in expected if not fits[name]})
    key = jax.random.key(training.seed)
    leaves = flatten(initial_params(config.model, training.initialization, key))
    for name, wanted in expected.items():
        if owners[name] not in misfits:
            leaves[name] = jnp.asarray(given[name], wanted.dtype)
    return unflatten(leaves), misfits


def _owners(config: ExperimentConfig) -> dict[str, str]:
    """The innermost layer that each parameter belongs to; its parent where no layer says so."""
    layers = layers_of(config.model)
    owners = {}
    for name in expected_params(config.model):
        path = name.rpartition("/")[0]
        while path and path not in layers:
            path = path.rpartition("/")[0]
        owners[name] = path or name.rpartition("/")[0]
    return owners
