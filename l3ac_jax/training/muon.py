"""Muon (K. Jordan 2024, https://kellerjordan.github.io/posts/muon), from optax."""

import math
from collections import defaultdict
from collections.abc import Collection
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike
from jaxtyping import Array, Float

Vector = Float[Array, " parameters"]
Groups = dict[str, Array]

# An update's root mean square in units of the learning rate, about what Adam's has
# (arXiv 2502.16982): one learning rate serves both.
UPDATE_RMS = 0.2
LEAST_WIDTH = 5
OTHERS = "others"


class Matrix(NamedTuple):
    """Where a matrix lies in the vector of all parameters."""

    start: int
    inputs: int
    outputs: int


def muon(
    learning_rate: Array,
    b1: Array,
    params: Any,
    eps: ArrayLike,
    weight_decay: ArrayLike,
    filters: Collection[str] = (),
) -> optax.GradientTransformation:
    """Orthogonal updates for the matrices of `params`, AdamW for everything else.

    Both with Nesterov's momentum, as optax has them.

    `params` needs shapes only; what is updated is all of it in one vector, as `ravel_pytree` has
    it. Matrices are the kernels but for `filters` (their paths), which don't mix channels; a
    convolution's has all its inputs as rows. Those of one shape are computed together, which saves
    most of the time to compile.
    """
    matrices, size = _matrices(params, filters)
    groups = {_name(matrix) for matrix in matrices}
    axes: Any = {name: optax.contrib.MuonDimensionNumbers(1, 2) for name in groups}
    grouped = optax.contrib.muon(
        learning_rate,
        muon_weight_dimension_numbers=axes | {OTHERS: None},
        consistent_rms=UPDATE_RMS,
        eps=eps,
        weight_decay=weight_decay,
        adam_b1=b1,  # type: ignore[arg-type]
        adam_weight_decay=weight_decay,
    )

    def init(vector: Vector) -> optax.OptState:
        return grouped.init(_split(vector, matrices, size))

    def update(slope: Vector, state: optax.OptState, vector: Vector) -> tuple[Vector, Any]:
        slopes, params = (_split(x, matrices, size) for x in (slope, vector))
        updates, state = grouped.update(slopes, state, params)
        return _join(cast(Groups, updates), matrices, size), state

    return optax.GradientTransformation(init, update)  # type: ignore[arg-type]


def _matrices(params: Any, filters: Collection[str]) -> tuple[list[Matrix], int]:
    """The matrices among the parameters, and the number of all parameters."""
    found, start = [], 0
    for path, leaf in jax.tree.leaves_with_path(params):
        name = "/".join(key.key for key in path)
        inputs, outputs = math.prod(leaf.shape[:-1]), leaf.shape[-1]
        mixes = name.endswith("/kernel") and name not in filters
        if mixes and min(inputs, outputs) >= LEAST_WIDTH:
            found.append(Matrix(start, inputs, outputs))
        start += leaf.size
    return found, start


def _name(matrix: Matrix) -> str:
    return f"{matrix.inputs}x{matrix.outputs}"


def _gaps(matrices: list[Matrix], size: int) -> list[tuple[int, int]]:
    """What lies between the matrices, as (start, end)."""
    ends = [0, *(m.start + m.inputs * m.outputs for m in matrices)]
    return list(zip(ends, [*(m.start for m in matrices), size], strict=True))


def _split(vector: Vector, matrices: list[Matrix], size: int) -> Groups:
    groups = defaultdict(list)
    for m in matrices:
        part = vector[m.start : m.start + m.inputs * m.outputs]
        groups[_name(m)].append(part.reshape(m.inputs, m.outputs))
    others = jnp.concatenate([vector[start:end] for start, end in _gaps(matrices, size)])
    return {name: jnp.stack(group) for name, group in groups.items()} | {OTHERS: others}


def _join(groups: Groups, matrices: list[Matrix], size: int) -> Vector:
    """The inverse of `_split`."""
    stacks = {name: iter(group) for name, group in groups.items() if name != OTHERS}
    parts, place = [], 0
    for index, (start, end) in enumerate(_gaps(matrices, size)):
        parts.append(groups[OTHERS][place : place + end - start])
        place += end - start
        if index < len(matrices):
            parts.append(next(stacks[_name(matrices[index])]).reshape(-1))
    return jnp.concatenate(parts)
