"""Programs as ONNX models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from l3ac_jax.exports.onnx_graph.conversion import onnx_model
from l3ac_jax.exports.programs import LENGTH, ExportedProgram
from l3ac_jax.model.ops.backend import ONNX, use_lowerings
from l3ac_jax.system.jax_settings import own_settings

__all__ = ["onnx_bytes"]


def onnx_bytes(program: ExportedProgram, properties: Mapping[str, str]) -> bytes:
    """The program with its parameters; `properties` are written into the file."""
    flat, tree = jax.tree_util.tree_flatten_with_path(program.parameters)
    arrays = {
        ".".join(str(getattr(key, "key", key)) for key in path): np.asarray(array)
        for path, array in flat
    }

    def run(arrays: Mapping[str, Any], *inputs: Any) -> list[Any]:
        return program.function(jax.tree.unflatten(tree, arrays.values()), *inputs)

    with own_settings(), use_lowerings(ONNX):
        model = onnx_model(run, program.inputs, program.outputs, arrays, LENGTH, properties)
    return model.SerializeToString()
