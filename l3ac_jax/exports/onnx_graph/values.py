"""Values that repeat along an axis, written with length 1 there, and made whole where needed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from l3ac_jax.exports.onnx_graph.graph import Constant, Graph, Operand, Shape, onnx_type

__all__ = ["cast", "common_shape", "reshaped", "transposed", "unsqueezed", "whole"]


def common_shape(shapes: Sequence[Shape]) -> Shape:
    """That of an operation on values of these shapes, element by element."""
    filled = [shape for shape in shapes if shape]  # a number goes with any shape
    return tuple(
        next((size for size in sizes if not _is_one(size)), 1)
        for sizes in zip(*filled, strict=True)
    )


def whole(graph: Graph, operand: Operand, shape: Shape) -> Operand:
    """The value with all that repeats written out."""
    if tuple(operand.shape) == tuple(shape):
        return operand
    if isinstance(operand, Constant) and all(isinstance(size, int) for size in shape):
        return np.broadcast_to(operand, shape)
    return graph.node("Expand", [operand, graph.numbers(shape)], shape, operand.dtype)


def unsqueezed(graph: Graph, operand: Operand, axes: Sequence[int]) -> Operand:
    """With new axes of length 1, which are at these places afterwards."""
    if not axes:
        return operand
    if isinstance(operand, Constant):
        return np.expand_dims(operand, tuple(axes))
    left = iter(operand.shape)
    rank = len(operand.shape) + len(axes)
    shape = tuple(1 if axis in axes else next(left) for axis in range(rank))
    return graph.node("Unsqueeze", [operand, np.asarray(axes, np.int64)], shape, operand.dtype)


def reshaped(graph: Graph, operand: Operand, shape: Shape) -> Operand:
    """Of a whole value."""
    if tuple(operand.shape) == tuple(shape):
        return operand
    if isinstance(operand, Constant):
        return operand.reshape(shape)
    sizes = list(shape)
    symbolic = [axis for axis, size in enumerate(sizes) if not isinstance(size, int)]
    if len(symbolic) == 1:  # the length that is left
        sizes[symbolic[0]] = -1
    return graph.node("Reshape", [operand, graph.numbers(sizes)], shape, operand.dtype)


def transposed(graph: Graph, operand: Operand, order: Sequence[int]) -> Operand:
    """With axes in this order."""
    if list(order) == list(range(len(order))):
        return operand
    if isinstance(operand, Constant):
        return operand.transpose(order)
    shape = tuple(operand.shape[axis] for axis in order)
    return graph.node("Transpose", [operand], shape, operand.dtype, perm=list(order))


def cast(graph: Graph, operand: Operand, dtype: np.dtype) -> Operand:
    """In another type."""
    if operand.dtype == dtype:
        return operand
    if isinstance(operand, Constant):
        return operand.astype(dtype)
    return graph.node("Cast", [operand], operand.shape, dtype, to=onnx_type(dtype))


def _is_one(size: object) -> bool:
    return isinstance(size, int) and size == 1
