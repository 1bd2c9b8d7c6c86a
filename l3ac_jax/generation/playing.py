"""Audio of tokens while a model makes them: a block at a time, both in one compiled program."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
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

    Tokens are made one after the other in a `lax.scan`; the decoder, which has nothing to wait for
    within a block, takes all of them in one step. It has to work step by step. The first block
    also compiles.
    """

    # What does not change in the states, as a model's parameters, is not copied for every block.
    @partial(jax.jit, donate_argnums=(1, 2))
    def computed(params: Any, states: Any, key: Array) -> tuple[Any, Array, Array]:
        key, of_block = jax.random.split(key)
        of_model, of_decoder = states
        of_model, tokens = jax.lax.scan(model.step, of_model, jax.random.split(of_block, block))
        of_decoder, audio = codec.decoder_step(params, of_decoder, tokens[:, :, 0].T)
        return (of_model, of_decoder), key, audio

    # The caller's own arrays stay: a model may be played once more.
    states = jax.tree.map(jnp.copy, (model.state, codec.decoder_state(batch)))
    key = jnp.copy(key)
    late = codec.decoder_lag
    while True:
        states, key, audio = computed(codec.folded_params, states, key)
        skipped = min(late, audio.shape[1])
        late -= skipped
        yield np.asarray(audio)[:, skipped:]
