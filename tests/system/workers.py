"""What workers of a cluster do in tests: importable by them, and without JAX."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from l3ac_jax.errors import SourceError
from l3ac_jax.tokens.dataset.parts import Part, PartWork
from tests.tokens.dataset import token_folders


def squares(folder: Path) -> Callable[[int], int]:
    """Squares of numbers; -1 kills its worker the first time, -2 always, -3 is no number."""

    def square(number: int) -> int:
        if number == -2 or (number == -1 and not (folder / "died").exists()):
            (folder / "died").touch()
            os._exit(1)
        if number == -3:
            raise SourceError("-3: cannot be read")
        return number**2

    return square


def part_maker(work: PartWork, folder: Path, seconds: float) -> Callable[[Part], int]:
    """As codec/many/parts.py, with the stand-in; says on which node it is, and takes its time."""
    import ray

    node = ray.get_runtime_context().get_node_id()

    def encode(paths: list[Path], on_damage: Callable[[Path, str], None]) -> Iterator:
        for path, result in token_folders.encode(paths, on_damage):
            (folder / f"{node}-{path.name}").touch()
            time.sleep(seconds)
            yield path, result

    return partial(work.make, encode=encode)
