"""Causal attention within a fixed grid of windows, its biases, and rotary positions.

A query sees its own window up to itself, and the whole window before. Shapes: b batch, n frames,
w window, h heads, d head width; q queries, k keys, m distances.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from l3ac_jax.model.ops.masks import Dimension

_MASKED = -1e30
_BLOCK = 192

Heads = Float[Array, "b n h d"]


def causal_bias(
    by_distance: Float[Array, "m h"] | None, queries: int, keys: int
) -> Float[Array, "h q k"]:
    """(h, queries, keys) biases by |i - j|, the last query at the last key; later keys masked.

    Without `by_distance`, the mask alone, for all heads.
    """
    positions = jnp.arange(keys)
    distance = positions[keys - queries :, None] - positions[None]
    if by_distance is None:
        return jnp.where(distance < 0, _MASKED, 0.0)[None]
    return jnp.where(distance[None] < 0, _MASKED, by_distance.T[:, jnp.abs(distance)])


def rotate(x: Float[Array, "*bwh i d"], positions: Float[Array, " i"]) -> Array:
    """Rotary embedding of `x` at `positions`: halves of the width are rotated against each other.

    The angles' frequencies are 10000^(-2k/d).
    """
    width = x.shape[-1]
    frequencies = 1.0 / 10000 ** (jnp.arange(0, width, 2, dtype=jnp.float32) / width)
    angles = positions[:, None] * frequencies[None]
    angles = angles.astype(jnp.promote_types(x.dtype, angles.dtype))
    angles = angles.reshape((1,) * (x.ndim - 2) + angles.shape)
    cos, sin = jnp.cos(angles).astype(x.dtype), jnp.sin(angles).astype(x.dtype)
    first, second = jnp.split(x, 2, axis=-1)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def causal_attention(
    query: Heads, key: Heads, value: Heads, window: int, bias: Float[Array, "#h q k"], rotary: bool
) -> Heads:
    """Attention within windows of `window` frames and, if `bias` covers it, the one before each.

    `bias` is (h or 1, window, window) or (h or 1, window, 2·window). Queries are taken in blocks,
    so that most of what the mask hides is never computed; in a program for any length, all of a
    window at once.
    """
    frames = query.shape[1]
    query, key, value = (_split_windows(x, window) for x in (query, key, value))
    before = bias.shape[2] - window
    if rotary:
        # relative positions are all that counts; the same ones with and without a window before
        positions = window + jnp.arange(window, dtype=jnp.float32)
        query, own_key = rotate(query, positions), rotate(key, positions)
        previous_key = rotate(key, positions - window)
    else:
        own_key = previous_key = key
    if not isinstance(frames, int):
        keys = jnp.concatenate([_window_before(previous_key), own_key], axis=3)
        values = jnp.concatenate([_window_before(value), value], axis=3)
        first = jnp.arange(query.shape[1]) == 0
        hidden = first[:, None, None, None] & (jnp.arange(2 * window) < window)[None, None, None]
        biases = jnp.where(hidden[None], _MASKED, bias[None, None])
        return _joined_windows(_attend(query, keys, values, biases), frames)
    rows = []
    for start in range(0, min(window, frames), _BLOCK):
        stop = min(start + _BLOCK, window)
        windows = -(-(frames - start) // window)
        block = query[:, :windows, :, start:stop]
        own = (own_key[:, :windows, :, :stop], value[:, :windows, :, :stop])
        block_bias = bias[:, start:stop, : before + stop]
        first_bias = block_bias[None, None, :, :, before:]
        first = _attend(block[:, :1], own[0][:, :1], own[1][:, :1], first_bias)
        if windows > 1:
            keys = jnp.concatenate([previous_key[:, : windows - 1], own[0][:, 1:]], axis=3)
            values = jnp.concatenate([value[:, : windows - 1], own[1][:, 1:]], axis=3)
            others = _attend(block[:, 1:], keys, values, block_bias[None, None])
            first = jnp.concatenate([first, others], axis=1)
        missing = query.shape[1] - windows
        rows.append(jnp.pad(first, [(0, 0), (0, missing), (0, 0), (0, 0), (0, 0)]))
    return _joined_windows(jnp.concatenate(rows, axis=3), frames)


def _split_windows(x: Heads, window: int) -> Float[Array, "b w h i d"]:
    """Windows of frames, padded to whole ones, heads before frames."""
    batch, frames, heads, width = x.shape
    windows = -(-frames // window)
    padded = jnp.pad(x, [(0, 0), (0, windows * window - frames), (0, 0), (0, 0)])
    return padded.reshape(batch, windows, window, heads, width).transpose(0, 1, 3, 2, 4)


def _joined_windows(x: Float[Array, "b w h i d"], frames: Dimension) -> Heads:
    """Inverse of `_split_windows`."""
    batch, windows, heads, window, width = x.shape
    return x.transpose(0, 1, 3, 2, 4).reshape(batch, windows * window, heads, width)[:, :frames]


def _window_before(x: Float[Array, "b w h i d"]) -> Float[Array, "b w h i d"]:
    """The window before each one, zeros before the first."""
    return jnp.pad(x[:, :-1], [(0, 0), (1, 0), (0, 0), (0, 0), (0, 0)])


def _attend(query, key, value, bias):
    """Softmax attention over (b, w, h, i, d) queries and (b, w, h, j, d) keys and values."""
    precise = jnp.promote_types(query.dtype, jnp.float32)
    scores = jnp.einsum("bwhid,bwhjd->bwhij", query, key, preferred_element_type=precise)
    weights, total = attention_weights(scores + bias)
    # dividing the small result instead of the weights saves a pass over them
    mixed = jnp.einsum("bwhij,bwhjd->bwhid", weights.astype(value.dtype), value)
    return mixed / total.astype(value.dtype)


def attention_weights(scores: Array) -> tuple[Array, Array]:
    """The exponentials of a softmax over the last axis, and their sums."""
    weights = jnp.exp(scores - jax.lax.stop_gradient(scores.max(axis=-1, keepdims=True)))
    return weights, weights.sum(axis=-1, keepdims=True)
