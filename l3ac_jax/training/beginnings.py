"""The parameters that a new run takes from another model."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from l3ac_jax.config import ExperimentConfig
from l3ac_jax.config.model import CodecConfig
from l3ac_jax.errors import ConfigError, WeightsError
from l3ac_jax.model.params import (
    expected_params,
    flatten,
    in_words,
    layers_of,
    mismatches,
    unflatten,
)
from l3ac_jax.system.compilation import quick_compilation
from l3ac_jax.training.initialization import initial_params
from l3ac_jax.training.optimizer import is_inside
from l3ac_jax.weights.sources import load_params


@dataclass(frozen=True)
class Beginning:
    """What a run begins with: the parameters of `model`, anything that names weights.

    With `partly`, layers that the model has not in the same shapes are random. So are the layers
    `fresh` ("decoder.output", with all that is inside), whether they would fit or not.
    """

    model: str
    partly: bool = False
    fresh: tuple[str, ...] = ()

    def params(self, config: ExperimentConfig) -> tuple[dict[str, Any], str]:
        """For a configuration, and in words. Raises WeightsError, and ConfigError for `fresh`."""
        words = f"with the parameters of {self.model}"
        if not (self.partly or self.fresh):
            return all_params(self.model, config), words
        params, misfits = fitting_params(self.model, config, self.fresh)
        others = [layer for layer in misfits if not _is_fresh(layer, self.fresh)]
        if others and not self.partly:
            raise WeightsError(
                f"{self.model}: does not fit the configuration: {', '.join(others)}; with --partly "
                "they begin at random"
            )
        return params, f"{words}, but for random ones of {', '.join(misfits) or 'no layer'}"


def all_params(model: str | os.PathLike[str], config: ExperimentConfig) -> dict[str, Any]:
    """Those of a model whose network is that of the configuration. Raises WeightsError."""
    _, params = load_params(model)
    if problems := mismatches(flatten(params), expected_params(config.model)):
        raise WeightsError(f"{model}: does not fit the configuration:{in_words(problems)}")
    return jax.tree.map(jnp.asarray, params)


def fitting_params(
    model: str | os.PathLike[str], config: ExperimentConfig, fresh: Sequence[str] = ()
) -> tuple[dict[str, Any], list[str]]:
    """Those of the layers that the model has in the same shapes, and which are not taken.

    A layer is taken whole or not at all; the others, and those inside of `fresh`, are random, from
    the configuration's seed. Transposed convolutions begin as the upsampling of the nearest frame
    where the model has another. Raises ConfigError for `fresh` that are not there.
    """
    training, expected = config.training, expected_params(config.model)
    assert training is not None
    there, params = load_params(model)
    given = _upsampling_as(config.model, there, flatten(params))
    fits = {
        name: name in given and given[name].shape == wanted.shape
        for name, wanted in expected.items()
    }
    owners = _owners(config)
    for layer in fresh:
        if not any(_is_fresh(owner, [layer]) for owner in owners.values()):
            first = sorted({owner.partition("/")[0] for owner in owners.values()})
            raise ConfigError(
                f"--fresh: there is no layer {layer!r}; there are {', '.join(first)} and those "
                "inside of them, as decoder.output"
            )
    misfits = sorted(
        {owners[name] for name in expected if not fits[name] or _is_fresh(owners[name], fresh)}
    )
    key = jax.random.key(training.seed)
    initial = partial(initial_params, config.model, training.initialization)
    leaves = flatten(jax.jit(initial, compiler_options=quick_compilation())(key))
    for name, wanted in expected.items():
        if owners[name] not in misfits:
            leaves[name] = jnp.asarray(given[name], wanted.dtype)
    return unflatten(leaves), misfits


def _upsampling_as(
    wanted: CodecConfig, there: CodecConfig, given: dict[str, Any]
) -> dict[str, Any]:
    """Kernels of transposed convolutions that give each of their frames what the layers before
    other upsampling give to all: with random ones a trained decoder would begin anew.
    """
    if wanted.decoder.upsampling != "transposed" or there.decoder.upsampling == "transposed":
        return given
    copies = {f"decoder/stage_{i}/up": factor for i, factor in enumerate(wanted.decoder.rates)}
    return {
        name: np.tile(value, copies.get(name.rpartition("/")[0], 1))  # along the last axis
        for name, value in given.items()
    }


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


def _is_fresh(owner: str, fresh: Sequence[str]) -> bool:
    return any(is_inside(owner.replace("/", "."), layer) for layer in fresh)
