"""A trained language model as what makes tokens one by one, after a prompt or out of nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from l3ac_jax.errors import ArgumentError
from l3ac_jax.generation.folder import TrainedModel
from l3ac_jax.generation.network import empty_cache
from l3ac_jax.generation.playing import TokenModel

__all__ = ["language_tokens", "sampled_tokens"]


def language_tokens(
    trained: TrainedModel,
    prompt: Int[np.ndarray, "B n"] | None = None,
    temperature: float = 1.0,
    top_p: float = 1.0,
    batch: int = 1,
    labels: Sequence[str] | None = None,
) -> TokenModel:
    """The prompt's tokens, then those that the model draws.

    `temperature` 0 takes the likeliest; `top_p` is the share of all tokens' chances, of their
    likeliest, that is drawn from. `labels`, one for each row, are for a model that is told them.
    Raises ArgumentError.
    """
    if temperature < 0 or not 0 < top_p <= 1:
        raise ArgumentError(
            f"temperature must be at least 0 and top_p above 0, at most 1: got {temperature:g} "
            f"and {top_p:g}"
        )
    label = _label_numbers(trained, labels)
    if prompt is None:
        prompt = np.zeros((batch if labels is None else len(labels), 0), np.int32)
    network, given = trained.network, prompt.shape[1]
    # Not of length 0, so that it can be indexed.
    forced = jnp.asarray(np.pad(prompt, [(0, 0), (0, 1)]), jnp.int32)
    warmth, share = jnp.float32(temperature), jnp.float32(top_p)

    def step(state: Any, key: Array) -> tuple[Any, Int[Array, "B 1"]]:
        params, caches, last, position, label = state
        apply: Any = network.apply
        caches, x = apply({"params": params}, caches, last, position, label, method="hidden")
        drawn = apply({"params": params}, x, key, warmth, share, method="sample")
        token = jnp.where(position < given, forced[:, jnp.minimum(position, given)], drawn)
        return (params, caches, token, position + 1, label), token[:, None]

    params = jax.tree.map(jnp.asarray, trained.params)
    caches = empty_cache(trained.config.model, len(prompt))
    nothing = jnp.zeros(len(prompt), jnp.int32)
    # The label in it too: programs are the same whatever is said.
    return TokenModel((params, caches, nothing, jnp.zeros((), jnp.int32), label), step)


def _label_numbers(
    trained: TrainedModel, labels: Sequence[str] | None
) -> Int[np.ndarray, " B"] | None:
    known = list(trained.labels)
    if not known:
        if labels is not None:
            raise ArgumentError(f"{labels[0]}: the language model is told no labels")
        return None
    if labels is None:
        raise ArgumentError(f"the language model is told what to say: one of {', '.join(known)}")
    for label in labels:
        if label not in known:
            raise ArgumentError(
                f"{label}: is no label of the language model, which has {', '.join(known)}"
            )
    return np.array([known.index(label) for label in labels], np.int32)


def sampled_tokens(model: TokenModel, key: Array, count: int) -> Int[np.ndarray, "B count"]:
    """So many tokens of a model, without audio."""

    @jax.jit
    def scanned(state: Any, keys: Array) -> Array:
        return jax.lax.scan(model.step, state, keys)[1]

    tokens = scanned(model.state, jax.random.split(key, count))
    return np.asarray(tokens)[:, :, 0].T
