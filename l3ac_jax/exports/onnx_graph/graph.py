"""A graph that grows node by node: its values, constants and lengths."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import helper

__all__ = ["Constant", "Dimension", "Graph", "Operand", "Shape", "Value", "onnx_type"]

Dimension = Any
"""An int, or a symbolic dimension of JAX."""
Shape = tuple[Dimension, ...]
Constant = np.ndarray


@dataclass(frozen=True)
class Value:
    """Something that is computed while the graph runs."""

    name: str
    shape: Shape
    dtype: np.dtype


Operand = Value | Constant
"""What an equation takes: with axes of length 1 where it may only repeat along them."""


def onnx_type(dtype: np.dtype) -> int:
    """ONNX's number of a type."""
    return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))


@dataclass
class Graph:
    """Nodes in their order. Graphs inside of loops see the values and constants around them."""

    constants: dict[str, Constant] = field(default_factory=dict)
    """by name, of this graph and those inside"""
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    lengths: dict[str, Operand] = field(default_factory=dict)
    """int64 scalars of symbolic dimensions, by how JAX writes them"""
    counts: dict[str, int] = field(default_factory=dict)
    names: dict[tuple[Any, ...], str] = field(default_factory=dict)
    """of constants, by what they hold"""

    def inside(self) -> Graph:
        """An empty graph for the body of a loop."""
        return Graph(self.constants, [], dict(self.lengths), self.counts, self.names)

    def node(
        self, kind: str, operands: Sequence[Operand], shape: Shape, dtype: Any, **attributes: Any
    ) -> Value:
        """The only output of a new node."""
        return self.node_of_many(kind, operands, [(shape, dtype)], **attributes)[0]

    def node_of_many(
        self,
        kind: str,
        operands: Sequence[Operand],
        outputs: Sequence[tuple[Shape, Any]],
        **attributes: Any,
    ) -> list[Value]:
        """The outputs of a new node, which have these shapes and types."""
        values = [Value(self._new(kind), shape, np.dtype(dtype)) for shape, dtype in outputs]
        names = [self.name_of(operand) for operand in operands]
        self.nodes.append(
            helper.make_node(
                kind, names, [value.name for value in values], values[0].name, **attributes
            )
        )
        return values

    def name_of(self, operand: Operand) -> str:
        """By which nodes call it; a constant is added to the graph."""
        if isinstance(operand, Value):
            return operand.name
        array = np.ascontiguousarray(operand).reshape(operand.shape)
        key = (array.shape, array.dtype.str, array.tobytes())
        if key not in self.names:
            self.add_constant(self._new("constant"), array)
        return self.names[key]

    def add_constant(self, name: str, array: Constant) -> None:
        """Call a constant by this name, wherever it is used."""
        array = np.ascontiguousarray(array).reshape(array.shape)
        self.constants[name] = array
        self.names.setdefault((array.shape, array.dtype.str, array.tobytes()), name)

    def numbers(self, dimensions: Sequence[Dimension]) -> Operand:
        """Dimensions as a vector of int64."""
        if all(isinstance(dimension, int) for dimension in dimensions):
            return np.asarray(dimensions, np.int64)
        scalars = [self.length(dimension) for dimension in dimensions]
        rows = [
            scalar.reshape(1)
            if isinstance(scalar, Constant)
            else self.node("Unsqueeze", [scalar, np.zeros(1, np.int64)], (1,), np.int64)
            for scalar in scalars
        ]
        return self.node("Concat", rows, (len(rows),), np.int64, axis=0)

    def length(self, dimension: Dimension) -> Operand:
        """A dimension as a scalar of int64."""
        if isinstance(dimension, int):
            return np.asarray(dimension, np.int64)
        if str(dimension) not in self.lengths:
            self.lengths[str(dimension)] = self._computed(ast.parse(str(dimension), mode="eval"))
        return self.lengths[str(dimension)]

    def measure(self, value: Value, axis: int, symbol: str) -> None:
        """Learn a symbol from the length of an input, which is a multiple of it."""
        self.lengths[symbol] = np.asarray(1, np.int64)
        factor = self._computed(ast.parse(str(value.shape[axis]), mode="eval"))
        shape = self.node("Shape", [value], (1,), np.int64, start=axis, end=axis + 1)
        length = self.node("Squeeze", [shape], (), np.int64)
        self.lengths[symbol] = self._arithmetic("Div", length, factor)

    def _new(self, kind: str) -> str:
        self.counts[kind] = count = self.counts.get(kind, 0) + 1
        return f"{kind.lower()}.{count}"

    def _computed(self, term: ast.AST) -> Operand:
        """What JAX writes of a dimension is an expression of Python's."""
        match term:
            case ast.Expression(body):
                return self._computed(body)
            case ast.Constant(int(number)):
                return np.asarray(number, np.int64)
            case ast.Name(name):
                return self.lengths[name]
            case ast.UnaryOp(ast.USub(), operand):
                return self._arithmetic("Sub", np.asarray(0, np.int64), self._computed(operand))
            case ast.BinOp(left, kind, right) if type(kind) in _OPERATORS:
                sides = self._computed(left), self._computed(right)
                return self._arithmetic(_OPERATORS[type(kind)], *sides)
            case ast.Call(ast.Name("floordiv" | "mod" | "max" | "min" as name), [left, right]):
                return self._function(name, self._computed(left), self._computed(right))
        raise NotImplementedError(f"a dimension with {ast.dump(term)}")

    def _function(self, name: str, left: Operand, right: Operand) -> Operand:
        if name in ("max", "min"):
            return self._arithmetic(name.capitalize(), left, right)
        rest = self._arithmetic("Mod", left, right)  # of the divisor's sign, as in Python
        if name == "mod":
            return rest
        return self._arithmetic("Div", self._arithmetic("Sub", left, rest), right)

    def _arithmetic(self, kind: str, left: Operand, right: Operand) -> Operand:
        if isinstance(left, Constant) and isinstance(right, Constant):
            return np.asarray(_ARITHMETIC[kind](left, right), np.int64)
        return self.node(kind, [left, right], (), np.int64)


_OPERATORS: dict[type, str] = {ast.Add: "Add", ast.Sub: "Sub", ast.Mult: "Mul"}
_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "Add": operator.add,
    "Sub": operator.sub,
    "Mul": operator.mul,
    "Div": operator.floordiv,
    "Mod": operator.mod,
    "Max": max,
    "Min": min,
}
