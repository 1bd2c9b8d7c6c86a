"""What a codec computes as pure functions of parameters and arrays, for programs of one's own.

    codec = l3ac_jax.get_model("3kbps")
    decode = codec.functions.decode

    @jax.jit
    def loss(params, features, target):
        return jnp.abs(decode(params, features) - target).mean()

    slope = jax.grad(loss, argnums=1)(codec.params, features, target)

They can be traced (jax.jit, vmap, grad, lax.scan) and differentiated, by the audio and the features
and by the parameters. Nothing is checked, padded to a bucket or cut in pieces: each shape is a
program, and takes the memory of one pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jaxtyping import Array, Float, Int

from l3ac_jax.config import CodecConfig
from l3ac_jax.model.network import Network
from l3ac_jax.model.precision import PRODUCTS, Precision, stated_products

__all__ = ["CodecFunctions"]

Params = Mapping[str, Any]


@dataclass(frozen=True)
class CodecFunctions:
    """Pure functions of a configuration's network; `params` are as `L3AC.params` has them.

    Shapes: B clips, T samples, N = T / hop length rounded up tokens, F features, all float32 or
    int32. `lengths` say how much of each clip is real, where not all of it is; what comes out past
    a clip's end is of no meaning.
    """

    config: CodecConfig
    precision: Precision = "exact"

    def encode(
        self, params: Params, audio: Float[Array, "B T"], lengths: Int[Array, " B"] | None = None
    ) -> tuple[Float[Array, "B N F"], Int[Array, "B N"]]:
        """Quantized features and tokens of audio; `lengths` in samples.

        The features' derivatives are those of the features before they were quantized, as in the
        training of FSQ ("straight through"); tokens have none.
        """
        return self._applied("encode", params, audio, lengths)

    def decode(
        self,
        params: Params,
        features: Float[Array, "B N F"],
        lengths: Int[Array, " B"] | None = None,
    ) -> Float[Array, "B N*hop"]:
        """Audio in -1..1 of features, quantized or between those; `lengths` in tokens."""
        return self._applied("decode", params, features, lengths)

    def decode_tokens(
        self, params: Params, tokens: Int[Array, "B N"], lengths: Int[Array, " B"] | None = None
    ) -> Float[Array, "B N*hop"]:
        """Audio in -1..1 of tokens; `lengths` in tokens."""
        return self._applied("decode_tokens", params, tokens, lengths)

    def dequantize(self, params: Params, tokens: Int[Array, "B N"]) -> Float[Array, "B N F"]:
        """The quantized features that tokens stand for."""
        return self._applied("dequantize", params, tokens)

    def _applied(self, method: str, params: Params, *arrays: Any) -> Any:
        with stated_products(PRODUCTS[self.precision]):
            return Network(self.config).apply({"params": params}, *arrays, method=method)
