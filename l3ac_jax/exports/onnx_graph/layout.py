"""Where elements are: cutting, joining, padding, reordering."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from l3ac_jax.exports.onnx_graph.graph import Dimension, Graph, Operand
from l3ac_jax.exports.onnx_graph.values import reshaped, transposed, unsqueezed

__all__ = ["CUTS", "LAYOUT", "split"]

Lowered = Callable[[Graph, list[Operand], dict[str, Any], Any], Operand]
END = np.iinfo(np.int64).max


def _broadcast(graph: Graph, operands: list[Operand], params: dict[str, Any], out: Any) -> Operand:
    kept = params["broadcast_dimensions"]
    new = [axis for axis in range(len(out.shape)) if axis not in kept]
    return unsqueezed(graph, operands[0], new)


def _transpose(graph: Graph, operands: list[Operand], params: dict[str, Any], out: Any) -> Operand:
    return transposed(graph, operands[0], params["permutation"])


def _squeeze(graph: Graph, operands: list[Operand], params: dict[str, Any], out: Any) -> Operand:
    (operand,), axes = operands, params["dimensions"]
    shape = tuple(size for axis, size in enumerate(operand.shape) if axis not in axes)
    return graph.node("Squeeze", [operand, np.asarray(axes, np.int64)], shape, out.dtype)


CUTS: dict[str, Lowered] = {
    "broadcast_in_dim": _broadcast,
    "squeeze": _squeeze,
    "transpose": _transpose,
}
"""Operands may have lengths of 1 where they repeat, and so has what comes out."""


def _reshape(graph: Graph, operands: list[Operand], params: dict[str, Any], out: Any) -> Operand:
    return reshaped(graph, operands[0], out.shape)


def _slice(graph: Graph, operands: list[Operand], params: dict[str, Any], out: Any) -> Operand:
    (operand,) = operands
    strides = params["strides"] or (1,) * len(out.shape)
    cuts = [
        (axis, start, stop, stride)
        for axis, (start, stop, stride) in enumerate(
            zip(params["start_indices"], params["limit_indices"], strides, strict=True)
        )
        if not (_equal(start, 0) and _equal(stop, operand.shape[axis]) and stride == 1)
    ]
    if not cuts:
        return operand
    axes, starts, stops, steps = zip(*cuts, strict=True)
    stops = [_end(stop, operand.shape[axis]) for axis, stop in zip(axes, stops, strict=True)]
    starts = [
        start if isinstance(start, int) else _from_end(start, operand.shape[axis])
        for axis, start in zip(axes, starts, strict=True)
    ]
    numbers = [graph.numbers(list(part)) for part in (starts, stops, axes, steps)]
    return graph.node("Slice", [operand, *numbers], out.shape, out.dtype)


def _end(stop: Dimension, size: Dimension) -> Dimension:
    """The end of a cut: seen from that of a symbolic length, where it is as far in any."""
    if _equal(stop, size):
        return END
    return stop if isinstance(stop, int) else _from_end(stop, size)


def _from_end(place: Dimension, size: Dimension) -> Dimension:
    before = place - size
    return before if isinstance(before, int) and before < 0 else place


def _equal(one: Dimension, other: Dimension) -> bool:
    return isinstance(one, int) == isinstance(other, int) and bool(one == other)


def _concatenate(
    graph: Graph, operands: list[Operand], params: dict[str, Any], out: Any
) -> Operand:
    filled = [operand for operand in operands if not _equal(operand.shape[params["dimension"]], 0)]
    if len(filled) == 1:
        return filled[0]
    return graph.node("Concat", filled, out.shape, out.dtype, axis=params["dimension"])


def _stack(graph: Graph, operands: list[Operand], params: dict[str, Any], out: Any) -> Operand:
    axis = params["axis"] % len(out.shape)
    rows = [unsqueezed(graph, operand, [axis]) for operand in operands]
    return graph.node("Concat", rows, out.shape, out.dtype, axis=axis)


def _pad(graph: Graph, operands: list[Operand], params: dict[str, Any], out: Any) -> Operand:
    operand, fill = operands
    before, after, between = zip(*params["padding_config"], strict=True)
    if any(between):
        raise NotImplementedError("padding between the elements")
    if all(_equal(width, 0) for width in (*before, *after)):
        return operand
    widths = graph.numbers([*before, *after])
    return graph.node("Pad", [operand, widths, fill], out.shape, out.dtype)


LAYOUT: dict[str, Lowered] = {
    "concatenate": _concatenate,
    "pad": _pad,
    "reshape": _reshape,
    "slice": _slice,
    "stack": _stack,
}
"""Operands are whole."""


def split(graph: Graph, operand: Operand, params: dict[str, Any], outs: list[Any]) -> list[Operand]:
    """The parts of a whole value."""
    sizes = graph.numbers(list(params["sizes"]))
    shapes = [(out.shape, out.dtype) for out in outs]
    return [*graph.node_of_many("Split", [operand, sizes], shapes, axis=params["axis"])]
