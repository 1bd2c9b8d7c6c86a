"""From a function and the shapes that it takes to an ONNX model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import onnx
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal
from onnx import helper, numpy_helper

from l3ac_jax.exports.onnx_graph.elementwise import ELEMENTWISE, ROWS
from l3ac_jax.exports.onnx_graph.graph import Constant, Graph, Operand, Value, onnx_type
from l3ac_jax.exports.onnx_graph.layout import CUTS, LAYOUT, split
from l3ac_jax.exports.onnx_graph.products import INDEXED, PRODUCTS
from l3ac_jax.exports.onnx_graph.values import whole

__all__ = ["OPSET", "onnx_model"]

OPSET = 18
IR_VERSION = 9  # what onnxruntime reads since 1.15
INNER = ("call_jaxpr", "jaxpr", "fun_jaxpr")
# Constants that are computed beforehand; a larger one would make the file larger than what it is
# computed from.
LARGEST = 2**16

Spec = jax.ShapeDtypeStruct
Names = Sequence[str]


def onnx_model(
    function: Callable[..., Any],
    inputs: Mapping[str, Spec],
    outputs: Names,
    constants: Mapping[str, np.ndarray],
    symbol: str,
    properties: Mapping[str, str],
) -> onnx.ModelProto:
    """The model of `function(constants, *inputs)`, which gives as many arrays as `outputs` names.

    `symbol` is the only symbolic dimension that shapes of inputs may have, alone or times a number.
    Raises NotImplementedError for operations that no network of this package has.
    """
    names, arrays = list(constants), list(constants.values())
    closed = jax.make_jaxpr(
        lambda arrays, *given: function(dict(zip(names, arrays, strict=True)), *given)
    )(arrays, *inputs.values())
    graph = Graph()
    for name, array in constants.items():
        graph.add_constant(name, array)
    given = [Value(name, spec.shape, np.dtype(spec.dtype)) for name, spec in inputs.items()]
    for value in given:
        for axis, size in enumerate(value.shape):
            if not isinstance(size, int) and symbol not in graph.lengths:
                graph.measure(value, axis, symbol)
    results = converted(graph, closed, [*map(np.asarray, arrays), *given])
    wanted = zip(outputs, results, closed.jaxpr.outvars, strict=True)
    ends = [
        _called(graph, name, whole(graph, result, var.aval.shape)) for name, result, var in wanted
    ]
    return _model(graph, given, ends, properties)


def converted(graph: Graph, closed: ClosedJaxpr, arguments: Sequence[Operand]) -> list[Operand]:
    """What a traced program gives of these arguments, as nodes of the graph."""
    known: dict[Any, Operand] = {}
    known.update(zip(closed.jaxpr.constvars, map(np.asarray, closed.consts), strict=True))
    known.update(zip(closed.jaxpr.invars, arguments, strict=True))

    def read(atom: Any) -> Operand:
        if not isinstance(atom, Literal):
            return known[atom]
        aval: Any = atom.aval
        return np.asarray(atom.val, aval.dtype)

    for equation in closed.jaxpr.eqns:
        results = _lowered(graph, equation, [read(atom) for atom in equation.invars])
        known.update(zip(equation.outvars, results, strict=True))
    return [read(atom) for atom in closed.jaxpr.outvars]


def _lowered(graph: Graph, equation: Any, operands: list[Operand]) -> list[Operand]:
    name, params = equation.primitive.name, equation.params
    outs = [var.aval for var in equation.outvars]
    if all(any(isinstance(size, int) and size == 0 for size in out.shape) for out in outs):
        return [np.zeros(out.shape, out.dtype) for out in outs]
    if name in ("stop_gradient", "copy"):
        return operands
    if name == "scan":
        return _scan(graph, equation, operands)
    if inner := next((params[key] for key in INNER if key in params), None):
        closed = ClosedJaxpr(inner, ()) if isinstance(inner, Jaxpr) else inner
        return converted(graph, closed, operands)
    if name in CUTS and not (name != "broadcast_in_dim" and _all_constant(operands)):
        return [CUTS[name](graph, operands, params, outs[0])]
    if name in ELEMENTWISE:
        if _all_constant(operands):
            alike: list[Any] = list(operands)
            if len(alike) > 1:
                alike = list(np.broadcast_arrays(*alike))
            if (folded := _beforehand(equation, alike)) is not None:
                return folded
        return [ELEMENTWISE[name](graph, operands, params, outs[0])]
    shapes = [atom.aval.shape for atom in equation.invars]
    operands = [whole(graph, *known) for known in zip(operands, shapes, strict=True)]
    folded = _beforehand(equation, operands) if operands and _all_constant(operands) else None
    if folded is not None:
        return folded
    if name == "split":
        return split(graph, operands[0], params, outs)
    for table in (ROWS, LAYOUT, PRODUCTS, INDEXED):
        if name in table:
            return [table[name](graph, operands, params, outs[0])]
    raise NotImplementedError(f"ONNX for {name}")


def _all_constant(operands: Sequence[Operand]) -> bool:
    return all(isinstance(operand, Constant) for operand in operands)


def _beforehand(equation: Any, operands: Sequence[Any]) -> list[Operand] | None:
    """What an equation of constants gives, where that is not large."""
    most = max(LARGEST, *(np.size(operand) for operand in operands))
    outs = [var.aval for var in equation.outvars]
    if not all(isinstance(size, int) for out in outs for size in out.shape):
        return None
    if (
        sum(int(np.prod(out.shape)) for out in outs) > most
        and equation.primitive.name not in ELEMENTWISE
    ):
        return None
    found = equation.primitive.bind(*map(jax.numpy.asarray, operands), **equation.params)
    return [
        np.asarray(array) for array in (found if equation.primitive.multiple_results else [found])
    ]


def _scan(graph: Graph, equation: Any, operands: list[Operand]) -> list[Operand]:
    """A loop over the first axis: ONNX's Scan, whose body sees the constants around it."""
    closed = equation.params["jaxpr"]
    constant, carried = _constant_and_carried(equation, closed.jaxpr)
    if equation.params["reverse"]:
        raise NotImplementedError("a loop from the end")
    shapes = [atom.aval.shape for atom in equation.invars]
    operands = [whole(graph, *known) for known in zip(operands, shapes, strict=True)]
    body = graph.inside()
    turns = [
        Value(f"{operand_name}", tuple(var.aval.shape), np.dtype(var.aval.dtype))
        for operand_name, var in zip(
            _fresh(graph, len(closed.jaxpr.invars) - constant),
            closed.jaxpr.invars[constant:],
            strict=True,
        )
    ]
    results = converted(body, closed, [*operands[:constant], *turns])
    ends = [
        _called(body, name, whole(body, result, var.aval.shape))
        for name, result, var in zip(
            _fresh(graph, len(results)), results, closed.jaxpr.outvars, strict=True
        )
    ]
    inner = helper.make_graph(body.nodes, "turn", [*map(_info, turns)], [*map(_info, ends)])
    return [
        *graph.node_of_many(
            "Scan",
            operands[constant:],
            [(var.aval.shape, var.aval.dtype) for var in equation.outvars],
            body=inner,
            num_scan_inputs=len(operands) - constant - carried,
        )
    ]


def _constant_and_carried(equation: Any, body: Any) -> tuple[int, int]:
    """How many operands of a loop stay as they are, and how many go from turn to turn.

    Seen from the shapes, as the parameters that say it differ between versions of JAX: what is
    scanned, and what is stacked, has an axis more outside than inside of the body.
    """

    def the_same(outside: Any, inside: Any) -> int:
        return sum(a.aval.ndim == b.aval.ndim for a, b in zip(outside, inside, strict=True))

    carried = the_same(equation.outvars, body.outvars)
    return the_same(equation.invars, body.invars) - carried, carried


def _fresh(graph: Graph, count: int) -> list[str]:
    graph.counts["turn"] = start = graph.counts.get("turn", 0) + count
    return [f"turn.{start - place}" for place in range(count)]


def _called(graph: Graph, name: str, operand: Operand) -> Value:
    """The operand by a name that others know."""
    result = Value(name, tuple(operand.shape), np.dtype(operand.dtype))
    graph.nodes.append(
        helper.make_node("Identity", [graph.name_of(operand)], [name], f"{name}.end")
    )
    return result


def _info(value: Value) -> onnx.ValueInfoProto:
    sizes = [size if isinstance(size, int) else str(size) for size in value.shape]
    return helper.make_tensor_value_info(value.name, onnx_type(value.dtype), sizes)


def _model(
    graph: Graph, given: list[Value], ends: list[Value], properties: Mapping[str, str]
) -> onnx.ModelProto:
    nodes = _needed(graph.nodes, {value.name for value in ends})
    used = {name for node in _all_nodes(nodes) for name in node.input}
    arrays = [
        numpy_helper.from_array(array, name)
        for name, array in graph.constants.items()
        if name in used
    ]
    made = helper.make_graph(nodes, "main", [*map(_info, given)], [*map(_info, ends)], arrays)
    model = helper.make_model(
        made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )
    helper.set_model_props(model, dict(properties))
    onnx.checker.check_model(model)
    return model


def _needed(nodes: Sequence[onnx.NodeProto], wanted: set[str]) -> list[onnx.NodeProto]:
    """The nodes on which these values depend."""
    kept = []
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            kept.append(node)
            wanted.update(name for inner in _all_nodes([node]) for name in inner.input)
    return kept[::-1]


def _all_nodes(nodes: Sequence[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """With those inside of loops."""
    found = list(nodes)
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                found += _all_nodes(attribute.g.node)
    return found
