"""Random parameters that hide nothing: every one off its initial value, signals at sane scales.

At its initial values half of the network is invisible: norms are the identity, GRN and biases are
zero, and the normalized kernels are so small that little but the residual paths is left.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from l3ac_jax.config import CodecConfig
from l3ac_jax.model.enhance import EnhanceBlock
from l3ac_jax.model.layer import Kind, Role
from l3ac_jax.model.layers import Conv, WeightNormed
from l3ac_jax.model.params import Located, expected_params, layers_of, unflatten
from l3ac_jax.model.tpooling import TConv

__all__ = ["random_params"]

# Between which bounds all others lie.
_UNIFORM = {
    Kind.FREQUENCY: (0.5, 1.5),
    Kind.RESPONSE: (-0.4, 0.4),
    Kind.OFFSET: (-0.15, 0.15),
    Kind.SCALE: (0.7, 1.3),
}
# The deviation is the gain / sqrt(inputs): those of the linear layers without weight norm.
_GAINS = {
    "qkv": 1.0,
    "out": 0.7,
    "feed_forward_in": 1.0,
    "feed_forward_out": 0.7,
    "merge": 0.4,
    "project_in": 1.0,
    "project_out": 0.7,
    # Distances of hundreds of frames come in: see the division by the window below.
    "hidden_0": 4.0,
    "hidden_1": 1.5,
    "output": 2.0,
}


def random_params(config: CodecConfig, seed: int) -> dict[str, Any]:
    """The parameters (NumPy, float32) that belong to a seed."""
    random, layers = np.random.default_rng(seed), layers_of(config)
    window = config.transformer.window_size

    def draw(path: str, shape: tuple[int, ...]) -> NDArray:
        layer, _, name = path.rpartition("/")
        located = layers[layer]
        kind = located.layer.kinds[name]
        if kind is Kind.GAIN:
            return random.uniform(*_weight_norm(located), shape)
        if kind in _UNIFORM:
            return random.uniform(*_UNIFORM[kind], shape)
        of_layer = layer.rpartition("/")[2]
        gain = 1.0 if isinstance(located.layer, WeightNormed) else _GAINS[of_layer]
        inputs = window**2 if of_layer == "hidden_0" else np.prod(shape[:-1])
        return random.normal(0, gain / np.sqrt(inputs), shape)

    return unflatten(
        {
            path: draw(path, leaf.shape).astype(np.float32)
            for path, leaf in sorted(expected_params(config).items())
        }
    )


def _weight_norm(located: Located) -> tuple[float, float]:
    """Bounds of a weight-normed layer's gains.

    With 1, a layer keeps the variance of what it reads: gains are lower where a layer closes a
    residual branch and in front of the last tanh, higher where speech (rms 0.1) comes in.
    """
    layer = located.layer
    if located.inside(TConv):
        return 4.0, 8.0
    if located.inside(EnhanceBlock):
        return 0.03, 0.08
    if isinstance(layer, WeightNormed) and layer.role is Role.RESIDUAL:
        return 0.2, 0.4
    if isinstance(layer, Conv) and layer.features == 1:  # the waveform
        return 0.1, 0.15
    return 0.7, 1.3
