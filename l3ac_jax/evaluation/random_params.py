"""Random parameters that hide nothing: every one off its initial value, signals at sane scales.

At its initial values half of the network is invisible: norms are the identity, GRN and biases are
zero, and the normalized kernels are so small that little but the residual paths is left.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l3ac_jax.config import CodecConfig
from l3ac_jax.model.params import expected_params, unflatten

__all__ = ["random_params"]

# Uniform: (pattern in the path, low, high), the first match counts. A weight-normed layer of gain 1
# keeps the variance of what it reads: gains are lower where a layer closes a residual branch and in
# front of the last tanh, higher where speech (rms 0.1) comes in.
_UNIFORM: tuple[tuple[str, float, float], ...] = (
    (r"alpha$", 0.5, 1.5),
    (r"gamma$", -0.4, 0.4),
    (r"(bias|beta)$", -0.15, 0.15),
    (r"^encoder/front/.*scale$", 4.0, 8.0),
    (r"project/scale$", 0.2, 0.4),
    (r"^decoder/output/scale$", 0.1, 0.15),
    (r"enhance/branch_\d+/scale$", 0.03, 0.08),
    (r"scale$", 0.7, 1.3),
)
# Normal, the variance being gain² / inputs: the gains of kernels without weight norm.
_GAINS: tuple[tuple[str, float], ...] = (
    (r"(out|feed_forward_out)/kernel$", 0.7),
    (r"merge/kernel$", 0.4),
    (r"project_out/kernel$", 1.7),
    # Distances of hundreds of frames come in: see the division by the window below.
    (r"hidden_0/kernel$", 4.0),
    (r"hidden_1/kernel$", 1.5),
    (r"position_bias/output/kernel$", 2.0),
    (r"kernel$", 1.0),
)


def random_params(config: CodecConfig, seed: int) -> dict[str, Any]:
    """The parameters (NumPy, float32) that belong to a seed."""
    random = np.random.default_rng(seed)
    window = config.transformer.window_size
    return unflatten(
        {
            path: _draw(random, path, leaf.shape, window).astype(np.float32)
            for path, leaf in sorted(expected_params(config).items())
        }
    )


def _draw(random: np.random.Generator, path: str, shape: tuple[int, ...], window: int) -> NDArray:
    if not path.endswith("kernel"):
        bounds = next((low, high) for pattern, low, high in _UNIFORM if re.search(pattern, path))
        return random.uniform(*bounds, shape)
    gain = next(gain for pattern, gain in _GAINS if re.search(pattern, path))
    inputs = window**2 if path.endswith("hidden_0/kernel") else np.prod(shape[:-1])
    return random.normal(0, gain / np.sqrt(inputs), shape)
