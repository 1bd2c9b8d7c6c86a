"""Matrix products and convolutions, places and what is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from l3ac_jax.exports.onnx_graph.graph import Graph, Operand, Value
from l3ac_jax.exports.onnx_graph.layout import LAYOUT
from l3ac_jax.exports.onnx_graph.values import cast, reshaped, transposed, whole

__all__ = ["INDEXED", "PRODUCTS"]

Lowered = Callable[[Graph, list[Operand], dict[str, Any], Any], Operand]


def _product(graph: Graph, operands: list[Operand], params: dict[str, Any], out: Any) -> Operand:
    left, right = operands
    (of_left, of_right), (batch_left, batch_right) = params["dimension_numbers"]
    free_left, free_right = (
        [axis for axis in range(len(operand.shape)) if axis not in (*contracted, *batch)]
        for operand, contracted, batch in (
            (left, of_left, batch_left),
            (right, of_right, batch_right),
        )
    )
    if len(of_left) != 1 or len(free_right) > 1 or (batch_left and len(free_left) != 1):
        raise NotImplementedError(f"a product with {params['dimension_numbers']}")
    left = transposed(graph, left, [*batch_left, *free_left, *of_left])
    right = transposed(graph, right, [*batch_right, *of_right, *free_right])
    return graph.node("MatMul", [left, right], out.shape, out.dtype)


def _convolution(
    graph: Graph, operands: list[Operand], params: dict[str, Any], out: Any
) -> Operand:
    x, kernel = operands
    numbers = params["dimension_numbers"]
    if any(step != 1 for step in params["lhs_dilation"]) or params["batch_group_count"] != 1:
        raise NotImplementedError("a transposed convolution")
    x = transposed(graph, x, numbers.lhs_spec)
    kernel = transposed(graph, kernel, numbers.rhs_spec)
    before, after = zip(*params["padding"], strict=True)
    y = graph.node(
        "Conv",
        [x, kernel],
        tuple(out.shape[axis] for axis in numbers.out_spec),
        out.dtype,
        kernel_shape=list(kernel.shape[2:]),
        strides=list(params["window_strides"]),
        dilations=list(params["rhs_dilation"]),
        pads=[*before, *after],
        group=params["feature_group_count"],
    )
    return transposed(graph, y, [int(place) for place in np.argsort(numbers.out_spec)])


PRODUCTS: dict[str, Lowered] = {"conv_general_dilated": _convolution, "dot_general": _product}
"""Operands are whole."""


def _gather(graph: Graph, operands: list[Operand], params: dict[str, Any], out: Any) -> Operand:
    """Places along one axis, all of which are there."""
    operand, places = operands
    numbers = params["dimension_numbers"]
    if not numbers.collapsed_slice_dims:
        return _window(graph, operand, places, params, out)
    axis = _only(numbers.start_index_map, numbers.collapsed_slice_dims, numbers)
    sizes = [size for other, size in enumerate(operand.shape) if other != axis]
    rank = len(places.shape) - 1
    in_place = [other if other < axis else other + rank for other in range(len(sizes))]
    whole_slices = [
        params["slice_sizes"][other] for other in range(len(sizes) + 1) if other != axis
    ]
    if whole_slices != sizes or list(numbers.offset_dims) not in (in_place, _trailing(sizes, rank)):
        raise NotImplementedError(f"a gather with {numbers}")
    places = reshaped(graph, places, places.shape[:-1])
    shape = (*operand.shape[:axis], *places.shape, *operand.shape[axis + 1 :])
    found = graph.node("Gather", [operand, places], shape, out.dtype, axis=axis)
    if list(numbers.offset_dims) == in_place:
        return found
    order = [
        *range(axis, axis + rank),
        *(d for d in range(len(shape)) if not axis <= d < axis + rank),
    ]
    return transposed(graph, found, order)


def _window(graph: Graph, operand: Operand, place: Operand, params: dict[str, Any], out: Any):
    """The part of a value that begins at a place: how JAX cuts where lengths are symbolic."""
    numbers, starts = params["dimension_numbers"], [0] * len(out.shape)
    if len(numbers.start_index_map) != 1 or place.shape != (1,):
        raise NotImplementedError(f"a cut with {numbers}")
    (axis,) = numbers.start_index_map
    if isinstance(place, Value):
        first = cast(graph, place, np.dtype(np.int64))
        width = graph.numbers([params["slice_sizes"][axis]])
        last = graph.node("Add", [first, width], (1,), np.int64)
        cuts = [first, last, np.asarray([axis], np.int64)]
        return graph.node("Slice", [operand, *cuts], out.shape, out.dtype)
    starts[axis] = int(place.item())
    stops = [start + size for start, size in zip(starts, params["slice_sizes"], strict=True)]
    cut = {"start_indices": starts, "limit_indices": stops, "strides": None}
    return LAYOUT["slice"](graph, [operand], cut, out)


def _trailing(sizes: list[Any], rank: int) -> list[int]:
    return [rank + place for place in range(len(sizes))]


def _scatter(graph: Graph, operands: list[Operand], params: dict[str, Any], out: Any) -> Operand:
    """New values at places along one axis, all of which are there."""
    operand, places, values = operands
    numbers = params["dimension_numbers"]
    axis = _only(numbers.scatter_dims_to_operand_dims, numbers.inserted_window_dims, numbers)
    others = [other for other in range(len(operand.shape)) if other != axis]
    if len(places.shape) != 2 or list(numbers.update_window_dims) != others:
        raise NotImplementedError(f"a scatter with {numbers}")
    along = [1] * len(operand.shape)
    along[axis] = places.shape[0]
    places = whole(graph, reshaped(graph, places, tuple(along)), values.shape)
    places = cast(graph, places, np.dtype(np.int64))
    return graph.node("ScatterElements", [operand, places, values], out.shape, out.dtype, axis=axis)


def _only(axes: tuple[int, ...], dropped: tuple[int, ...], numbers: Any) -> int:
    if len(axes) != 1 or tuple(axes) != tuple(dropped) or numbers.operand_batching_dims:
        raise NotImplementedError(f"indexing with {numbers}")
    return axes[0]


INDEXED: dict[str, Lowered] = {"gather": _gather, "scatter": _scatter}
"""Operands are whole."""
