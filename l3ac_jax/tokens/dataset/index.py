"""What a folder of tokens says about itself: `dataset.json`, and the schema of its shards.

    FOLDER/dataset.json         what the values mean; the shards, with sizes and SHA-256
    FOLDER/tokens-00000.arrow   a shard: an Arrow stream, its schema also says what values mean
    FOLDER/failures.tsv         paths that could not be encoded, and why

A row of a shard is one channel of one recording, in this order of columns:

    tokens        list of int32; or "levels", list of uint8, the dimensions of each token
    path          as in the folder that was encoded
    channel       from 0
    channels      of the recording
    samples       of each channel, at sample_rate
    sample_rate   of the recording, in Hz
    frames        tokens of the channel
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from l3ac_jax.errors import TokenDatasetError
from l3ac_jax.system.packages import needs_extra
from l3ac_jax.system.targets import LocalTarget, TargetFolder
from l3ac_jax.tokens.format import TokenFormat

if TYPE_CHECKING:
    import pyarrow

__all__ = [
    "Description",
    "Form",
    "Index",
    "Shard",
    "Unfinished",
    "damaged_sizes",
    "describe",
    "file_sha256",
    "read_index",
    "refuse_damaged",
    "require_arrow",
    "schema",
    "write_index",
]

VERSION = 1
INDEX = "dataset.json"
METADATA = b"l3ac_jax"  # under which the schema of each shard has the description
# Levels are bytes, and a value is left for a separator.
MOST_LEVELS = 255
SHOWN = 5  # damaged shards that a message names

Form = Literal["tokens", "levels"]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Description(_Model):
    """What the values mean: the same in `dataset.json` and in each shard's schema."""

    version: Literal[1] = VERSION
    form: Form
    model: str  # the name or folder that encoded them
    format: TokenFormat
    codebook_size: int
    frame_rate: float  # per second of audio
    vocabulary_size: int  # values are 0 to this - 1: separators and the like begin here


class Shard(_Model):
    """One Arrow file."""

    file: Annotated[str, Field(pattern=r"^\w[\w.-]*$")]  # in the folder itself
    rows: int
    frames: int
    bytes: int
    sha256: str


class Unfinished(_Model):
    """How far a dataset is that is being written: what is needed to go on."""

    inputs: str  # fingerprint of the input's names, sizes and times of change
    files: int  # of the input that are dealt with: in complete shards, or failed
    failures: tuple[tuple[str, str], ...] = ()  # paths and reasons


class Index(Description):
    """The content of `dataset.json`."""

    shard_tokens: int
    recordings: int = 0
    rows: int = 0
    frames: int = 0
    failures: int = 0
    shards: tuple[Shard, ...] = ()
    unfinished: Unfinished | None = None
    inputs: str | None = None
    """of a complete dataset, as in `Unfinished`; datasets of earlier versions have none"""

    @property
    def description(self) -> Description:
        """What the values mean."""
        return Description(**{name: getattr(self, name) for name in Description.model_fields})


def describe(name: str, format: TokenFormat, form: Form) -> Description:
    """What the tokens or levels of the codec `name` mean.

    Raises TokenDatasetError for over 255 levels.
    """
    levels = format.levels
    if form == "levels" and max(levels) > MOST_LEVELS:
        raise TokenDatasetError(
            f"{name}: has {max(levels)} levels in a dimension, and at most {MOST_LEVELS} "
            "can be written: write tokens"
        )
    return Description(
        form=form,
        model=name,
        format=format,
        codebook_size=format.codebook_size,
        frame_rate=format.frame_rate,
        vocabulary_size=format.codebook_size if form == "tokens" else max(levels),
    )


def read_index(folder: str | os.PathLike[str] | TargetFolder) -> Index:
    """What `dataset.json` says. Raises TokenDatasetError where there is none that can be read."""
    if isinstance(folder, str | os.PathLike):
        folder = LocalTarget(Path(folder))
    path = f"{folder}/{INDEX}"
    if not folder.is_folder():
        raise TokenDatasetError(f"{folder}: is no folder of tokens")
    if folder.size(INDEX) is None:
        raise TokenDatasetError(f"{folder}: is no dataset of tokens: it has no {INDEX}")
    try:
        return Index.model_validate_json(folder.read(INDEX))
    except OSError as error:
        raise TokenDatasetError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        if where == "version" and isinstance(first["input"], int):
            raise TokenDatasetError(
                f"{path}: has version {first['input']}, and only {VERSION} can be read here: "
                "another version of l3ac-jax is needed"
            ) from None
        raise TokenDatasetError(f"{path}: is damaged: {where}: {first['msg']}") from None


def write_index(folder: TargetFolder, index: Index) -> None:
    """Write `dataset.json`, complete or not at all. Raises OutputError."""
    with folder.writing(INDEX) as temporary:
        text = index.model_dump_json(indent=1, exclude_none=True)
        temporary.write_text(text + "\n", encoding="utf-8")


def damaged_sizes(folder: TargetFolder, index: Index) -> dict[str, str]:
    """The shards that are missing or have another length than they had, with what is wrong."""
    problems = {}
    for shard in index.shards:
        size = folder.size(shard.file)
        if size is None:
            problems[shard.file] = "is missing"
        elif size != shard.bytes:
            problems[shard.file] = f"has {size} bytes instead of {shard.bytes}"
    return problems


def refuse_damaged(folder: object, problems: Mapping[str, str]) -> None:
    """Raise TokenDatasetError if there are any: shards, and what is wrong with each."""
    if problems:
        shown = [f"{file} {problem}" for file, problem in problems.items()]
        dots = "; ..." if len(shown) > SHOWN else ""
        raise TokenDatasetError(f"{folder}: {'; '.join(shown[:SHOWN])}{dots}")


def file_sha256(path: Path) -> str:
    """The checksum that `dataset.json` has of a shard."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_arrow() -> Any:
    """The module pyarrow. Raises MissingPackageError where it is not installed."""
    with needs_extra("tokens", "a dataset of tokens"):
        import pyarrow
        import pyarrow.ipc
    return pyarrow


def schema(description: Description) -> pyarrow.Schema:
    """The columns of a shard."""
    arrow = require_arrow()
    value = arrow.int32() if description.form == "tokens" else arrow.uint8()
    columns = [
        (description.form, arrow.list_(value)),
        ("path", arrow.string()),
        ("channel", arrow.int32()),
        ("channels", arrow.int32()),
        ("samples", arrow.int64()),
        ("sample_rate", arrow.int32()),
        ("frames", arrow.int64()),
    ]
    return arrow.schema(columns, metadata={METADATA: description.model_dump_json().encode()})
