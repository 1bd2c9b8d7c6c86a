"""Every key of a configuration file, from the pydantic models: what the page on it is made of.

A line `<!-- keys: experiment -->` of a page becomes a section for each table: what the class says,
and its keys, with their values and what they are unless told.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, get_args

from pydantic import BaseModel, TypeAdapter

from l3ac_jax.config import ExperimentConfig
from l3ac_jax.generation.config import LanguageConfig

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page
    from pydantic.fields import FieldInfo

FILES: dict[str, type[BaseModel]] = {"experiment": ExperimentConfig, "language": LanguageConfig}
MARK = re.compile(r"^<!-- keys: (\w+) -->$", re.MULTILINE)


@dataclass(frozen=True)
class TableOfKeys:
    """A table of a configuration file: where it stands there, and what it may hold."""

    place: str
    """as "training.optimizer"; "data.corpora[]" for each table of a list"""
    kind: type[BaseModel]

    @property
    def heading(self) -> str:
        """As a file writes it."""
        name = self.place.removesuffix("[]")
        return f"[[{name}]]" if name != self.place else f"[{name}]"


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The page with its keys."""
    return MARK.sub(lambda mark: sections(FILES[mark[1]]), markdown)


def sections(file: type[BaseModel]) -> str:
    """Markdown for all tables of a kind of configuration file."""
    known: dict[type[BaseModel], str] = {}
    return "\n\n".join(_section(table, known) for table in tables(file))


def tables(file: type[BaseModel]) -> Iterator[TableOfKeys]:
    """Each table that a file may have, once: a kind that stands in two places at the first."""
    seen: set[type[BaseModel]] = set()

    def inside(kind: type[BaseModel], place: str) -> Iterator[TableOfKeys]:
        for name, field in kind.model_fields.items():
            table = _table(field.annotation)
            if table is None or table in seen:
                continue
            seen.add(table)
            many = "[]" if _is_list(field.annotation) else ""
            path = f"{place}{name}{many}"
            yield TableOfKeys(path, table)
            yield from inside(table, f"{path.removesuffix('[]')}.")

    return inside(file, "")


def undescribed(file: type[BaseModel]) -> list[str]:
    """Keys that the docstring of their class does not name, in backticks."""
    missing = []
    for table in tables(file):
        named = set(re.findall(r"`[\w.]*?(\w+)`", table.kind.__doc__ or ""))
        missing += [
            f"{table.place}.{name}"
            for name, field in table.kind.model_fields.items()
            if name not in named and _table(field.annotation) is None
        ]
    return missing


def _section(table: TableOfKeys, known: dict[type[BaseModel], str]) -> str:
    known[table.kind] = table.heading
    rows = ["| key | value | unless told |", "|---|---|---|"]
    for name, field in table.kind.model_fields.items():
        inner = _table(field.annotation)
        if inner is None:
            value = _values(TypeAdapter(_annotated(field)).json_schema())
        else:
            # those that are known by now have been described before; the others come below
            again = f" as `{known[inner]}`" if inner in known else ""
            value = ("tables" if _is_list(field.annotation) else "a table") + again
        rows.append(f"| `{name}` | {value} | {_default(field)} |")
    text = inspect.getdoc(table.kind) or ""
    return f"### `{table.heading}`\n\n{text}\n\n" + "\n".join(rows)


def _annotated(field: FieldInfo) -> Any:
    """The type with its limits, as it was written."""
    return Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "*needed*"
    if field.default is None:
        return ""
    if isinstance(field.default, BaseModel):
        changed = field.default.model_dump(mode="json", exclude_defaults=True)
        return ", ".join(f"`{name} = {json.dumps(value)}`" for name, value in changed.items())
    return f"`{json.dumps(TypeAdapter(Any).dump_python(field.default, mode='json'))}`"


def _values(schema: dict[str, Any]) -> str:
    """What a key may be, from its JSON schema, in words."""
    if "enum" in schema:
        return ", ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(
            _values(choice) for choice in schema["anyOf"] if choice.get("type") != "null"
        )
    match schema["type"]:
        case "array" if "prefixItems" in schema:
            return f"[{', '.join(_values(item) for item in schema['prefixItems'])}]"
        case "array":
            fewest = "" if schema.get("minItems") else ", which may be empty"
            kind, *limits = _values(schema["items"]).split(" ", 1)
            return f"a list of {' '.join([f'{kind}s', *limits])}{fewest}"
        case "integer" | "number" as kind:
            return kind + _limits(schema)
        case "boolean":
            return "`true`, `false`"
        case kind:
            return kind


def _limits(schema: dict[str, Any]) -> str:
    words = {
        "exclusiveMinimum": "above",
        "minimum": "from",
        "exclusiveMaximum": "below",
        "maximum": "up to",
    }
    found = [f"{word} {schema[key]:g}" for key, word in words.items() if key in schema]
    return f" {' '.join(found)}" if found else ""


def _table(annotation: Any) -> type[BaseModel] | None:
    """The table in `Table`, `Table | None` or `tuple[Table, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_table, get_args(annotation))), None)


def _is_list(annotation: Any) -> bool:
    return not isinstance(annotation, type) and tuple in (
        getattr(annotation, "__origin__", None),
        *(getattr(inner, "__origin__", None) for inner in get_args(annotation)),
    )
