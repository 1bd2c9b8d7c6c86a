"""TOML files laid over each other: a file, the files it is based on, and command line overrides.

tyro could fill the configuration's pydantic models itself, with a file for the defaults. But it
takes tables that may be missing ([data], [training]) for subcommands, reads neither TOML's lists
and switches ([9, 9, 7], false) nor tables in lists (data.corpora), cannot complete a file that
lacks a key, and its errors name neither the key nor a similar one.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from l3ac_jax.errors import ConfigError

# Where the value of a dotted key was set: the name of a file, or COMMAND_LINE.
Origins = dict[tuple[str, ...], str]
COMMAND_LINE = "the command line"
MOST_BYTES = 2**20  # of a file; `base` may name any, such as a device without end
MOST_TABLES = 20  # in each other


def read_layers(
    path: Path, overrides: Sequence[str], base: Path | None = None, alone: bool = False
) -> tuple[dict[str, Any], Origins]:
    """The merged tables of a file, its bases and the overrides, and where each key comes from.

    `base` takes the place of the base that the file names; with `alone`, it may name none.
    Raises ConfigError for files that cannot be read, bases that go round in circles, and words that
    are not overrides.
    """
    layers = _read_with_bases(path if base is None else base, alone)
    if base is not None:
        changes = read_toml(path, asked_by=None)
        changes.pop("base", None)
        layers.append((path, changes))
    merged: dict[str, Any] = {}
    origins: Origins = {}
    for file, table in layers:
        _merge(merged, table, str(file), origins)
    for table in _parse_overrides(overrides):
        _merge(merged, table, COMMAND_LINE, origins)
    return merged, origins


def split_overrides(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """A command's own words, and the overrides: those with a dot in the option's name."""
    own: list[str] = []
    overrides: list[str] = []
    remaining = list(words)
    while remaining:
        word = remaining.pop(0)
        name, equals, _ = word.partition("=")
        if not (name.startswith("--") and "." in name):
            own.append(word)
            continue
        overrides.append(word)
        if not equals and remaining:
            overrides.append(remaining.pop(0))
    return own, overrides


def _read_with_bases(path: Path, alone: bool) -> list[tuple[Path, dict[str, Any]]]:
    """A file and its bases, the deepest base first."""
    layers: list[tuple[Path, dict[str, Any]]] = []
    seen: list[Path] = []
    while True:
        resolved = path.resolve()
        if resolved in seen:
            chain = " -> ".join(str(step) for step in [*seen, resolved])
            raise ConfigError(f"{seen[0]}: base: the files are based on each other: {chain}")
        table = read_toml(path, asked_by=seen[-1] if seen else None)
        seen.append(resolved)
        base = table.pop("base", None)
        layers.insert(0, (path, table))
        if base is None:
            return layers
        if not isinstance(base, str) or not base:
            raise ConfigError(
                f"{path}: base: must be the path of a file, as a string: got {base!r}"
            )
        if alone:
            raise ConfigError(
                f"{path}: base: the configuration of a model stands alone, and names no file"
            )
        path = path.parent / base


def read_toml(path: Path, asked_by: Path | None = None) -> dict[str, Any]:
    """What a TOML file says, however it came here. Raises ConfigError."""
    because = f" (named as base by {asked_by})" if asked_by else ""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise ConfigError(
                f"{path}: is no configuration: it has more than {MOST_BYTES} bytes{because}"
            )
        return tomllib.loads(data.decode("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}{because}") from None
    except RecursionError:
        raise ConfigError(f"{path}: is not valid TOML: it is nested too deeply{because}") from None
    except ConfigError:
        raise
    except ValueError as error:  # of TOML, of UTF-8, and of integers with thousands of digits
        raise ConfigError(f"{path}: is not valid TOML: {error}{because}") from None


def _parse_overrides(words: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Each override as a nested table with one leaf."""
    remaining = list(words)
    while remaining:
        word = remaining.pop(0)
        option, equals, text = word.partition("=")
        keys = option.removeprefix("--").replace("-", "_").split(".")
        if not option.startswith("--") or not all(keys):
            raise ConfigError(f"{COMMAND_LINE}: {word!r} is not of the form --section.key value")
        if not equals:
            if not remaining or remaining[0].startswith("--"):
                raise ConfigError(f"{COMMAND_LINE}: {'.'.join(keys)}: a value is missing")
            text = remaining.pop(0)
        override = _toml_value(text)
        for key in reversed(keys):
            override = {key: override}
        yield override


def _toml_value(text: str) -> Any:
    try:
        table = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return table["value"] if len(table) == 1 else text


def _merge(
    target: dict[str, Any],
    table: Mapping[str, Any],
    origin: str,
    origins: Origins,
    prefix: tuple[str, ...] = (),
) -> None:
    """Lay `table` over `target`: tables are merged key by key, everything else is replaced."""
    if len(prefix) > MOST_TABLES:
        raise ConfigError(f"{origin}: {'.'.join(prefix[:3])}...: is nested too deeply")
    for key, value in table.items():
        where = (*prefix, key)
        origins[where] = origin
        if isinstance(value, Mapping):
            if not isinstance(target.get(key), dict):
                target[key] = {}
            _merge(target[key], value, origin, origins, where)
        else:
            target[key] = value
