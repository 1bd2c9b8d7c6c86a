"""What the tables of a configuration file have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

# Strict: 16000 is not "16000", and true is not 1.
PositiveInt = Annotated[int, Field(strict=True, gt=0)]
NaturalInt = Annotated[int, Field(strict=True, ge=0)]
# Of a network: far above any that was made. Configurations come with models of other people, and
# tracing one with 10**9 layers or frames of a window would take all time and memory there is.
Count = Annotated[int, Field(strict=True, gt=0, le=256)]
Width = Annotated[int, Field(strict=True, gt=0, le=2**14)]
SampleRate = Annotated[int, Field(strict=True, gt=0, lt=2**20)]  # as in FLAC's header
Switch = Annotated[bool, Field(strict=True)]
Sizes = Annotated[tuple[PositiveInt, ...], Field(min_length=1)]
Counts = Annotated[tuple[Count, ...], Field(min_length=1, max_length=16)]
Widths = Annotated[tuple[Width, ...], Field(min_length=1, max_length=16)]
Positive = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
Limit = Annotated[float, Field(strict=True, gt=0)]  # inf: none
NonNegative = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(strict=True, ge=0, le=1)]
Finite = Annotated[float, Field(strict=True, allow_inf_nan=False)]


class Table(BaseModel, frozen=True, extra="forbid"):
    """Immutable, without unknown keys; hashable, as Flax modules need their fields to be."""
