"""One of several equal shares of some work: `--shard I/N`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from l3ac_jax.errors import ArgumentError

__all__ = ["Share"]

Item = TypeVar("Item")


@dataclass(frozen=True)
class Share:
    """Number `number` (from 1) of `count` shares."""

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Share:
        """Of "I/N". Raises ArgumentError."""
        match = re.fullmatch(r"(\d+)/(\d+)", text)
        if not match or not 1 <= int(match[1]) <= int(match[2]):
            raise ArgumentError(
                f"--shard must be I/N, the I-th of N calls, such as 1/8 to 8/8: got {text}"
            )
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def of(self, items: Sequence[Item]) -> Sequence[Item]:
        """Every `count`-th item: the shares are disjoint, and all of them together are all."""
        return items[self.number - 1 :: self.count]
