"""Parameter trees by path: their layers, and how they differ from what a network needs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple

import flax.linen as nn
import numpy as np
from flax.linen.module import InterceptorContext
from flax.traverse_util import flatten_dict, unflatten_dict

from l3ac_jax.config import CodecConfig
from l3ac_jax.model.layer import Kind, Layer
from l3ac_jax.model.network import abstract_params

# What a message has of a file that belongs to something else altogether.
MOST_PROBLEMS = 500
LONGEST_PROBLEM = 400


def flatten(params: Mapping[str, Any]) -> dict[str, Any]:
    """Nested dicts -> leaves by path, "encoder/front/merge/kernel"."""
    return flatten_dict(params, sep="/")


def unflatten(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `flatten`."""
    return unflatten_dict(dict(leaves), sep="/")


class Located(NamedTuple):
    """A layer, which knows its settings but has no parameters, and where it stands."""

    layer: Layer
    frames: int | None
    """that it gives for a token; None where it gives something else than frames of channels"""
    parents: tuple[Layer, ...]
    """the layers that it is a part of, the outermost first"""

    def inside(self, kind: type[Layer]) -> bool:
        """Whether it is a part of such a layer."""
        return any(isinstance(parent, kind) for parent in self.parents)


def expected_params(config: CodecConfig) -> Mapping[str, Any]:
    """Shape and type of each parameter of a configuration's network, by path."""
    return _traced(config)[0]


def parameter_count(config: CodecConfig) -> int:
    """How many numbers the parameters of a configuration's network are."""
    return sum(leaf.size for leaf in expected_params(config).values())


def layers_of(config: CodecConfig) -> Mapping[str, Located]:
    """Each layer of a configuration's network, by path: "encoder/front/merge"."""
    return _traced(config)[1]


def paths_of(config: CodecConfig, kind: Kind) -> frozenset[str]:
    """The paths of all parameters of a kind."""
    return frozenset(
        f"{path}/{name}"
        for path, located in layers_of(config).items()
        for name, found in located.layer.kinds.items()
        if found is kind and f"{path}/{name}" in expected_params(config)
    )


@cache  # tracing the network takes a second
def _traced(config: CodecConfig) -> tuple[Mapping[str, Any], Mapping[str, Located]]:
    """The parameters and the layers of a network, as it computes a single token."""
    found: dict[str, tuple[Layer, int | None]] = {}

    def note(method: Any, args: Any, kwargs: Any, context: InterceptorContext) -> Any:
        result = method(*args, **kwargs)
        layer = context.module
        if isinstance(layer, Layer) and context.method_name in ("__call__", "valid"):
            frames = result.shape[1] if result.ndim == 3 else None
            found["/".join(layer.path)] = (layer.clone(parent=None), frames)
            outer = layer.parent
            while isinstance(outer, Layer):  # not all are called: the decoder calls parts of stages
                found.setdefault("/".join(outer.path), (outer.clone(parent=None), None))
                outer = outer.parent
        return result

    with nn.intercept_methods(note):
        params = flatten(abstract_params(config))

    def located(path: str) -> Located:
        names = path.split("/")
        around = ["/".join(names[:count]) for count in range(1, len(names))]
        return Located(*found[path], tuple(found[outer][0] for outer in around if outer in found))

    return MappingProxyType(params), MappingProxyType({path: located(path) for path in found})


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
    lines = [_printable(problem) for problem in problems[:MOST_PROBLEMS]]
    if len(problems) > MOST_PROBLEMS:
        lines.append(f"and {len(problems) - MOST_PROBLEMS} more")
    return "".join(f"\n  {line}" for line in lines)


def _printable(line: str) -> str:
    """Names come from files, and a terminal obeys control characters."""
    line = line if len(line) <= LONGEST_PROBLEM else f"{line[:LONGEST_PROBLEM]}..."
    return line if line.isprintable() else repr(line)[1:-1]
