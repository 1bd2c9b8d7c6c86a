"""Typed configuration: what a codec is made of, read from TOML files.

A file is one experiment. It may name a `base` file whose tables it changes, and any field can be
overridden on the command line. Whatever is wrong is a `ConfigError` that names file and key.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import tomli_w
from pydantic import BaseModel, ValidationError, model_validator

from l3ac_jax.config.data import DataConfig
from l3ac_jax.config.layers import COMMAND_LINE, Origins, read_layers
from l3ac_jax.config.model import (
    CodecConfig,
    DecoderConfig,
    EncoderConfig,
    QuantizerConfig,
    TPoolingConfig,
    TransformerConfig,
)
from l3ac_jax.config.stages import Stage, run_stages, write_out_stages
from l3ac_jax.config.tables import Table
from l3ac_jax.config.training import TrainingConfig
from l3ac_jax.errors import ConfigError

__all__ = [
    "BUNDLED",
    "DEFAULT_MODEL",
    "DEFAULT_STREAMING_MODEL",
    "NAMED",
    "PUBLISHED",
    "CodecConfig",
    "DecoderConfig",
    "EncoderConfig",
    "ExperimentConfig",
    "QuantizerConfig",
    "TPoolingConfig",
    "TransformerConfig",
    "dump_config",
    "load_config",
    "named_config",
    "published_config",
    "validated",
    "without_places",
]

Configuration = TypeVar("Configuration", bound=BaseModel)

PUBLISHED = ("0k75bps", "1kbps", "1k5bps", "3kbps")
BUNDLED = ("base", "small", "stream", "music")  # with their weights in this package
NAMED = (*BUNDLED, *PUBLISHED)
DEFAULT_MODEL = "base"
DEFAULT_STREAMING_MODEL = "stream"  # which decodes while it comes, as it is


class ExperimentConfig(Table, frozen=True):
    """A whole configuration file. [data] and [training] are only needed for training."""

    model: CodecConfig
    data: DataConfig | None = None
    training: TrainingConfig | None = None

    @model_validator(mode="before")
    @classmethod
    def _write_out(cls, tables: Any) -> Any:
        return write_out_stages(tables)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages of its training run. Raises ConfigError without [data] or [training]."""
        if self.data is None or self.training is None:
            missing = "data" if self.data is None else "training"
            raise ConfigError(f"for training, the configuration needs the table [{missing}]")
        return run_stages(self.training, self.data)


def load_config(
    path: str | os.PathLike[str],
    overrides: Sequence[str] = (),
    base: str | os.PathLike[str] | None = None,
    alone: bool = False,
) -> ExperimentConfig:
    """Read a TOML file, the files it is based on, and `--dotted.key value` overrides.

    With `base`, the file's changes are laid over that file instead of the base that it names. With
    `alone`, it may name none: what comes with a model of other people opens no other file.

    `overrides` are command line words: ["--model.transformer.window-size", "50"] or
    ["--model.transformer.window-size=50"]; dashes in a key mean underscores, and a value is read as
    TOML where it is that, else as a string. Raises ConfigError.
    """
    merged, origins = read_layers(
        Path(path), overrides, None if base is None else Path(base), alone
    )
    _anchor_paths(merged, origins)
    return validated(ExperimentConfig, merged, origins, str(path))


def validated(
    kind: type[Configuration], tables: dict[str, Any], origins: Origins, path: str
) -> Configuration:
    """The tables of a file and its layers as a configuration. Raises ConfigError, with places."""
    try:
        return kind.model_validate(tables)
    except ValidationError as error:
        problems = _not_inherited(_innermost(error.errors()))
        lines = [_explain(problem, kind, origins, path) for problem in problems]
        raise ConfigError("\n".join(lines)) from None


def dump_config(config: ExperimentConfig) -> str:
    """TOML text with every field written out; `load_config` gives back an equal configuration."""
    return tomli_w.dumps(config.model_dump(mode="json", exclude_none=True))


def without_places(config: ExperimentConfig) -> ExperimentConfig:
    """For other people: of each path to a folder or file on this machine, the name alone."""

    def named(value: Any, key: str = "") -> Any:
        if isinstance(value, Mapping):
            return {name: named(part, name) for name, part in value.items()}
        if isinstance(value, list):
            return [named(part) for part in value]
        if key in ("path", "whisper") and isinstance(value, str):
            return Path(value).name
        if key == "teacher" and isinstance(value, str) and not _is_model_name(value):
            return Path(value).name
        return value

    return ExperimentConfig.model_validate(named(config.model_dump(mode="json")))


def differences(before: BaseModel, after: BaseModel) -> list[str]:
    """Each key that has another value, in words: "model.feature_dim was 128, is 64"."""
    old, new = (dict(_leaves(config.model_dump(mode="json"))) for config in (before, after))
    return [
        f"{key} was {old.get(key)}, is {new.get(key)}"
        for key in {**old, **new}
        if old.get(key) != new.get(key)
    ]


def _leaves(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Values by dotted key."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def published_config(name: str) -> ExperimentConfig:
    """The configuration of one of the four published models. Raises ConfigError for other names."""
    if name not in PUBLISHED:
        raise ConfigError(f"{name!r} is not a published model: there are {', '.join(PUBLISHED)}")
    return load_config(_configs_folder() / f"{name}.toml")


def named_config(name: str) -> ExperimentConfig:
    """The configuration of a bundled or published model. Raises ConfigError for other names."""
    if name in BUNDLED:
        return load_config(_configs_folder() / f"{name}.toml")
    return published_config(name)


def _configs_folder() -> Path:
    """configs/ is copied into the built package, and beside it in a source checkout."""
    package = Path(__file__).parents[1]
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def _anchor_paths(tables: dict[str, Any], origins: Origins) -> None:
    """Make paths absolute: relative ones are seen from the file that names them.

    What begins with $NAME or ~ stays as it is, to be looked up on the machine that reads the data.
    """
    lists = [
        (_inside(tables, (*keys, "corpora"), list), (*keys, "corpora"))
        for keys in (("data",), ("data", "evaluation"))
    ]
    stages = ("training", "stages")
    lists += [
        (_inside(stage, ("data", "corpora"), list), stages)
        for stage in _inside(tables, stages, list)
    ]
    places = [
        (corpus, "path", keys)
        for corpora, keys in lists
        for corpus in corpora
        if isinstance(corpus, dict)
    ]
    training = _inside(tables, ("training",), dict)
    places.append((training, "whisper", ("training", "whisper")))
    if not _is_model_name(training.get("teacher")):
        places.append((training, "teacher", ("training", "teacher")))
    for table, key, origin_key in places:
        origin = origins.get(origin_key)
        folder = Path() if origin in (None, COMMAND_LINE) else Path(origin).parent
        path = table.get(key)
        if isinstance(path, str) and path and path[0] not in "$~":
            table[key] = os.path.normpath(folder.absolute() / path)


def _is_model_name(model: Any) -> bool:
    """Whether a model is named by its name or by its address, and not by its place here."""
    return isinstance(model, str) and (model in NAMED or "://" in model)


def _inside(tables: Any, keys: tuple[str, ...], kind: type) -> Any:
    """What a dotted key leads to, if it is of a kind, else an empty one: errors come later."""
    for key in keys:
        tables = tables.get(key) if isinstance(tables, dict) else None
    return tables if isinstance(tables, kind) else kind()


def _innermost(problems: Sequence[Any]) -> list[Any]:
    """Without the problems of a sequence that only follow from those of its elements."""
    inside = {
        problem["loc"][:depth] for problem in problems for depth in range(len(problem["loc"]))
    }
    return [
        problem
        for problem in problems
        if problem["type"] != "too_short" or problem["loc"] not in inside
    ]


def _not_inherited(problems: Sequence[Any]) -> Iterator[Any]:
    """Without those that a stage only has from the stage before it."""
    seen = set()
    for problem in problems:
        keys = problem["loc"]
        stage = keys[:2] == ("training", "stages") and len(keys) > 3
        place = keys[3:] if stage else keys
        found = (place[1:] if place[0] == "training" else place, problem["msg"])
        if not (stage and found in seen):
            yield problem
        seen.add(found)


def _explain(problem: Any, kind: type[BaseModel], origins: Origins, path: str) -> str:
    """One line for one pydantic error: the file, the dotted key, and what would be right."""
    keys = tuple(part for part in problem["loc"] if isinstance(part, str))
    dotted = ".".join(str(part) for part in problem["loc"])
    origin = _origin(keys, origins, path)
    match problem["type"]:
        case "extra_forbidden":
            known = _known_keys(kind, keys[:-1])
            close = difflib.get_close_matches(keys[-1], known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"
            return f"{origin}: {dotted}: unknown key; {hint}"
        case "missing":
            return f"{_origin(keys[:-1], origins, path)}: {dotted}: missing"
        case "model_type":
            return f"{origin}: {dotted}: should be a table, got {problem['input']!r}"
        case "value_error":
            # The checks of this module begin their message with the key, seen from their table.
            # They compare keys, so the last file that changed the table is the one to look at.
            key, _, message = str(problem["ctx"]["error"]).partition(" ")
            return f"{origin}: {dotted}.{key}: {message}"
        case _:
            message = problem["msg"][0].lower() + problem["msg"][1:]
            return f"{origin}: {dotted}: {message}, got {problem['input']!r}"


def _origin(keys: tuple[str, ...], origins: Origins, path: str) -> str:
    """Where a key was set, or the list or table around it."""
    while keys and keys not in origins:
        keys = keys[:-1]
    return origins.get(keys, path)


def _known_keys(table: type[BaseModel], keys: Sequence[str]) -> list[str]:
    """The fields of the table inside of `table` that a dotted key leads to."""
    for key in keys:
        table = _table_in(table.model_fields[key].annotation)
    return list(table.model_fields)


def _table_in(annotation: Any) -> type[BaseModel]:
    """The table in `Table`, `Table | None` or `tuple[Table, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(_table_in(inner) for inner in get_args(annotation) if inner not in (None, ...))
