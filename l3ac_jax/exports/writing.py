"""A folder with a codec's programs, and a description of them that other software can read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from safetensors.numpy import save

from l3ac_jax import __version__
from l3ac_jax.codec.l3ac import L3AC
from l3ac_jax.exports.programs import LENGTH, ExportedProgram, clip_programs, step_programs
from l3ac_jax.system.packages import needs_extra

__all__ = ["FILES", "ExportFormat", "check_packages", "codec_facts", "write_programs"]

ExportFormat = Literal["stablehlo", "onnx"]

DESCRIPTION, STATES = "codec.json", "states.safetensors"
NAMES = ("encoder", "decoder", "encoder_step", "decoder_step")
FILES = frozenset({f"{name}.{ending}" for name in NAMES for ending in ("onnx", "stablehlo")}) | {
    DESCRIPTION,
    STATES,
}
"""What may be in such a folder."""


def check_packages(format: ExportFormat) -> None:
    """Raise MissingPackageError for packages that are not installed."""
    if format == "onnx":
        with needs_extra("export", "ONNX"):
            import onnx  # noqa: F401


def write_programs(
    codec: L3AC, folder: Path, format: ExportFormat, block: int, clips: bool = True
) -> Iterator[str]:
    """Write encoder, decoder, the steps of what streams exactly, and what says how to call them.

    `block` is the number of tokens of a step. Without `clips`, steps alone. Yields a line for each
    file. Raises ArgumentError for a network that has no program for any length.
    """
    check_packages(format)
    write = _writer(format, codec)
    steps, reasons = step_programs(codec, block)
    programs = (clip_programs(codec) if clips else []) + steps
    for program in programs:
        path = folder / f"{program.name}.{format}"
        path.write_bytes(write(program))
        yield f"{path.name}: {path.stat().st_size / 1e6:.1f} MB"
    states = {
        f"{program.name}.{name}": array
        for program in steps
        for name, array in program.state.items()
    }
    if states:
        (folder / STATES).write_bytes(save(states))
    described = codec_facts(codec) | {
        "format": format,
        "programs": {program.name: _described(program, format) for program in programs},
    }
    (folder / DESCRIPTION).write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")
    yield from reasons


def codec_facts(codec: L3AC) -> dict[str, Any]:
    """What is to be known of the codec, for JSON; rates in Hz and bit/s."""
    tokens = codec.token_format
    return {
        "model": codec.name,
        "written_by": f"l3ac-jax {__version__}",
        "fingerprints": {"config": tokens.config, "weights": tokens.weights},
        "sample_rate": codec.sample_rate,
        "hop_length": codec.hop_length,
        "frame_rate": codec.frame_rate,
        "levels": list(tokens.levels),
        "codebook_size": codec.codebook_size,
        "bitrate": codec.bitrate,
    }


def _writer(format: ExportFormat, codec: L3AC) -> Callable[[ExportedProgram], bytes]:
    if format == "stablehlo":
        from l3ac_jax.exports.stablehlo import serialized

        return serialized
    from l3ac_jax.exports.onnx_models import onnx_bytes

    facts = {key: json.dumps(value) for key, value in codec_facts(codec).items()}
    return lambda program: onnx_bytes(program, facts)


def _described(program: ExportedProgram, format: ExportFormat) -> dict[str, Any]:
    """Names, types and shapes, in the order in which StableHLO takes and gives them.

    Of outputs, which are as long as inputs say, the names alone.
    """
    described: dict[str, Any] = {
        "file": f"{program.name}.{format}",
        "inputs": [
            {"name": name, **_form(spec)}
            for name, spec in program.inputs.items()
            if name not in program.state
        ],
        "outputs": [name for name in program.outputs if not name.startswith("next_")],
    }
    if program.block is None:
        return described | {"length": f"{LENGTH}: tokens, 1 or more"}
    state = [
        {"name": name, "next": f"next_{name}", **_form(array)}
        for name, array in program.state.items()
    ]
    unit = "tokens" if program.name.startswith("encoder") else "samples"
    return described | {
        "block": program.block,
        f"lag_{unit}": program.lag,
        "state": state,
        "initial_state": STATES,
    }


def _form(array: Any) -> Mapping[str, Any]:
    shape = [size if isinstance(size, int) else str(size) for size in array.shape]
    return {"dtype": str(array.dtype), "shape": shape}
