"""How much a language model knows of the order of tokens: bits of windows, and of changed ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int

from l3ac_jax.generation.folder import TrainedModel
from l3ac_jax.generation.training import bits_of

__all__ = ["Likelihood", "likelihoods"]

BLOCK_SECONDS = 0.25  # about a syllable, or a note: what is left when their order is lost
BATCH = 8

Windows = Int[np.ndarray, "windows length"]


class Likelihood(NamedTuple):
    """Of windows in one order; lower is likelier. `windows` has each one's bits a token."""

    name: str
    bits_per_token: float
    windows: Float[np.ndarray, " windows"]


def likelihoods(trained: TrainedModel, windows: Windows, seed: int) -> list[Likelihood]:
    """Windows as they are, backwards, cut into blocks in a random order, and wholly shuffled.

    Counted is the second half of a window, whose tokens have half a context or more before them.
    """
    block = max(1, round(BLOCK_SECONDS * trained.codec.frame_rate))

    def in_blocks(window: np.ndarray, random: np.random.Generator) -> np.ndarray:
        pieces = np.split(window, range(block, len(window), block))
        return np.concatenate([pieces[i] for i in random.permutation(len(pieces))])

    orders: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
        "in order": lambda window, _: window,
        "backwards": lambda window, _: window[::-1],
        f"blocks of {1000 * BLOCK_SECONDS:g} ms shuffled": in_blocks,
        "shuffled": lambda window, random: random.permutation(window),
    }
    network = trained.network
    bits = jax.jit(lambda params, tokens: bits_of(network, params, tokens))
    found = []
    for name, changed in orders.items():
        random = np.random.default_rng(seed)
        rows = np.stack([changed(window, random) for window in windows]).astype(np.int32)
        parts = [
            np.asarray(bits(trained.params, rows[first : first + BATCH]))
            for first in range(0, len(rows), BATCH)
        ]
        late = np.concatenate(parts)[:, rows.shape[1] // 2 :].mean(axis=1)
        found.append(Likelihood(name, float(late.mean()), late))
    return found
