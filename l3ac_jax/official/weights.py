"""The official package's weights <-> the parameter tree, every value bit for bit.

The official weights are five files with the state dicts of encoder, quantizer, decoder and the two
transformers. Reading needs no torch and executes nothing in the files; writing needs the extra
`torch`.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from numpy.typing import NDArray

from l3ac_jax.config import CodecConfig
from l3ac_jax.errors import WeightsError
from l3ac_jax.model.params import expected_params, flatten, in_words, mismatches, unflatten
from l3ac_jax.official.config import from_official_config, to_official_config
from l3ac_jax.official.names import FILES, official_places, official_shapes, rotary_buffers
from l3ac_jax.official.torch_files import read_state_dict
from l3ac_jax.system.folders import complete_folder
from l3ac_jax.system.packages import needs_extra

__all__ = [
    "OFFICIAL_CONFIG_FILE",
    "from_official_config",
    "from_torch",
    "to_official_config",
    "to_torch",
]

OFFICIAL_CONFIG_FILE = "config.toml"


def from_torch(folder: str | os.PathLike[str], config: CodecConfig) -> dict[str, Any]:
    """The parameters (NumPy, float32) in the five official files of a folder.

    Raises WeightsError that lists everything that is wrong in all of the files: missing or damaged
    files; missing, unexpected, wrongly shaped or typed tensors.
    """
    folder = Path(folder)
    problems: list[str] = []
    tensors: dict[str, dict[str, NDArray]] = {}
    for file, expected in official_shapes(config).items():
        try:
            tensors[file] = read_state_dict(folder / file)
        except WeightsError as error:
            problems.append(str(error).removeprefix(f"{folder}{os.sep}"))
            continue
        problems += [f"{file}: {line}" for line in mismatches(tensors[file], expected)]
    if not problems:
        problems = _unlike_rotary(tensors, config)
    if problems:
        raise WeightsError(f"{folder}: not the weights of this configuration:{in_words(problems)}")
    return unflatten(
        {
            path: place.to_ours(tensors[place.file][place.name]).copy(order="C")
            for path, place in official_places(config).items()
        }
    )


def to_torch(
    params: Mapping[str, Any],
    config: CodecConfig,
    folder: str | os.PathLike[str],
    overwrite: bool = False,
) -> None:
    """Write parameters as the five official files, with the official config.toml beside them.

    Raises WeightsError if the parameters are not those of the configuration's network, ConfigError
    if the official package has no such network, OutputError if the folder is there already
    (with `overwrite`: if it holds other files), MissingPackageError without torch. Nothing is
    written then.
    """
    folder = Path(folder)
    leaves = flatten(params)
    problems = mismatches(leaves, expected_params(config))
    if problems:
        raise WeightsError(f"parameters do not fit the configuration:{in_words(problems)}")
    official_config = tomli_w.dumps(to_official_config(config, *_name_and_version(folder)))
    torch = _import_torch()
    state_dicts: dict[str, OrderedDict[str, Any]] = {file: OrderedDict() for file in FILES.values()}
    for path, place in official_places(config).items():
        array = place.to_official(np.asarray(leaves[path])).copy(order="C")
        state_dicts[place.file][place.name] = torch.from_numpy(array)
    for file, name in rotary_buffers(config):
        state_dicts[file][name] = _rotary_frequencies(config)
    with complete_folder(folder, overwrite, {*FILES.values(), OFFICIAL_CONFIG_FILE}) as new:
        for file, state_dict in state_dicts.items():
            torch.save(state_dict, new / file)
        (new / OFFICIAL_CONFIG_FILE).write_text(official_config, encoding="utf-8")


def _unlike_rotary(tensors: dict[str, dict[str, NDArray]], config: CodecConfig) -> list[str]:
    """Frequencies other than those that the network computes for itself."""
    width = config.head_dim
    expected = 10000.0 ** -(np.arange(0, width, 2) / width)
    return [
        f"{file}: {name}: not the frequencies of rotary positions"
        for file, name in rotary_buffers(config)
        if not np.allclose(tensors[file][name], expected, rtol=1e-6, atol=0)
    ]


def _rotary_frequencies(config: CodecConfig) -> Any:
    """In torch and in the official order of operations, so that the last bit is the same."""
    torch = _import_torch()
    width = config.head_dim
    return 1.0 / (10000 ** (torch.arange(0, width, 2).float() / width))


def _name_and_version(folder: Path) -> tuple[str, str]:
    """The official package looks for the files in a folder called model_name.model_version."""
    name, dot, version = folder.resolve().name.rpartition(".")
    return (name, version) if name and dot and version else (version, "v0.0")


def _import_torch() -> Any:
    with needs_extra("torch", "writing .pt files"):
        import torch
    return torch
