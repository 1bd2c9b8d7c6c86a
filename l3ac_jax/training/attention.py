"""Attention of every frame to every frame, for Whisper's 1500.

The weights, 54 MB a clip and layer, are computed again for the derivative rather than kept.

`jax.nn.dot_product_attention` gives the same (within 4e-6 of the largest value, gradients too), but
in float32 it keeps the weights: 2.5 GB for 12 clips and a layer, forward and backward, here 0.12.
What keeps none, cuDNN's, is for half precision on some GPUs, and would stand beside this code.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from l3ac_jax.model.ops.backend import lowerings

Frames = Float[Array, "batch frames features"]
Heads = Float[Array, "heads frames channels"]
Head = Float[Array, "frames channels"]

# Queries at a time on a CPU, where all heads at once, or all queries, do not stay in the cache.
# For 12 heads of 1500 frames, forward and with gradients (alternating medians): a head at a time
# 97 and about 294 ms, blocks with the derivative below 82 and 215, PyTorch's fused attention
# 64 and 190.
_BLOCK = 500


def attention(query: Frames, key: Frames, value: Frames, heads: int) -> Frames:
    """Softmax attention, the features divided among `heads`."""
    batch, frames, width = query.shape

    def split(x):
        return x.reshape(batch, frames, heads, -1).swapaxes(1, 2).reshape(batch * heads, frames, -1)

    mixed = _of_heads(split(query) * (width // heads) ** -0.5, split(key), split(value))
    return mixed.reshape(batch, heads, frames, -1).swapaxes(1, 2).reshape(batch, frames, width)


def _head_by_head(function, *arguments):
    if lowerings().attention_heads == "one by one":
        return jax.lax.map(lambda head: function(*head), arguments)
    return jax.vmap(function)(*arguments)


@jax.custom_vjp
def _of_heads(query: Heads, key: Heads, value: Heads) -> Heads:
    return _forward(query, key, value)[0]


def _forward(query: Heads, key: Heads, value: Heads):
    """The mixed values, and what the derivative needs: with the logarithms of the weights' sums."""
    mixed, sums = _head_by_head(_attend_in_blocks, query, key, value)
    return mixed, (query, key, value, mixed, sums)


def _attend_in_blocks(query: Head, key: Head, value: Head):
    frames = query.shape[0]
    if lowerings().attention_heads == "together" or frames % _BLOCK:
        return _attend(query, key, value)
    blocks = query.reshape(-1, _BLOCK, query.shape[1])
    parts = jax.lax.map(lambda block: _attend(block, key, value), blocks)
    return tuple(part.reshape(frames, -1) for part in parts)


def _attend(query, key, value):
    scores = (query @ key.T).astype(jnp.float32)
    largest = scores.max(axis=1, keepdims=True)
    weights = jnp.exp(scores - largest)
    sums = weights.sum(axis=1, keepdims=True)
    # Normalized afterwards: by then there are 64 numbers a frame instead of 1500.
    mixed = (weights.astype(value.dtype) @ value) / sums
    return mixed.astype(value.dtype), largest + jnp.log(sums)


def _backward(kept, gradient: Heads):
    query, key, value, mixed, sums = kept
    # Here for all heads: in the loop, XLA merges it with a product, which then takes twice as long.
    along = (mixed * gradient).astype(jnp.float32).sum(axis=2, keepdims=True)
    return _head_by_head(_head_backward, query, key, value, sums, along, gradient)


def _head_backward(query: Head, key: Head, value: Head, sums, along, gradient: Head):
    """The softmax's derivative, with keys before queries: all products but one run along rows."""
    weights = jnp.exp((key @ query.T).astype(jnp.float32) - sums.T)
    slopes = weights * ((value @ gradient.T).astype(jnp.float32) - along.T)
    weights, slopes = weights.astype(value.dtype), slopes.astype(value.dtype)
    return slopes.T @ key, slopes @ query, weights @ gradient


_of_heads.defvjp(_forward, _backward)
