"""Model folders: a configuration and the parameters that belong to it.

    FOLDER/config.toml    an ExperimentConfig
    FOLDER/params/        an Orbax checkpoint of the parameter tree
    FOLDER/params.sha256  its files' checksums, as sha256sum writes and checks them

A folder is written completely or not at all, and read on any kind of device.

The folder of a training run holds checkpoints, of which the best one is its model:

    RUN/checkpoints/STEP/params/           as above
    RUN/checkpoints/STEP/run/metadata      JSON, with the ExperimentConfig as "config"
    RUN/checkpoints/STEP/metrics/metrics   JSON, with "rank", highest for the best (not in all)
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import jax
import numpy as np
from pydantic import ValidationError

from l3ac_jax.config import ExperimentConfig, dump_config, load_config
from l3ac_jax.errors import ConfigError, WeightsError
from l3ac_jax.model.params import expected_params, flatten, in_words, mismatches
from l3ac_jax.system.folders import complete_folder
from l3ac_jax.weights.writing import orbax_writes

__all__ = ["MODEL_FILES", "PARAMS_FOLDER", "best_checkpoint", "load_model", "save_model"]

CONFIG_FILE = "config.toml"
PARAMS_FOLDER = "params"
CHECKSUM_FILE = "params.sha256"
CHECKPOINTS_FOLDER = "checkpoints"
RUN_ITEM = "run"
RANK = "rank"
MODEL_FILES = frozenset({CONFIG_FILE, PARAMS_FOLDER, CHECKSUM_FILE})


def save_model(
    folder: str | os.PathLike[str],
    config: ExperimentConfig,
    params: Mapping[str, Any],
    overwrite: bool = False,
) -> None:
    """Write a model folder; with `overwrite`, in place of another model folder.

    Raises WeightsError if the parameters are not those of the configuration's network,
    OutputError if the folder is there already. In both cases nothing is written.
    """
    problems = mismatches(flatten(params), expected_params(config.model))
    if problems:
        raise WeightsError(f"parameters do not fit the configuration:{in_words(problems)}")
    with complete_folder(folder, overwrite, MODEL_FILES) as new:
        (new / CONFIG_FILE).write_text(dump_config(config), encoding="utf-8")
        # NumPy arrays leave no trace of the devices they were on.
        with orbax_writes(Path(folder)):
            _save_arrays(new / PARAMS_FOLDER, jax.tree.map(np.asarray, dict(params)))
        _write_checksums(new)


def load_model(folder: str | os.PathLike[str]) -> tuple[ExperimentConfig, dict[str, Any]]:
    """The configuration and the parameters, as NumPy arrays, of a model folder or a checkpoint.

    Raises ConfigError for the configuration, WeightsError for parameters that are damaged or do
    not belong to it.
    """
    folder = Path(folder)
    checkpoint = (folder / RUN_ITEM).is_dir()
    config = (
        _checkpoint_config(folder) if checkpoint else load_config(folder / CONFIG_FILE, alone=True)
    )
    if (folder / CHECKSUM_FILE).exists():
        _check_files(folder)
    return config, _load_arrays(folder / PARAMS_FOLDER, expected_params(config.model))


def best_checkpoint(run: str | os.PathLike[str]) -> Path | None:
    """The best checkpoint of a training run, the newest one if none was evaluated, or None."""
    # Unfinished ones have longer names.
    folders = [path for path in Path(run, CHECKPOINTS_FOLDER).glob("*") if path.name.isdecimal()]
    return max(folders, key=lambda path: (_rank(path), int(path.name)), default=None)


def _rank(checkpoint: Path) -> float:
    try:
        return float(json.loads((checkpoint / "metrics" / "metrics").read_bytes())[RANK])
    except (OSError, ValueError, KeyError, TypeError):
        return -float("inf")


def _checkpoint_config(checkpoint: Path) -> ExperimentConfig:
    path = checkpoint / RUN_ITEM / "metadata"
    try:
        return ExperimentConfig.model_validate(json.loads(path.read_bytes())["config"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError, ValidationError) as error:
        raise ConfigError(f"{path}: holds no configuration: {_first_line(error)}") from error


def _write_checksums(folder: Path) -> None:
    files = sorted(path for path in (folder / PARAMS_FOLDER).rglob("*") if path.is_file())
    lines = [f"{_sha256(path)}  {path.relative_to(folder).as_posix()}\n" for path in files]
    (folder / CHECKSUM_FILE).write_text("".join(lines), encoding="utf-8")


def _check_files(folder: Path) -> None:
    """Name all damaged files. Orbax would stop at one, and miss changes that still decompress."""
    problems = []
    for line in (folder / CHECKSUM_FILE).read_text(encoding="utf-8", errors="replace").splitlines():
        checksum, _, name = line.partition("  ")
        path = folder / name
        parts = PurePosixPath(name).parts
        if parts[:1] != (PARAMS_FOLDER,) or ".." in parts:  # nothing else is read because of it
            problems.append(f"{name[:100]!r}: is not in {PARAMS_FOLDER}/")
        elif not path.is_file():
            problems.append(f"{name}: missing")
        elif _sha256(path) != checksum:
            problems.append(f"{name}: damaged")
    if problems:
        raise WeightsError(f"{folder}: not as it was saved:{in_words(problems)}")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _save_arrays(path: Path, arrays: Any) -> None:
    import orbax.checkpoint  # takes two seconds, which reading .pt files does without

    with orbax.checkpoint.StandardCheckpointer() as checkpointer:
        checkpointer.save(path.resolve(), arrays)


def _load_arrays(path: Path, expected: Mapping[str, Any]) -> dict[str, Any]:
    import orbax.checkpoint

    # A checkpoint of a run has its metadata one folder higher, which is worth no warning.
    logging.getLogger("absl").setLevel(logging.ERROR)
    if not path.is_dir():
        raise WeightsError(f"{path}: no such folder")
    arrays: dict[str, Any] = {}
    # Each damaged file has its own exception, of Orbax, TensorStore or json.
    try:
        with orbax.checkpoint.StandardCheckpointer() as checkpointer:
            metadata = checkpointer.metadata(path.resolve()).item_metadata
            if metadata is None:
                raise ValueError("what it holds cannot be read")
            description = metadata.tree
            problems = mismatches(flatten(description), expected) + _oversized(description)
            if not problems:
                # NumPy targets: restored without the devices that it was written on.
                targets = jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), description)
                arrays = checkpointer.restore(path.resolve(), targets)
    except Exception as error:
        raise WeightsError(f"{path}: not a complete checkpoint: {_first_line(error)}") from error
    if problems:
        raise WeightsError(f"{path}: does not fit the configuration:{in_words(problems)}")
    return arrays


def _oversized(description: Any) -> list[str]:
    """Arrays in chunks larger than they are: memory for a chunk is taken before it is read."""
    return [
        f"{leaf.name}: in chunks of {tuple(leaf.storage.chunk_shape)}"
        for leaf in jax.tree.leaves(description)
        if leaf.storage is not None
        and leaf.storage.chunk_shape is not None
        and any(
            chunk > max(1, size)
            for chunk, size in zip(leaf.storage.chunk_shape, leaf.shape, strict=True)
        )
    ]


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
