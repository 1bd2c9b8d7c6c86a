"""Sums of a few terms, and the types for what does not bear 8 bits."""

import jax.numpy as jnp
from jaxtyping import Array


def at_least_float32(x: Array) -> Array:
    """`x` in float32 where it has less: for what does not bear 8 bits (norms, softmax, angles)."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def added(terms: list[Array]) -> Array:
    """The terms added from the first to the last."""
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
