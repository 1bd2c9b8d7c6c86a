"""Attention within the same grid of windows as attention.py, some frames at a time.

What a query may see, its own window up to itself and the whole window before, lies in the last two
windows of frames: their keys and values are kept in rings, and their positions say what is seen.
Windows are counted from each clip's own first frame.

Shapes: b batch, n frames of a step (at most a window), r frames in a ring (two windows), h heads,
d head width.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int

from l3ac_jax.model.ops.attention import Heads, attention_weights, rotate

_NEVER = -(2**30)


class Positions(NamedTuple):
    """Where the frames in a ring stand in their clips, and what comes next."""

    of_ring: Int[ArrayLike, "b r"]
    """below 0 where there is none"""
    next: Int[ArrayLike, " b"]
    """the position of the clip's next frame"""
    slot: Int[ArrayLike, ""]
    """the place in the ring of the next frame that comes, of the clip or not"""


class Ring(NamedTuple):
    """Keys and values of the last two windows."""

    keys: Float[ArrayLike, "b h r d"]
    values: Float[ArrayLike, "b h r d"]


class Seen(NamedTuple):
    """What the frames of a step see: of those in the ring, then of those that are new."""

    visible: Bool[Array, "b n k"]
    distance: Int[Array, "b n k"]
    own_window: Bool[Array, "b n k"]
    """whether the key is in the query's own window"""
    in_window: Int[Array, "b n"]
    """the position of the new frames in their windows"""
    slots: Int[Array, " n"]
    """places of the new frames in the ring"""
    window: int


def no_positions(batch: int, window: int) -> Positions:
    """Before the first frame."""
    return Positions(
        np.full((batch, 2 * window), _NEVER, np.int32),
        np.zeros(batch, np.int32),
        np.zeros((), np.int32),
    )


def empty_ring(batch: int, heads: int, window: int, width: int) -> Ring:
    """Before the first frame."""
    shape = (batch, heads, 2 * window, width)
    return Ring(np.zeros(shape, np.float32), np.zeros(shape, np.float32))


def see(positions: Positions, real: Bool[Array, "b n"], window: int) -> tuple[Seen, Positions]:
    """What new frames see, those that are `real` being the next ones of their clips."""
    old, following, slot = (jnp.asarray(array) for array in positions)
    counted = jnp.cumsum(real.astype(jnp.int32), axis=1)
    new = following[:, None] + counted - 1
    keys = jnp.concatenate([old, jnp.where(real, new, _NEVER)], axis=1)
    queries = jnp.maximum(new, 0)  # of what is not real, nobody looks at what it sees
    distance = queries[:, :, None] - keys[:, None]
    query_window, key_window = queries // window, keys // window
    apart = query_window[:, :, None] - key_window[:, None]
    visible = (distance >= 0) & (apart <= 1) & (keys[:, None] >= 0)
    slots = (slot + jnp.arange(real.shape[1], dtype=jnp.int32)) % (2 * window)
    seen = Seen(visible, distance, apart == 0, queries % window, slots, window)
    after = Positions(
        old.at[:, slots].set(keys[:, 2 * window :]),
        following + counted[:, -1],
        (slot + real.shape[1]) % (2 * window),
    )
    return seen, after


def ring_attention(
    ring: Ring,
    query: Heads,
    key: Heads,
    value: Heads,
    seen: Seen,
    table: Float[Array, "m h"] | None,
) -> tuple[Ring, Heads]:
    """The ring with the new frames, and what they attend to.

    With the biases of the distances 0 to 2·window - 1 in `table`, or rotary positions.
    """
    query, key, value = (x.transpose(0, 2, 1, 3) for x in (query, key, value))
    keys, values = (jnp.asarray(array) for array in ring)
    if table is None:
        at = seen.in_window[:, None].astype(jnp.float32)
        key = _rotate_each(key, at)
        nearer = _scores(_rotate_each(query, at), keys, key)
        further = _scores(_rotate_each(query, at + seen.window), keys, key)
        scores = jnp.where(seen.own_window[:, None], nearer, further)
    else:
        distance = jnp.clip(seen.distance, 0, len(table) - 1)
        scores = _scores(query, keys, key) + table.T[:, distance].swapaxes(0, 1)
    weights, total = attention_weights(jnp.where(seen.visible[:, None], scores, -1e30))
    weights = weights.astype(value.dtype)
    old = keys.shape[2]
    mixed = weights[..., :old] @ values + weights[..., old:] @ value
    ring = Ring(
        keys.at[:, :, seen.slots].set(key.astype(keys.dtype)),
        values.at[:, :, seen.slots].set(value.astype(values.dtype)),
    )
    return ring, (mixed / total.astype(mixed.dtype)).transpose(0, 2, 1, 3)


def _scores(query: Array, old: Array, new: Array) -> Float[Array, "b h n k"]:
    precise = jnp.promote_types(query.dtype, jnp.float32)
    parts = [
        jnp.einsum("bhnd,bhkd->bhnk", query, keys, preferred_element_type=precise)
        for keys in (old.astype(query.dtype), new)
    ]
    return jnp.concatenate(parts, axis=-1)


def _rotate_each(x: Float[Array, "b h n d"], at: Float[Array, "b 1 n"]) -> Array:
    return jax.vmap(lambda clip, places: rotate(clip, places))(x, at[:, 0])
