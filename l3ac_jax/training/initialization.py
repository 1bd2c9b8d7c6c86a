"""Random parameters to begin training with."""

import jax
import numpy as np

from l3ac_jax.config import CodecConfig
from l3ac_jax.model.network import init_params
from l3ac_jax.params import flatten, unflatten

PUBLISHED_DEVIATION = 0.02
BRANCH_SHARE = 0.2


def initial_params(config: CodecConfig, initialization: str, key: jax.Array) -> dict:
    """Random parameters for a network, the same for the same key.

    "published" has every weight-normed kernel at a standard deviation of 0.02, as the official
    code. "fan_in" has those of the encoder at 1/sqrt(inputs of an output), those that end a
    residual unit at a fifth of it. With 0.02 the signal fades before the encoder's first norms,
    whose division by its deviation then gives gradients of 1e7 and, for clips that are silent in
    parts, of 1e18.
    """
    params = init_params(config, key)
    if initialization == "published":
        return params
    leaves = flatten(params["encoder"])
    for path in [path for path in leaves if path.endswith("/scale")]:
        layer = path.removesuffix("/scale")
        if (kernel := leaves.get(f"{layer}/kernel")) is None:
            continue  # a norm's
        factor = _fan_in(layer, kernel.shape) ** -0.5 / PUBLISHED_DEVIATION
        if layer.endswith("/project"):
            factor *= BRANCH_SHARE
        leaves[path] = leaves[path] * factor
        leaves[f"{layer}/kernel"] = kernel * factor
    return params | {"encoder": unflatten(leaves)}


def _fan_in(layer: str, shape: tuple[int, ...]) -> int:
    return shape[0] if layer.endswith("/depthwise") else int(np.prod(shape[:-1]))
