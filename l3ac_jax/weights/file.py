"""Models in one file, to ship and to share: safetensors, parameters in half precision.

The file's arrays are the parameters by path ("encoder/front/merge/kernel"); its metadata has the
network's configuration as JSON under "l3ac_jax", and under "l3ac_jax_sha256" what all of that
hashes to: the format itself has no check sums. Reading one executes nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
from pydantic import ValidationError

from l3ac_jax.config import CodecConfig
from l3ac_jax.errors import ConfigError, OutputError, WeightsError
from l3ac_jax.model.params import expected_params, flatten, in_words, mismatches, unflatten
from l3ac_jax.system.files import check_output, complete_file

__all__ = ["ENDING", "Precision", "check_model_file", "load_model_file", "save_model_file"]

ENDING = ".safetensors"
METADATA_KEY = "l3ac_jax"
CHECKSUM_KEY = "l3ac_jax_sha256"  # earlier files have none

# What safetensors calls the types that become float32 here.
FLOATS = {"F16", "F32", "F64"}

Precision = Literal["float16", "float32"]


def save_model_file(
    path: str | os.PathLike[str],
    config: CodecConfig,
    params: Mapping[str, Any],
    precision: Precision = "float16",
    overwrite: bool = False,
) -> None:
    """Write a network and its parameters, complete or not at all.

    The name ends with .safetensors. Raises WeightsError if the parameters are not those of the
    configuration's network, or too large for the precision, OutputError if the file cannot be
    written.
    """
    from safetensors.numpy import save

    check_model_file(path, overwrite)
    arrays = {name: np.asarray(leaf) for name, leaf in flatten(params).items()}
    problems = mismatches(arrays, expected_params(config))
    if problems:
        raise WeightsError(f"parameters do not fit the configuration:{in_words(problems)}")
    greatest = float(np.max([np.abs(array).max(initial=0) for array in arrays.values()]))
    if not greatest <= float(np.finfo(precision).max):  # nor NaN
        raise WeightsError(f"a parameter of {greatest:g} cannot be written as {precision}")
    rounded = {name: np.ascontiguousarray(array, precision) for name, array in arrays.items()}
    text = json.dumps(config.model_dump(mode="json"))
    data = save(rounded, {METADATA_KEY: text, CHECKSUM_KEY: _checksum(text, rounded)})
    with complete_file(path, overwrite) as part:
        part.write_bytes(data)


def check_model_file(path: str | os.PathLike[str], overwrite: bool) -> None:
    """Find out before the work whether a model can be written there. Raises OutputError."""
    if Path(path).suffix != ENDING:
        raise OutputError(f"{path}: the name of a model file ends with {ENDING}")
    check_output(path, overwrite)


def load_model_file(
    path: str | os.PathLike[str], trusted: bool = False
) -> tuple[CodecConfig, dict[str, Any]]:
    """The network, and its parameters as float32 NumPy arrays.

    A `trusted` file is not compared with its network: tracing that takes most of the time to load.

    Raises ConfigError for the configuration, WeightsError for a file that is missing, damaged, or
    has other parameters.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{path}: no such file")
    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
            config = _config(path, metadata)
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            # Before any array is read: what a stranger's file holds may be as large as the file.
            _check_arrays(path, config, slices, trusted)
            stored = {name: file.get_tensor(name) for name in slices}
    except (SafetensorError, OSError, TypeError) as error:
        raise WeightsError(f"{path}: not a complete safetensors file: {error}") from error
    if (
        metadata.get(CHECKSUM_KEY, expected := _checksum(metadata[METADATA_KEY], stored))
        != expected
    ):
        raise WeightsError(f"{path}: not as it was saved: its check sum is another one")
    return config, unflatten({name: array.astype(np.float32) for name, array in stored.items()})


def _check_arrays(
    path: Path, config: CodecConfig, slices: Mapping[str, Any], trusted: bool
) -> None:
    if (layers := config.layer_count) > len(slices):  # before any is traced
        raise WeightsError(f"{path}: has {len(slices)} arrays for a network of {layers} layers")
    types = {name: part.get_dtype() for name, part in slices.items()}
    problems = [
        f"{name}: {kind}, not a floating-point type of NumPy"
        for name, kind in types.items()
        if kind not in FLOATS
    ]
    if not trusted:
        shapes = {
            name: jax.ShapeDtypeStruct(part.get_shape(), np.float32)
            for name, part in slices.items()
        }
        problems += mismatches(shapes, expected_params(config))
    if problems:
        raise WeightsError(f"{path}: does not fit its configuration:{in_words(problems)}")


def _checksum(config: str, arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256(config.encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"\n{name} {array.dtype.name} {array.shape}\n".encode())
        digest.update(array.data)
    return digest.hexdigest()


def _config(path: Path, metadata: Mapping[str, str]) -> CodecConfig:
    # A check sum whose name is damaged would count as none.
    if unknown := metadata.keys() - {METADATA_KEY, CHECKSUM_KEY, "format"}:
        raise WeightsError(f"{path}: its metadata has {min(unknown)!r}, which no model file has")
    if METADATA_KEY not in metadata:
        raise ConfigError(
            f"{path}: is no model file of l3ac-jax: its metadata has no {METADATA_KEY!r}"
        )
    try:
        return CodecConfig.model_validate_json(metadata[METADATA_KEY])
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{path}: its configuration: {place}: {first['msg']}") from error
