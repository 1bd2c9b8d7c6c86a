"""Results that are kept one by one, so that a run that is ended at any moment can go on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Self

from l3ac_jax.errors import OutputError
from l3ac_jax.system.files import complete_file


class Journal:
    """A file of JSON lines: first `identity`, then entries by name, each with a key.

    An entry counts for the same name and key only; the last one of a name counts. What a killed
    process left half-written is dropped. Close it, or use it as a context manager. Raises
    OutputError for a file of another identity.
    """

    def __init__(self, path: Path, identity: dict[str, Any]):
        self._entries: dict[str, dict[str, Any]] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            self._read(path, identity)
        lines = [identity, *self._entries.values()]
        with complete_file(path, overwrite=True) as part:
            part.write_text("".join(map(_line, lines)), encoding="ascii")
        self._file = path.open("a", encoding="ascii")

    def _read(self, path: Path, identity: dict[str, Any]) -> None:
        first, *lines = path.read_bytes().splitlines() or [b""]
        if _parse(first) != identity:
            raise OutputError(
                f"{path}: holds results of another codec of this name, or of other settings: "
                f"choose another folder, or remove {path.parent}"
            )
        for entry in map(_parse, lines):
            if isinstance(entry, dict) and {"name", "key", "result"} <= entry.keys():
                self._entries[entry["name"]] = entry

    def get(self, name: str, key: str) -> dict[str, Any] | None:
        """The result that was added under a name with this key."""
        entry = self._entries.get(name)
        return entry["result"] if entry is not None and entry["key"] == key else None

    def add(self, name: str, key: str, result: dict[str, Any]) -> None:
        """Keep a result; it is in the file when this returns."""
        entry = {"name": name, "key": key, "result": result}
        self._entries[name] = entry
        self._file.write(_line(entry))
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _line(value: dict[str, Any]) -> str:
    return json.dumps(value, allow_nan=False) + "\n"


def _parse(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None
