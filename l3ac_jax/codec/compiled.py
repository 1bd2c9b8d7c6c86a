"""Which programs of a codec are compiled."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import TypeVar

__all__ = ["CompiledPrograms"]

T = TypeVar("T")


class CompiledPrograms:
    """The programs that a codec has compiled: of two threads that need a new one, one waits."""

    def __init__(self) -> None:
        self._compiled: set[Hashable] = set()
        self._compiling = threading.Lock()

    def __contains__(self, program: Hashable) -> bool:
        return program in self._compiled

    def run(self, program: Hashable, announce: Callable[[], None], compute: Callable[[], T]) -> T:
        """What `compute` gives. The first to need a program announces and compiles it."""
        if program not in self._compiled:
            with self._compiling:
                if program not in self._compiled:
                    announce()
                    result = compute()
                    self._compiled.add(program)
                    return result
        return compute()
