"""Audio of tokens while a model makes them: both in one `lax.scan`, a block at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, Int

from l3ac_jax.codec.l3ac import L3AC

__all__ = ["TokenModel", "played"]


class TokenModel(NamedTuple):
    """What makes the tokens of B streams: pure functions, which can stand in a compiled program."""

    state: Any
    """before the first token: a pytree of arrays"""
    step: Callable[[Any, Array], tuple[Any, Int[Array, "B 1"]]]
    """state, random key -> the next state, the next token"""


def played(
    codec: L3AC, model: TokenModel, key: Array, block: int, batch: int = 1
) -> Iterator[Float[np.ndarray, "B t"]]:
    """Audio without end, `block` tokens at a time; the first block lacks the decoder's lag.

    The codec's decoder has to work step by step. The first block also compiles.
    """

    @jax.jit
    def scanned(params: Any, states: Any, keys: Array) -> tuple[Any, Array]:
        def step(states: Any, key: Array) -> tuple[Any, Array]:
            of_model, of_decoder = states
            of_model, token = model.step(of_model, key)
            of_decoder, audio = codec.decoder_step(params, of_decoder, token)
            return (of_model, of_decoder), audio

        states, audio = jax.lax.scan(step, states, keys)
        return states, audio.swapaxes(0, 1).reshape(audio.shape[1], -1)

    states, late = (model.state, codec.decoder_state(batch)), codec.decoder_lag
    while True:
        key, of_block = jax.random.split(key)
        states, audio = scanned(codec.folded_params, states, jax.random.split(of_block, block))
        skipped = min(late, audio.shape[1])
        late -= skipped
        yield np.asarray(audio)[:, skipped:]
