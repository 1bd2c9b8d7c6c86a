"""The state of a stream in a few arrays.

Each array of a call takes some microseconds, in and out, and a decoder's state has two hundred,
most of them of a few hundred bytes: with `stream` that was 1.8 of 6.4 ms for one token.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from l3ac_jax.model.streams import State

__all__ = ["Packed", "pack", "packed_step", "unpack"]

# Arrays of so many values stay as they are, so that they can be changed in place.
LARGE = 2**14


@dataclass(frozen=True)
class Layout:
    """What a state looks like: its tree, and shape and type of each array."""

    tree: Any
    arrays: tuple[tuple[tuple[int, ...], str], ...]


@partial(jax.tree_util.register_dataclass, data_fields=["vectors", "large"], meta_fields=["layout"])
@dataclass(frozen=True)
class Packed:
    """A state: all small arrays of a type one after the other, and the large ones."""

    vectors: Mapping[str, ArrayLike]
    large: list[ArrayLike]
    layout: Layout


def pack(state: State) -> Packed:
    """The state in few arrays: NumPy's where all of its own are, so that nothing is compiled."""
    leaves, tree = jax.tree.flatten(state)
    on_host = all(isinstance(leaf, np.ndarray) for leaf in leaves)
    library = np if on_host else jnp
    arrays = tuple((leaf.shape, str(leaf.dtype)) for leaf in leaves)
    small: dict[str, list[Any]] = {}
    large = []
    for leaf, (_, dtype) in zip(leaves, arrays, strict=True):
        if leaf.size < LARGE:
            small.setdefault(dtype, []).append(library.ravel(leaf))
        else:
            large.append(leaf)
    vectors = {dtype: library.concatenate(parts) for dtype, parts in small.items()}
    return Packed(vectors, large, Layout(tree, arrays))


def unpack(packed: Packed) -> State:
    """The state that was packed; while tracing, or on the host."""
    large, ends, leaves = iter(packed.large), dict.fromkeys(packed.vectors, 0), []
    for shape, dtype in packed.layout.arrays:
        size = math.prod(shape)
        if size >= LARGE:
            leaves.append(next(large))
            continue
        start = ends[dtype]
        ends[dtype] = start + size
        leaves.append(jnp.asarray(packed.vectors[dtype])[start : start + size].reshape(shape))
    return jax.tree.unflatten(packed.layout.tree, leaves)


def packed_step(step: Callable[..., tuple[State, Any]]) -> Callable[..., tuple[Packed, Any]]:
    """`step(params, state, ...)`, which gives the next state and outputs, with packed states."""

    def run(params: Any, state: Packed, *inputs: Any) -> tuple[Packed, Any]:
        after, outputs = step(params, unpack(state), *inputs)
        return pack(after), outputs

    return run
