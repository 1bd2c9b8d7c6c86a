"""JAX's settings of the process, kept out of what this package computes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import jax

__all__ = ["own_settings"]


@contextlib.contextmanager
def own_settings() -> Iterator[None]:
    """JAX's defaults for types and shapes, whatever the process or the environment has set.

    With 64-bit types, constants would turn float32 into float64; with strict promotion, mixing the
    types of an index and a frame would be an error.
    """
    with (
        jax.enable_x64(False),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
    ):
        yield
