"""Operations on each element, on rows of them, and constants that count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from l3ac_jax.exports.onnx_graph.graph import Constant, Graph, Operand
from l3ac_jax.exports.onnx_graph.values import cast, common_shape, unsqueezed

__all__ = ["ELEMENTWISE", "ROWS"]

Lowered = Callable[[Graph, list[Operand], dict[str, Any], Any], Operand]
"""Of the operands, the equation's parameters and what it gives in JAX (shape and type)."""


def _named(kind: str, **attributes: Any) -> Lowered:
    def lowered(graph: Graph, operands: list[Operand], params: dict[str, Any], out: Any) -> Operand:
        shape = common_shape([operand.shape for operand in operands])
        return graph.node(kind, operands, shape, out.dtype, **attributes)

    return lowered


def _not_equal(graph: Graph, operands: list[Operand], params: dict[str, Any], out: Any) -> Operand:
    equal = _named("Equal")(graph, operands, params, out)
    return graph.node("Not", [equal], equal.shape, bool)


def _square(graph: Graph, operands: list[Operand], params: dict[str, Any], out: Any) -> Operand:
    return graph.node("Mul", operands * 2, tuple(operands[0].shape), out.dtype)


def _rsqrt(graph: Graph, operands: list[Operand], params: dict[str, Any], out: Any) -> Operand:
    root = graph.node("Sqrt", operands, tuple(operands[0].shape), out.dtype)
    return graph.node("Reciprocal", [root], root.shape, out.dtype)


def _convert(graph: Graph, operands: list[Operand], params: dict[str, Any], out: Any) -> Operand:
    return cast(graph, operands[0], np.dtype(out.dtype))


def _select(graph: Graph, operands: list[Operand], params: dict[str, Any], out: Any) -> Operand:
    chosen, otherwise, where_true = operands
    shape = common_shape([operand.shape for operand in operands])
    return graph.node("Where", [chosen, where_true, otherwise], shape, out.dtype)


ELEMENTWISE: dict[str, Lowered] = {
    "abs": _named("Abs"),
    "add": _named("Add"),
    "and": _named("And"),
    "convert_element_type": _convert,
    "div": _named("Div"),
    "eq": _named("Equal"),
    "erf": _named("Erf"),
    "exp": _named("Exp"),
    "ge": _named("GreaterOrEqual"),
    "gt": _named("Greater"),
    "le": _named("LessOrEqual"),
    "log": _named("Log"),
    "logistic": _named("Sigmoid"),
    "lt": _named("Less"),
    "max": _named("Max"),
    "min": _named("Min"),
    "mul": _named("Mul"),
    "ne": _not_equal,
    "neg": _named("Neg"),
    "not": _named("Not"),
    "or": _named("Or"),
    "rem": _named("Mod", fmod=1),  # of the dividend's sign
    "round": _named("Round"),
    "rsqrt": _rsqrt,
    "select_n": _select,
    "sign": _named("Sign"),
    "sin": _named("Sin"),
    "cos": _named("Cos"),
    "sqrt": _named("Sqrt"),
    "square": _square,
    "sub": _named("Sub"),
    "tanh": _named("Tanh"),
}
"""Operands may have lengths of 1 where they repeat, and so has what comes out."""


def _reduced(kind: str) -> Lowered:
    def lowered(graph: Graph, operands: list[Operand], params: dict[str, Any], out: Any) -> Operand:
        axes = np.asarray(params["axes"], np.int64)
        return graph.node(kind, [operands[0], axes], out.shape, out.dtype, keepdims=0)

    return lowered


def _argmax(graph: Graph, operands: list[Operand], params: dict[str, Any], out: Any) -> Operand:
    (axis,) = params["axes"]
    numbers = operands[0]
    if numbers.dtype == bool:
        numbers = cast(graph, numbers, np.dtype(np.int32))
    place = graph.node("ArgMax", [numbers], out.shape, np.int64, axis=axis, keepdims=0)
    return cast(graph, place, np.dtype(out.dtype))


def _cumsum(graph: Graph, operands: list[Operand], params: dict[str, Any], out: Any) -> Operand:
    axis = np.asarray(params["axis"], np.int64)
    reverse = int(params["reverse"])
    return graph.node("CumSum", [operands[0], axis], out.shape, out.dtype, reverse=reverse)


def _iota(graph: Graph, operands: list[Operand], params: dict[str, Any], out: Any) -> Operand:
    axis, rank = params["dimension"], len(out.shape)
    others = [other for other in range(rank) if other != axis]
    size = out.shape[axis]
    if isinstance(size, int):
        return unsqueezed(graph, np.arange(size, dtype=out.dtype), others)
    bounds: list[Constant | Operand] = [np.asarray(0, np.int64), graph.length(size)]
    count = graph.node("Range", [*bounds, np.asarray(1, np.int64)], (size,), np.int64)
    return unsqueezed(graph, cast(graph, count, np.dtype(out.dtype)), others)


def _length(graph: Graph, operands: list[Operand], params: dict[str, Any], out: Any) -> Operand:
    return cast(graph, graph.length(params["dim"]), np.dtype(out.dtype))


ROWS: dict[str, Lowered] = {
    "argmax": _argmax,
    "cumsum": _cumsum,
    "dim_as_value": _length,
    "iota": _iota,
    "reduce_max": _reduced("ReduceMax"),
    "reduce_min": _reduced("ReduceMin"),
    "reduce_sum": _reduced("ReduceSum"),
}
"""Operands are whole."""
