"""Attention within the same grid of windows as attention.py, some frames at a time.

What a query may see, its own window up to itself and the whole window before, lies in the last two
windows of frames: their keys and values are kept in rings, and their positions say what is seen.
Windows are counted from each clip's own first frame.

New frames take the places of the oldest, which are seen for the last time beside the ring: so the
ring is changed first and read after that. To be read as it was, it would be copied once more.

Shapes: b batch, n frames of a step (at most a window), r frames in a ring (two windows), k of both,
h heads, d head width.
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
    """Keys and values of the last two windows, each as the product takes it that it is used in."""

    keys: Float[ArrayLike, "b h d r"]
    values: Float[ArrayLike, "b h r d"]


class Seen(NamedTuple):
    """What the frames of a step see: of those then in the ring, and of those replaced there."""

    visible: Bool[Array, "b n k"]
    distance: Int[Array, "b n k"]
    own_window: Bool[Array, "b n k"]
    """whether the key is in the query's own window"""
    in_window: Int[Array, "b n"]
    """the position of the new frames in their windows"""
    slots: Int[Array, " n"]
    """places of the new frames in the ring, until then of the oldest"""
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
    length = 2 * window
    return Ring(
        np.zeros((batch, heads, width, length), np.float32),
        np.zeros((batch, heads, length, width), np.float32),
    )


def see(positions: Positions, real: Bool[Array, "b n"], window: int) -> tuple[Seen, Positions]:
    """What new frames see, those that are `real` being the next ones of their clips."""
    old, following, slot = (jnp.asarray(array) for array in positions)
    counted = jnp.cumsum(real.astype(jnp.int32), axis=1)
    new = following[:, None] + counted - 1
    slots = (slot + jnp.arange(real.shape[1], dtype=jnp.int32)) % (2 * window)
    of_ring = old.at[:, slots].set(jnp.where(real, new, _NEVER))
    keys = jnp.concatenate([of_ring, old[:, slots]], axis=1)
    queries = jnp.maximum(new, 0)  # of what is not real, nobody looks at what it sees
    distance = queries[:, :, None] - keys[:, None]
    query_window, key_window = queries // window, keys // window
    apart = query_window[:, :, None] - key_window[:, None]
    visible = (distance >= 0) & (apart <= 1) & (keys[:, None] >= 0)
    seen = Seen(visible, distance, apart == 0, queries % window, slots, window)
    after = Positions(
        of_ring,
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
    at = seen.in_window[:, None].astype(jnp.float32)
    if table is None:
        key = _rotate_each(key, at)
    keys, oldest_keys = _replaced(ring.keys, key.swapaxes(2, 3), seen.slots, axis=3)
    values, oldest_values = _replaced(ring.values, value, seen.slots, axis=2)

    def scores(query: Array) -> Float[Array, "b h n k"]:
        return jnp.concatenate([_scores(query, part) for part in (keys, oldest_keys)], axis=-1)

    if table is None:
        nearer = scores(_rotate_each(query, at))
        further = scores(_rotate_each(query, at + seen.window))
        similar = jnp.where(seen.own_window[:, None], nearer, further)
    else:
        distance = jnp.clip(seen.distance, 0, len(table) - 1)
        similar = scores(query) + table.T[:, distance].swapaxes(0, 1)
    weights, total = attention_weights(jnp.where(seen.visible[:, None], similar, -1e30))
    weights, size = weights.astype(value.dtype), values.shape[2]
    mixed = weights[..., :size] @ values.astype(value.dtype)
    mixed += weights[..., size:] @ oldest_values.astype(value.dtype)
    mixed = mixed / total.astype(mixed.dtype)
    return Ring(keys, values), mixed.transpose(0, 2, 1, 3)


def _replaced(
    ring: ArrayLike, new: Array, slots: Int[Array, " n"], axis: int
) -> tuple[Array, Array]:
    """The ring with the new frames, and those whose places they have taken."""
    array = jnp.asarray(ring)
    where = (slice(None),) * axis + (slots,)
    return array.at[where].set(new.astype(array.dtype)), array[where]


def _scores(query: Array, keys: Float[Array, "b h d k"]) -> Float[Array, "b h n k"]:
    precise = jnp.promote_types(query.dtype, jnp.float32)
    keys = keys.astype(query.dtype)
    return jnp.einsum("bhnd,bhdk->bhnk", query, keys, preferred_element_type=precise)


def _rotate_each(x: Float[Array, "b h n d"], at: Float[Array, "b 1 n"]) -> Array:
    return jax.vmap(lambda clip, places: rotate(clip, places))(x, at[:, 0])
