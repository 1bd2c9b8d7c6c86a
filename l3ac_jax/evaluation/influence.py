"""Derivatives of tokens and of decoded samples by the input, and how they are distributed.

The quantizer rounds; as in training, its derivative is that of the features before rounding
(straight through). The decoder's InstanceNorms take their statistics from the whole clip: these can
be held at the values of one clip, so that what goes through them is told from what does not.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.linen.module import InterceptorContext
from jaxtyping import Array, Float

from l3ac_jax.config import CodecConfig
from l3ac_jax.evaluation.receptive_field import Field
from l3ac_jax.model.enhance import TrendNorm
from l3ac_jax.model.network import Network
from l3ac_jax.system.compilation import quick_compilation

__all__ = ["DecodedSample", "Influence", "Probe", "Statistics"]

Audio = Float[np.ndarray, " time"]
Features = Float[np.ndarray, "tokens features"]
Statistics = list[tuple[Array, Array]]
"""Mean and 1 / standard deviation of the signals of each InstanceNorm, in the decoder's order."""

_VARIANCE_EPS = 1e-5  # as in ops.standardize


class Influence(NamedTuple):
    """How much each input sample counts: the squared derivative of what it influences.

    A share of their sum is a share of the variance that small independent errors of the same size
    in all input samples would cause.
    """

    squares: Float[np.ndarray, " time"]
    field: Field
    """structural; its `own` samples are where distances count from"""

    def support(self) -> tuple[int, int]:
        """The first and the last sample with a derivative other than zero."""
        where = np.flatnonzero(self.squares)
        return (int(where[0]), int(where[-1])) if len(where) else (0, -1)

    def outside(self) -> int:
        """How many samples outside of the structural field have one."""
        inside = self.field.inside(len(self.squares))
        count = np.count_nonzero
        return int(count(self.squares) - count(self.squares[inside]))

    def after(self, last: int | float) -> int:
        """How many samples after this one have one."""
        if last >= len(self.squares):
            return 0
        return int(np.count_nonzero(self.squares[int(last) + 1 :]))

    def look_ahead(self, share: float) -> int:
        """So many samples after its own, and all before, hold this share of the influence."""
        where = int(np.searchsorted(np.cumsum(self._shares()), share))
        return max(0, min(where, len(self.squares) - 1) - int(self.field.own.last))

    def look_back(self, share: float) -> int:
        """So many samples before its own, and all after, hold this share of the influence."""
        where = int(np.searchsorted(np.cumsum(self._shares()[::-1]), share))
        return max(0, int(self.field.own.first) - max(len(self.squares) - 1 - where, 0))

    def within(self, before: int, after: int) -> float:
        """The share of its own samples, `before` before and `after` after them."""
        first = max(int(self.field.own.first) - before, 0)
        return float(self._shares()[first : int(self.field.own.last) + after + 1].sum())

    def beyond(self, ahead: bool) -> Float[np.ndarray, " distance"]:
        """The share that lies 1, 2, ... samples after (or before) its own samples, or farther."""
        own, shares = self.field.own, self._shares()
        side = shares[int(own.last) + 1 :] if ahead else shares[: int(own.first)][::-1]
        return np.cumsum(side[::-1])[::-1]

    def _shares(self) -> Float[np.ndarray, " time"]:
        return self.squares / (self.squares.sum() or 1.0)


class DecodedSample(NamedTuple):
    """One sample of decoded audio, its derivative by z_q, and the norms' statistics."""

    value: float
    gradient: Features
    statistics: Statistics


class Probe:
    """A codec's network for one clip at a time, with derivatives; audio is float32."""

    def __init__(self, config: CodecConfig, params: dict):
        self.config = config
        self._params = jax.device_put(params)
        network = Network(config)
        jit = partial(jax.jit, compiler_options=quick_compilation())
        self._encode = jit(partial(_encode, network))
        self._pull_back = jit(partial(_pull_back, network))
        self._decode = jit(partial(_decode, network))

    def encode(self, audio: Audio) -> tuple[Features, Features]:
        """The features before the quantizer, and z_q, which hides changes too small for it."""
        features, quantized = self._encode(self._params, audio[None])
        return np.asarray(features[0]), np.asarray(quantized[0])

    def decode(
        self, quantized: Features, sample: int, held: Statistics | None = None
    ) -> DecodedSample:
        """Decoded sample `sample`, with the clip's own statistics or those that are `held`."""
        arguments = (self._params, quantized[None], sample)
        hold = held is not None
        if held is None:  # of the right shapes, so that one compiled program does both
            (_, shapes), _ = jax.eval_shape(self._decode, *arguments, None, hold)
            held = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
        (value, statistics), gradient = self._decode(*arguments, held, hold)
        return DecodedSample(float(value), np.asarray(gradient[0]), statistics)

    def pull_back(
        self, audio: Audio, directions: Float[np.ndarray, "k tokens features"]
    ) -> Float[np.ndarray, "k time"]:
        """The derivatives by the audio of sum(direction · z_q), one for each direction."""
        return np.asarray(self._pull_back(self._params, audio[None], directions))

    def token_directions(self, token: int, tokens: int) -> Float[np.ndarray, "k tokens features"]:
        """Orthonormal directions that span all that z_q of one of `tokens` tokens can do.

        As many as there are quantized dimensions, of which a linear layer makes the features: the
        squared derivatives along them add up to those of all features.
        """
        quantizer = self._params.get("quantizer", {})
        if "project_out" in quantizer:
            basis = np.linalg.qr(np.asarray(quantizer["project_out"]["kernel"]).T)[0].T
        else:
            basis = np.eye(self.config.feature_dim)
        directions = np.zeros((len(basis), tokens, self.config.feature_dim), np.float32)
        directions[:, token] = basis
        return directions


def _encode(network: Network, params: dict, audio: Array) -> tuple[Array, Array]:
    features = network.apply({"params": params}, audio, method="analyze")
    quantized, _ = network.apply({"params": params}, audio, method="encode")
    return features, quantized  # pyright: ignore[reportReturnType]


def _pull_back(network: Network, params: dict, audio: Array, directions: Array) -> Array:
    def quantized(audio: Array) -> Any:
        return network.apply({"params": params}, audio, method="encode")[0]

    _, pull_back = jax.vjp(quantized, audio)
    # One after the other: side by side they would take as many times the memory.
    return jax.lax.map(lambda direction: pull_back(direction[None])[0][0], directions)


def _decode(
    network: Network,
    params: dict,
    quantized: Array,
    sample: Array | int,
    held: Statistics | None,
    hold: Array | bool,
) -> tuple[tuple[Array, Statistics], Array]:
    def decoded_sample(quantized: Array) -> tuple[Array, Statistics]:
        norms = _HeldNorms(held, hold)
        with nn.intercept_methods(norms):
            audio: Any = network.apply({"params": params}, quantized, method="decode")
        return audio[0, sample], norms.statistics

    return jax.value_and_grad(decoded_sample, has_aux=True)(quantized)


class _HeldNorms:
    """Stands between the decoder and its InstanceNorms.

    Keeps the statistics of each, and, if `hold`, has it use those that are held instead.
    """

    def __init__(self, held: Statistics | None, hold: Array | bool):
        self.held, self.hold = held, hold
        self.statistics: Statistics = []

    def __call__(
        self, method: Callable, arguments: tuple, keywords: dict, context: InterceptorContext
    ) -> Any:
        norm = context.module
        if not isinstance(norm, TrendNorm) or context.method_name != "__call__":
            return method(*arguments, **keywords)
        trends, moments = arguments
        if moments is None:
            return method(*arguments, **keywords)
        means, variances = zip(*moments, strict=True)
        signals, mean, variance = (jnp.stack(part, axis=-1) for part in (trends, means, variances))
        factor = jax.lax.rsqrt(variance + _VARIANCE_EPS)
        self.statistics.append((mean, factor))
        own = method(*arguments, **keywords)
        if self.held is None:
            return own
        mean, factor = self.held[len(self.statistics) - 1]
        scale, bias = (norm.get_variable("params", name) for name in ("scale", "bias"))
        held = (signals - mean) * factor * scale[None, None] + bias[None, None]
        return jnp.where(self.hold, held, own)
