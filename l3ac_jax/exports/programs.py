"""What of a codec is exported: functions of named arrays, and what their shapes are.

One clip at a time. The encoder and the decoder take a clip of any length, so many whole hops as `n`
says; their steps take a block of a fixed number of tokens, and have the state of the stream as
inputs and outputs, packed into a few arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import export

from l3ac_jax.codec.l3ac import L3AC
from l3ac_jax.codec.streaming.packing import Packed, pack, packed_step
from l3ac_jax.errors import ArgumentError, StreamingError
from l3ac_jax.model.network import Network
from l3ac_jax.model.precision import PRODUCTS, stated_products
from l3ac_jax.model.streams import State

__all__ = ["LENGTH", "ExportedProgram", "clip_programs", "step_programs"]

LENGTH = "n"
"""The symbol of a clip's length, in tokens."""

Spec = jax.ShapeDtypeStruct
Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class ExportedProgram:
    """A pure function of parameters and arrays, with names for all of them."""

    name: str
    function: Callable[..., list[Any]]
    """(parameters, *inputs) to the outputs, in their order"""
    parameters: Mapping[str, Any]
    inputs: Mapping[str, Spec]
    outputs: tuple[str, ...]
    state: Arrays = field(default_factory=dict)
    """of a step: its last inputs at the start of a stream; its last outputs are the next ones"""
    lag: int = 0
    """of a step: by how many tokens, or samples, its output is late"""
    block: int | None = None
    """of a step: tokens that it takes further"""


def clip_programs(codec: L3AC) -> list[ExportedProgram]:
    """The encoder and the decoder, of clips of any length.

    Raises ArgumentError for a network that attends to all that came before.
    """
    config = codec.config
    if config.transformer.attention == "full":
        raise ArgumentError(
            "attention to everything before (transformer.attention = 'full') needs one program for "
            "each length, so that it cannot be exported"
        )
    network = Network(config, folded=True)
    (length,) = export.symbolic_shape(LENGTH, constraints=[f"{LENGTH} >= 1"])

    def apply(method: str, take: Callable[[Any], Any], params: Any, *inputs: Any) -> list[Any]:
        with stated_products(PRODUCTS[codec.precision]):
            return [take(network.apply({"params": params}, *inputs, method=method))]

    audio = Spec((1, length * config.hop_length), np.float32)
    return [
        ExportedProgram(
            "encoder",
            partial(apply, "encode", lambda encoded: encoded[1]),
            _of(codec, "encoder"),
            {"audio": audio},
            ("tokens",),
        ),
        ExportedProgram(
            "decoder",
            partial(apply, "decode_tokens", lambda decoded: decoded),
            _of(codec, "decoder"),
            {"tokens": Spec((1, length), np.int32)},
            ("audio",),
        ),
    ]


def step_programs(codec: L3AC, block: int) -> tuple[list[ExportedProgram], list[str]]:
    """The steps of `block` tokens of what streams exactly, and the reasons of what does not."""
    if block < 1:
        raise ArgumentError(f"a step takes 1 token or more: got {block}")
    samples = Spec((1, block * codec.hop_length), np.float32)
    tokens = Spec((1, block), np.int32)
    found: list[ExportedProgram] = []
    reasons: list[str] = []
    for part, start, step, given, output in (
        ("encoder", codec.encoder_state, codec.encoder_step, {"audio": samples}, "tokens"),
        ("decoder", codec.decoder_state, codec.decoder_step, {"tokens": tokens}, "audio"),
    ):
        try:
            state = start(1)
        except StreamingError as error:
            reasons.append(f"no step of the {part}: {error}")
            continue
        lag = codec.encoder_lag if part == "encoder" else codec.decoder_lag
        found.append(_step(codec, part, step, state, given, output, lag, block))
    return found, reasons


def _step(
    codec: L3AC,
    part: str,
    step: Callable[..., Any],
    start: State,
    given: Mapping[str, Spec],
    output: str,
    lag: int,
    block: int,
) -> ExportedProgram:
    packed = pack(start)
    state = _named(packed)
    _, tree = jax.tree.flatten(packed)

    def run(params: Any, values: Any, real: Any, *kept: Any) -> list[Any]:
        after, result = packed_step(step)(params, jax.tree.unflatten(tree, kept), values, real)
        return [result, *jax.tree.leaves(after)]

    (spec,) = given.values()
    inputs = dict(given) | {"real": Spec(spec.shape, np.bool_)}
    inputs |= {name: Spec(array.shape, array.dtype) for name, array in state.items()}
    outputs = (output, *(f"next_{name}" for name in state))
    name = f"{part}_step"
    return ExportedProgram(name, run, _of(codec, part), inputs, outputs, state, lag, block)


def _named(packed: Packed) -> dict[str, np.ndarray]:
    """The state's arrays in the order of its leaves: that of types by name, then the large ones."""
    arrays = {f"state_{dtype}": packed.vectors[dtype] for dtype in sorted(packed.vectors)}
    arrays |= {f"state_large_{place}": array for place, array in enumerate(packed.large)}
    return {name: np.asarray(array) for name, array in arrays.items()}


def _of(codec: L3AC, part: str) -> dict[str, Any]:
    """The folded parameters that a part of the network takes."""
    names = (part, f"{part}_transformer", "quantizer")
    return {name: codec.folded_params[name] for name in names if name in codec.folded_params}
