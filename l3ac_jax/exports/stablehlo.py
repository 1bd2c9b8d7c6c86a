"""Programs as StableHLO: what `jax.export.deserialize` reads, without this package."""

from __future__ import annotations

from typing import Any

import jax
from jax import export

from l3ac_jax.exports.programs import ExportedProgram
from l3ac_jax.model.ops.backend import ACCELERATOR, use_lowerings
from l3ac_jax.system.jax_settings import own_settings

__all__ = ["PLATFORMS", "serialized"]

PLATFORMS = ("cpu", "cuda", "tpu")


def serialized(program: ExportedProgram) -> bytes:
    """The program with its parameters, for any of the platforms; outputs are a tuple."""

    def run(*inputs: Any) -> tuple[Any, ...]:
        return tuple(program.function(program.parameters, *inputs))

    # Without blocks, whose number would depend on the length.
    with own_settings(), use_lowerings(ACCELERATOR):
        exported = export.export(jax.jit(run), platforms=PLATFORMS)(*program.inputs.values())
    return bytes(exported.serialize())
