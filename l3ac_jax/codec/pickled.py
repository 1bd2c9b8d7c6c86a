"""Codecs on their way to other processes: what they are made of, in one form.

The same codec gives the same bytes in every process and whatever it has computed so far, so that
caches that go by a hash of what is pickled (`datasets.map`) find what it made before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np

from l3ac_jax.config import CodecConfig
from l3ac_jax.model.params import flatten, unflatten
from l3ac_jax.model.precision import Precision

__all__ = ["State", "restored", "state_of"]

Codec = TypeVar("Codec")


class State(NamedTuple):
    """Configuration (JSON, without what is at its default), parameters by path, and names."""

    config: str
    params: tuple[tuple[str, np.ndarray], ...]
    name: str
    precision: Precision


def state_of(
    config: CodecConfig, params: Mapping[str, Any], name: str, precision: Precision
) -> State:
    """Of what a codec is made of."""
    leaves = sorted(flatten(params).items())
    arrays = tuple((path, np.asarray(leaf, order="C")) for path, leaf in leaves)
    return State(config.model_dump_json(exclude_defaults=True), arrays, name, precision)


def restored(kind: Callable[..., Codec], state: State) -> Codec:
    """The codec; it compiles, or finds what this process has compiled, when it is first used."""
    config = CodecConfig.model_validate_json(state.config)
    return kind(config, unflatten(dict(state.params)), state.name, state.precision)
