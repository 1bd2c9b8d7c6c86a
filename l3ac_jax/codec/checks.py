"""What a codec takes and gives, as arrays on the host: clear errors, and what is padding."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from l3ac_jax.errors import ArgumentError


def on_host(values: ArrayLike, what: str) -> np.ndarray:
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(values)):
        raise ArgumentError(
            f"{what}: under jax.jit, vmap or grad arrays have no values that could be checked and "
            "padded. codec.functions has what can be traced: encode(codec.params, audio), "
            "decode(codec.params, features) and decode_tokens(codec.params, tokens)"
        )
    return np.asarray(values)


def checked_audio(audio: ArrayLike) -> np.ndarray:
    array = on_host(audio, "audio")
    if not np.issubdtype(array.dtype, np.floating) and array.dtype != jnp.bfloat16:
        raise ArgumentError(
            f"audio must be floating point in -1..1, got {array.dtype}: divide integer samples by "
            "their full scale (32768 for 16 bits)"
        )
    if array.ndim != 2:
        hint = ": add the batch axis with audio[None]" if array.ndim == 1 else ""
        raise ArgumentError(f"audio must have shape (clips, samples), got {array.shape}{hint}")
    if array.size == 0:
        raise ArgumentError(f"audio is empty: shape {array.shape}; at least one sample is needed")
    return array.astype(np.float32, copy=False)


def checked_integers(values: ArrayLike, what: str) -> np.ndarray:
    array = on_host(values, what)
    if not np.issubdtype(array.dtype, np.integer):
        raise ArgumentError(f"{what} must be integers, got {array.dtype}")
    return array


def checked_levels(levels: ArrayLike, counts: Sequence[int]) -> np.ndarray:
    array = checked_integers(levels, "levels")
    if array.ndim == 0 or array.shape[-1] != len(counts):
        raise ArgumentError(f"levels must have {len(counts)} columns, got shape {array.shape}")
    for dimension, count in enumerate(counts):
        require_range(array[..., dimension], count, f"levels of dimension {dimension}")
    return array


def checked_tokens(tokens: ArrayLike) -> np.ndarray:
    array = checked_integers(tokens, "tokens")
    if array.ndim != 2:
        hint = ": add the batch axis with tokens[None]" if array.ndim == 1 else ""
        raise ArgumentError(f"tokens must have shape (clips, tokens), got {array.shape}{hint}")
    if array.size == 0:
        raise ArgumentError(f"tokens are empty: shape {array.shape}; at least one token is needed")
    return array


def checked_features(features: ArrayLike, width: int) -> np.ndarray:
    array = on_host(features, "features")
    if not np.issubdtype(array.dtype, np.floating) and array.dtype != jnp.bfloat16:
        raise ArgumentError(f"features must be floating point, got {array.dtype}")
    if array.ndim != 3 or array.shape[2] != width or array.size == 0:
        raise ArgumentError(f"features must have shape (clips, tokens, {width}), got {array.shape}")
    return array.astype(np.float32, copy=False)


def checked_lengths(lengths: ArrayLike | None, shape: tuple[int, ...], unit: str) -> np.ndarray:
    if lengths is None:
        return np.full(shape[0], shape[1])
    array = on_host(lengths, "lengths")
    if not np.issubdtype(array.dtype, np.integer):
        raise ArgumentError(f"lengths must be integers (in {unit}), got {array.dtype}")
    if array.shape != shape[:1]:
        raise ArgumentError(f"lengths must have shape ({shape[0]},), one a clip, got {array.shape}")
    if array.min() < 1 or array.max() > shape[1]:
        bad = int(np.argmax((array < 1) | (array > shape[1])))
        raise ArgumentError(f"lengths[{bad}] is {array[bad]}, must be 1 to {shape[1]} {unit}")
    return array.astype(np.int64)


def _valid(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    mask = np.arange(values.shape[1]) < counts[:, None]
    return mask.reshape(mask.shape + (1,) * (values.ndim - 2))


def clear_padding(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    if (counts >= values.shape[1]).all():
        return values
    return np.where(_valid(values, counts), values, values.dtype.type(0))


def require_finite(values: np.ndarray, counts: np.ndarray, what: str) -> None:
    finite = np.isfinite(values)
    if finite.all():
        return
    bad = ~finite & _valid(values, counts)
    if bad.any():
        clip, frame = np.argwhere(bad)[0][:2]
        value = values[clip, frame]
        shown = value if np.ndim(value) == 0 else value[~np.isfinite(value)][0]
        raise ArgumentError(f"{what} must be finite, got {shown} in clip {clip} at index {frame}")


def require_range(values: np.ndarray, size: int, what: str) -> None:
    bad = (values < 0) | (values >= size)
    if bad.any():
        place = tuple(int(i) for i in np.argwhere(bad)[0])
        where = f"clip {place[0]} at {place[1]}" if len(place) == 2 else f"place {place}"
        raise ArgumentError(f"{what} must be 0 to {size - 1}, got {values[place]} in {where}")
