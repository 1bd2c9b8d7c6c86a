"""Tokens as levels of the quantizer's dimensions, and back.

A token is the number whose mixed-radix digits, least significant first, are the levels. For arrays
of NumPy and of JAX alike, in their own types; without JAX, which token files do without.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

Levels = Int[Any, "*batch l"]
Tokens = Int[Any, "*batch"]


def levels_to_tokens(levels: Levels, counts: Sequence[int]) -> Tokens:
    """Tokens in [0, prod(counts)) of levels, those of dimension i in [0, counts[i])."""
    basis = _last_axis(_radix_basis(counts), levels.ndim)
    tokens = (levels * basis).sum(axis=-1, dtype=np.int32, keepdims=True)
    return tokens.reshape(levels.shape[:-1])  # and not [..., 0]: of a single token, an array, too


def tokens_to_levels(tokens: Tokens, counts: Sequence[int]) -> Levels:
    """Inverse of `levels_to_tokens`."""
    axes = tokens.ndim + 1
    digits = tokens[..., None] // _last_axis(_radix_basis(counts), axes)
    return digits % _last_axis(np.asarray(counts, np.int32), axes)


def _radix_basis(counts: Sequence[int]) -> np.ndarray:
    """What one step of each level adds to the token."""
    return np.cumprod([1, *counts[:-1]]).astype(np.int32)


def _last_axis(values: np.ndarray, axes: int) -> np.ndarray:
    return values.reshape((1,) * (axes - 1) + values.shape)
