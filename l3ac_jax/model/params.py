"""Parameter trees as files see them: flat, by path, and compared with what a network needs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from l3ac_jax.config import CodecConfig
from l3ac_jax.model.network import abstract_params


def flatten(params: Mapping[str, Any]) -> dict[str, Any]:
    """Nested dicts -> leaves by path, "encoder/front/merge/kernel"."""
    return flatten_dict(params, sep="/")


def unflatten(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `flatten`."""
    return unflatten_dict(dict(leaves), sep="/")


@cache  # tracing the network takes a second
def expected_params(config: CodecConfig) -> Mapping[str, Any]:
    """Shape and type of each parameter of a configuration's network, by path."""
    return MappingProxyType(flatten(abstract_params(config)))


def mismatches(found: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """Everything in which two flat trees of arrays differ in names, shapes or types.

    Leaves need no more than `shape` and `dtype`; one line for each.
    """
    lines = [f"missing: {name}" for name in expected if name not in found]
    lines += [f"unexpected: {name}" for name in found if name not in expected]
    for name in expected:
        if name not in found:
            continue
        given, wanted = found[name], expected[name]
        if tuple(given.shape) != tuple(wanted.shape):
            lines.append(f"{name}: shape {tuple(given.shape)}, not {tuple(wanted.shape)}")
        if np.dtype(given.dtype) != np.dtype(wanted.dtype):
            lines.append(f"{name}: {np.dtype(given.dtype)}, not {np.dtype(wanted.dtype)}")
    return lines


def in_words(problems: list[str]) -> str:
    """A list of problems for an exception's message, one a line."""
    return "".join(f"\n  {problem}" for problem in problems)
