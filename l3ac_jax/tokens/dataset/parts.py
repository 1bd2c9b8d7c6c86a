"""Parts: the tokens of some consecutive files of the input, made anywhere and in any order.

Where a shard of the dataset ends depends on all tokens before it. So that many machines can work at
once, each makes parts, which depend on nothing but their own files, and one puts them together.
A part is an Arrow file in the folder `.parts` of the dataset, whose name says what it was made of.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from l3ac_jax.errors import TokenDatasetError, UserError
from l3ac_jax.system.sources import SourceTree
from l3ac_jax.system.targets import TargetFolder
from l3ac_jax.tokens.dataset.index import Description, require_arrow
from l3ac_jax.tokens.format import EncodedAudio

__all__ = ["Encode", "OnDamage", "Outcome", "Part", "PartWork", "Result", "as_text", "reason_of"]

Result = EncodedAudio | Exception
OnDamage = Callable[[Path, str], None]  # is told what is missing of a file that is not whole
Encode = Callable[[list[Path], OnDamage], Iterable[tuple[Path, Result]]]  # in any order
Report = Callable[[int], None]


@dataclass(frozen=True)
class Outcome:
    """A file's tokens, or why it has none, and what is missing of them."""

    result: Result
    damage: str | None = None


@dataclass(frozen=True)
class Part:
    """Consecutive files of the input, relative to its folder; `begin` files are before them."""

    number: int
    begin: int
    files: tuple[Path, ...]

    @property
    def end(self) -> int:
        """Number of files up to its last one."""
        return self.begin + len(self.files)

    def __str__(self) -> str:
        return f"part {self.number}"


@dataclass(frozen=True)
class PartWork:
    """All that a machine needs to make parts: small, and can be sent."""

    source: SourceTree
    folder: TargetFolder  # the parts' own
    description: Description
    inputs: str  # the fingerprint of the whole input

    def name(self, part: Part) -> str:
        """Of the part's file; other input, models or cuts give other names."""
        # The name of the model is not in it: one folder has many.
        work = (self.description.model_copy(update={"model": ""}).model_dump_json(), self.inputs)
        digest = hashlib.sha256(repr((work, part.begin, len(part.files))).encode())
        return f"part-{part.number:06d}-{digest.hexdigest()[:16]}.arrow"

    def absolute(self) -> PartWork:
        """The same, wherever the process runs that it is sent to."""
        return replace(self, source=self.source.absolute(), folder=self.folder.absolute())

    def missing(self, parts: Iterable[Part]) -> list[Part]:
        """Those that have not been made."""
        made = set(self.folder.names())
        return [part for part in parts if self.name(part) not in made]

    def encoded(
        self, part: Part, encode: Encode, report: Report = lambda done: None
    ) -> list[Outcome]:
        """The outcomes of its files, in order; `report` is told how many are done."""
        # Arrow's text is UTF-8; names of files need not be.
        results: dict[Path, Result] = {
            file: TokenDatasetError("its name is not UTF-8")
            for file in part.files
            if not _is_text(file)
        }
        damage: dict[Path, str] = {}
        with self.source.at_hand([file for file in part.files if file not in results]) as at_hand:
            files = {path: file for file, path in at_hand.items()}

            def note_damage(path: Path, message: str) -> None:
                damage[files[path]] = message.removeprefix(f"{path}: ")

            for path, result in encode(list(files), note_damage):
                results[files[path]] = _without_name(path, result)
                report(len(results))
        return [Outcome(results[file], damage.get(file)) for file in part.files]

    def make(self, part: Part, encode: Encode, report: Report = lambda done: None) -> int:
        """Make it; the number of files that failed or are not whole. Raises OutputError."""
        outcomes = self.encoded(part, encode, report)
        arrow = require_arrow()
        table = arrow.table(_columns(outcomes), schema=_schema())
        with (
            self.folder.writing(self.name(part)) as temporary,
            arrow.OSFile(str(temporary), "wb") as sink,
            arrow.ipc.new_file(sink, table.schema) as file,
        ):
            file.write_table(table)
        return sum(isinstance(o.result, Exception) or o.damage is not None for o in outcomes)

    def read(self, part: Part) -> list[Outcome]:
        """The outcomes of a part that has been made. Raises TokenDatasetError."""
        name = self.name(part)
        arrow = require_arrow()
        try:
            with self.folder.here(name) as path, arrow.OSFile(str(path), "rb") as file:
                rows = list(_rows(arrow.ipc.open_file(file).read_all()))
        except (OSError, ValueError) as error:  # Arrow's errors are ValueErrors
            raise self._damaged(part, str(error)) from error
        if len(rows) != len(part.files):
            raise self._damaged(part, f"has {len(rows)} rows, not {len(part.files)}")
        return [self._outcome(*row) for row in rows]

    def _outcome(
        self, tokens: np.ndarray, samples: int, rate: int, reason: str | None, damage: str | None
    ) -> Outcome:
        if reason is not None:
            return Outcome(UserError(reason), damage)
        model, format = self.description.model, self.description.format
        return Outcome(EncodedAudio(tokens, samples, rate, model, format), damage)

    def _damaged(self, part: Part, reason: str) -> TokenDatasetError:
        path = f"{self.folder}/{self.name(part)}"
        return TokenDatasetError(f"{path}: is damaged: {reason}: remove it, and make it again")


def _schema():
    arrow = require_arrow()
    return arrow.schema(
        [
            ("tokens", arrow.large_list(arrow.int32())),
            ("channels", arrow.int32()),
            ("samples", arrow.int64()),
            ("sample_rate", arrow.int32()),
            ("reason", arrow.string()),
            ("damage", arrow.string()),
        ]
    )


def _columns(outcomes: Sequence[Outcome]) -> list:
    columns: list[tuple] = []
    for outcome in outcomes:
        result, damage = outcome.result, outcome.damage and as_text(outcome.damage)
        if isinstance(result, Exception):
            columns.append(([], 0, 0, 0, as_text(reason_of(result)), damage))
        else:
            tokens = result.tokens.astype(np.int32).reshape(-1)
            row = (tokens, len(result.tokens), result.samples, result.sample_rate, None, damage)
            columns.append(row)
    return [list(column) for column in zip(*columns, strict=True)]


def _rows(table) -> Iterator[tuple[np.ndarray, int, int, str | None, str | None]]:
    tokens = table.column("tokens").combine_chunks()
    values, offsets = tokens.values.to_numpy(), tokens.offsets.to_numpy()
    rest = [table.column(name).to_pylist() for name in table.schema.names[1:]]
    for number, (channels, *others) in enumerate(zip(*rest, strict=True)):
        row = values[offsets[number] : offsets[number + 1]]
        yield row.reshape(max(1, channels), -1), *others


def reason_of(error: Exception) -> str:
    """What the list of failures says of an error."""
    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"


def as_text(text: str) -> str:
    """With what is no text, which file names may hold, as numbers."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _without_name(path: Path, result: Result) -> Result:
    """Errors without the name that they begin with: it has a column of its own."""
    if isinstance(result, UserError):
        return UserError(str(result).removeprefix(f"{path}: "))
    return result


def _is_text(file: Path) -> bool:
    try:
        str(file).encode()
    except UnicodeEncodeError:
        return False
    return True
