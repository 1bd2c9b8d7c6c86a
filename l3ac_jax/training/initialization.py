"""Random parameters to begin training with."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from l3ac_jax.config import CodecConfig
from l3ac_jax.model.decoder import DecoderStage
from l3ac_jax.model.layer import Kind, Role
from l3ac_jax.model.layers import WeightNormed
from l3ac_jax.model.network import init_params
from l3ac_jax.model.params import flatten, layers_of, unflatten

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
    - Where upsampling is linear, every other channel of the decoder's depthwise kernels is
      `detrended`, and made larger. It leaves of what is faster than its input only some 5 %, in the
      bends between its straight pieces; these channels see nothing else. Without them a waveform is
      hardly learned in the first thousand steps.
    """
    params = init_params(config, key)
    if initialization == "published":
        return params
    leaves, linear = flatten(params), config.decoder.upsampling == "linear"
    for path, located in layers_of(config).items():
        layer = located.layer
        if not isinstance(layer, WeightNormed) or not _is_scaled(path, layer):
            continue
        kernel, filters = leaves[f"{path}/kernel"], layer.kinds["kernel"] is Kind.FILTERS
        inputs = kernel.shape[0] if filters else int(np.prod(kernel.shape[:-1]))
        kernel = kernel * (inputs**-0.5 / PUBLISHED_DEVIATION)
        if layer.role is Role.RESIDUAL:
            kernel = kernel * BRANCH_SHARE
        if linear and filters and located.inside(DecoderStage):
            kernel = kernel.at[:, 1::2].set(DETRENDED_GAIN * detrended(kernel[:, 1::2]))
        leaves[f"{path}/kernel"] = kernel
        norm = jnp.sqrt(jnp.square(kernel).sum(axis=tuple(range(kernel.ndim - 1))))
        leaves[f"{path}/scale"] = norm
    return unflatten(leaves)


def detrended(kernel: Float[Array, "width channels"]) -> Float[Array, "width channels"]:
    """The kernels without what they answer to constants and to straight lines."""
    width = kernel.shape[0]
    line = np.arange(width) - (width - 1) / 2
    trends = np.stack([np.full(width, width**-0.5), line / np.linalg.norm(line)])
    return kernel - jnp.asarray(trends.T @ trends, kernel.dtype) @ kernel


def _is_scaled(path: str, layer: WeightNormed) -> bool:
    in_decoder = path.startswith("decoder/")
    return path.startswith("encoder/") or (in_decoder and layer.role is Role.NORMALIZED)
