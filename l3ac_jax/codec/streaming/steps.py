"""The steps of encoder and decoder as pure functions, for use inside other compiled code too."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from l3ac_jax.config import CodecConfig
from l3ac_jax.errors import ArgumentError
from l3ac_jax.model.decoder import ByStage
from l3ac_jax.model.folding import folded_params, is_folded
from l3ac_jax.model.network import Network
from l3ac_jax.model.precision import PRODUCTS, Precision, Products, stated_products
from l3ac_jax.model.streams import State

__all__ = ["Encoded", "Steps"]


class Encoded(NamedTuple):
    """What an encoder makes of some hops of audio."""

    features: Float[Any, "B n f"]
    """quantized"""
    tokens: Int[Any, "B n"]


class Steps:
    """Steps of k tokens of a network; k is what the shapes of the arguments say.

    B clips, all of which begin with the first step. A step of the encoder gives the tokens that
    become known with its samples, `encoder_lag` tokens late; the first so many are none. One of
    the decoder gives audio `decoder_lag` samples late. `params` are those of training, or folded
    ones, with which a step has less to do.
    """

    def __init__(self, config: CodecConfig, precision: Precision):
        self.config = config
        self._network = Network(config, folded=True)
        self._products: Products = PRODUCTS[precision]

    def encoder_state(self, batch: int = 1, unreal: int = 0) -> State:
        """Before the first sample, or before `unreal` samples that come before it."""
        return self._apply({}, batch, unreal, method="start_encoder")[0]

    def decoder_state(self, batch: int = 1, statistics: ByStage | None = None) -> State:
        """Before the first token; with `statistics` where the norms take those of the clips."""
        statistics = jax.tree.map(jnp.asarray, statistics)
        return self._apply({}, batch, statistics, method="start_decoder")[0]

    def encoder_step(
        self,
        params: Mapping[str, Any],
        state: State,
        audio: Float[Array, "B k*hop"],
        real: Bool[Array, "B k*hop"] | None = None,
    ) -> tuple[State, Int[Array, "B k"]]:
        """The next state and tokens. `real` is False for samples that no clip has."""
        state, encoded = self.encoded_step(params, state, audio, real)
        return state, encoded.tokens

    def encoded_step(
        self,
        params: Mapping[str, Any],
        state: State,
        audio: Float[Array, "B k*hop"],
        real: Bool[Array, "B k*hop"] | None = None,
    ) -> tuple[State, Encoded]:
        """As `encoder_step`, with the quantized features."""
        hop = self.config.hop_length
        if audio.ndim != 2 or audio.shape[1] == 0 or audio.shape[1] % hop:
            raise ArgumentError(
                f"a step takes audio of shape (clips, k · {hop}), whole hops: got {audio.shape}"
            )
        real = jnp.ones(audio.shape, bool) if real is None else real
        state, outputs = self._apply(params, state, audio, real, method="encoder_step")
        return state, Encoded(*outputs)

    def decoder_step(
        self,
        params: Mapping[str, Any],
        state: State,
        values: Int[Array, "B k"] | Float[Array, "B k F"],
        real: Bool[Array, "B k"] | None = None,
    ) -> tuple[State, Float[Array, "B k*hop"]]:
        """The next state and audio of tokens, or of quantized features.

        `real` is False for tokens that no clip has.
        """
        if values.ndim not in (2, 3) or values.shape[1] == 0:
            raise ArgumentError(
                f"a step takes tokens of shape (clips, k), or features: got {values.shape}"
            )
        params = self._folded(params)  # once, for both
        real = jnp.ones(values.shape[:2], bool) if real is None else real
        if values.ndim == 2:
            values = self._apply(params, values, method="dequantize")
        return self._apply(params, state, values, real, method="decoder_step")

    def decoder_statistics(self, params: Mapping[str, Any], tokens: Int[Array, "B N"]) -> ByStage:
        """Those of clips, as norms over the whole clip take them."""
        features = self._apply(params, tokens, method="dequantize")
        return self._apply(params, features, method="decoder_statistics")

    @cached_property
    def encoder_look_ahead(self) -> int:
        """Samples after its own hop that a token waits for. Raises StreamingError."""
        self.encoder_state()  # which a network without bounds refuses
        return int(self._network.bind({}).encoder_look_ahead)

    @property
    def encoder_lag(self) -> int:
        """Tokens by which those of a step are late."""
        return -(-self.encoder_look_ahead // self.config.hop_length)

    @cached_property
    def decoder_lag(self) -> int:
        """Samples by which the audio of a step is late."""
        return int(self._network.bind({}).decoder_look_ahead)

    def _folded(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        return params if is_folded(params) else folded_params(params, self.config)

    def _apply(self, params: Mapping[str, Any], *arguments: Any, method: str) -> Any:
        with stated_products(self._products):
            variables = {"params": self._folded(params)} if params else {}
            return self._network.apply(variables, *arguments, method=method)
