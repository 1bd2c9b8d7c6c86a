"""Parameters multiplied out: what is the same for all frames is computed once, not for each.

Weight norm becomes plain kernels; the affine parts of norms and of the published GRN go into the
linear layer that follows them; the MLP of the position bias becomes its table. Each layer says how
(`Layer.fold`). `Network(config, folded=True)` takes the result and computes the same function.
"""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from l3ac_jax.config import CodecConfig
from l3ac_jax.model.params import Located, layers_of


def fold(params: dict, config: CodecConfig) -> dict:
    """Parameters for inference (float32 NumPy arrays) of training parameters.

    On the host, in float64: compiling these thousand small operations would take longer than
    loading a model.
    """
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    return jax.tree.map(lambda leaf: leaf.astype(np.float32), folded_params(params, config))


def folded_params(params: Mapping[str, Any], config: CodecConfig) -> dict[str, Any]:
    """Folded parameters, by the library of the arrays (NumPy or JAX) and in their type."""
    layers = layers_of(config)
    return {name: _folded(value, name, layers) for name, value in params.items()}


def _folded(tree: Any, path: str, layers: Mapping[str, Located]) -> Any:
    if not isinstance(tree, Mapping):
        return tree
    inside = {name: _folded(value, f"{path}/{name}", layers) for name, value in tree.items()}
    return layers[path].layer.fold(inside) if path in layers else inside
