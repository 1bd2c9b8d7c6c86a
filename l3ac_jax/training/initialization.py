"""Random parameters to begin training with."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from l3ac_jax.config import CodecConfig
from l3ac_jax.model.network import init_params
from l3ac_jax.model.params import flatten, unflatten

PUBLISHED_DEVIATION = 0.02
BRANCH_SHARE = 0.2
DETRENDED_GAIN = 8.0


def initial_params(config: CodecConfig, initialization: str, key: jax.Array) -> dict:
    """Random parameters for a network, the same for the same key.

    "published" has every weight-normed kernel at a standard deviation of 0.02, as the official
    code. "fan_in" differs in three things:

    - Encoder: 1/sqrt(inputs of an output), and a fifth of it where a kernel ends a residual unit.
      With 0.02 the signal fades before the first norms, whose division by its deviation then gives
      gradients of 1e7 and, for clips that are silent in parts, of 1e18.
    - Decoder: 1/sqrt(inputs) for the kernels whose output is normalized. The smaller these are, the
      further a step of the optimizer turns them: of 7 weights that are 0.02, by 5 % at a learning
      rate of 1e-3.
    - Every other channel of the decoder's depthwise kernels is `detrended`, and made larger. Linear
      upsampling leaves of what is faster than its input only some 5 %, in the bends between its
      straight pieces; these channels see nothing else. Without them a waveform is hardly learned
      in the first thousand steps.
    """
    params = init_params(config, key)
    if initialization == "published":
        return params
    leaves = flatten(params)
    for path in [path for path in leaves if path.endswith("/scale")]:
        layer = path.removesuffix("/scale")
        kernel = leaves.get(f"{layer}/kernel")  # a norm has none
        if kernel is None or not _is_scaled(layer):
            continue
        kernel = kernel * (_fan_in(layer, kernel.shape) ** -0.5 / PUBLISHED_DEVIATION)
        if layer.endswith("/project"):
            kernel = kernel * BRANCH_SHARE
        if layer.startswith("decoder/stage_") and layer.endswith("/depthwise"):
            kernel = kernel.at[:, 1::2].set(DETRENDED_GAIN * detrended(kernel[:, 1::2]))
        leaves[f"{layer}/kernel"] = kernel
        leaves[path] = jnp.sqrt(jnp.square(kernel).sum(axis=tuple(range(kernel.ndim - 1))))
    return unflatten(leaves)


def detrended(kernel: Float[Array, "width channels"]) -> Float[Array, "width channels"]:
    """The kernels without what they answer to constants and to straight lines."""
    width = kernel.shape[0]
    line = np.arange(width) - (width - 1) / 2
    trends = np.stack([np.full(width, width**-0.5), line / np.linalg.norm(line)])
    return kernel - jnp.asarray(trends.T @ trends, kernel.dtype) @ kernel


def _is_scaled(layer: str) -> bool:
    if layer.startswith("encoder/"):
        return True
    normalized = layer.endswith(("/depthwise", "/up")) or "/enhance/branch_" in layer
    return layer.startswith("decoder/") and normalized


def _fan_in(layer: str, shape: tuple[int, ...]) -> int:
    return shape[0] if layer.endswith("/depthwise") else int(np.prod(shape[:-1]))
