"""Parameters multiplied out: what is the same for all frames is computed once, not for each.

Weight norm becomes plain kernels; the affine parts of norms and of the published GRN go into the
linear layer that follows them; the MLP of the position bias becomes its table. Each layer says how
(`Layer.fold`). `Network(config, folded=True)` takes the result and computes the same function.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from l3ac_jax.config import CodecConfig
from l3ac_jax.model.layer import Layer
from l3ac_jax.model.network import Network


def fold(params: dict, config: CodecConfig) -> dict:
    """Parameters for inference (float32 NumPy arrays) of training parameters.

    On the host, in float64: compiling these thousand small operations would take longer than
    loading a model.
    """
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    return jax.tree.map(lambda leaf: leaf.astype(np.float32), folded_params(params, config))


def folded_params(params: Mapping[str, Any], config: CodecConfig) -> dict[str, Any]:
    """Folded parameters, by the library of the arrays (NumPy or JAX) and in their type."""
    return _folded(params, Network(config).bind({}))


def is_folded(params: Mapping[str, Any]) -> bool:
    """Whether parameters, of all of the network or of one half, are those of inference."""
    half = params["encoder" if "encoder" in params else "decoder"]
    return "scale" not in half["output"]


def _folded(tree: Mapping[str, Any], module: nn.Module | None) -> dict[str, Any]:
    inside = {
        name: _folded(value, _part(module, name)) if isinstance(value, Mapping) else value
        for name, value in tree.items()
    }
    return module.fold(inside) if isinstance(module, Layer) else inside


def _part(module: nn.Module | None, name: str) -> nn.Module | None:
    """The part that has parameters of this name, without tracing the network, which takes a second.

    None for what a layer makes when it is called: then the layer itself folds it.
    """
    part = getattr(module, name, None)
    if part is None:
        attribute, _, number = name.rpartition("_")  # as Flax names the parts in a list
        part = getattr(module, attribute, None)
        part = part[int(number)] if isinstance(part, list | tuple) else None
    return part
