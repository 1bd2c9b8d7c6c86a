"""What can happen to a file. Each variant depends on its seed alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["KINDS", "damaged"]

HEADER = 4096  # bytes in which sizes are looked for


def damaged(data: bytes, samples: int, kind: str, seed: int) -> bytes:
    """A variant of a file with so many samples that is not the file itself."""
    random = np.random.default_rng([seed, list(KINDS).index(kind)])
    while (variant := KINDS[kind](data, samples, random)) == data:
        pass
    return variant


def _cut(data: bytes, _: int, random: np.random.Generator) -> bytes:
    return data[: random.integers(1, len(data))]


def _overwritten(data: bytes, _: int, random: np.random.Generator) -> bytes:
    start, length = random.integers(0, len(data)), _length(data, random)
    return data[:start] + random.bytes(length)[: len(data) - start] + data[start + length :]


def _zeroed(data: bytes, _: int, random: np.random.Generator) -> bytes:
    start, length = random.integers(0, len(data)), _length(data, random)
    return data[:start] + bytes(min(length, len(data) - start)) + data[start + length :]


def _swapped(data: bytes, _: int, random: np.random.Generator) -> bytes:
    a, b, c, d = sorted(random.integers(0, len(data) + 1, 4))
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def _without_a_piece(data: bytes, _: int, random: np.random.Generator) -> bytes:
    start = random.integers(0, len(data))
    return data[:start] + data[start + _length(data, random) :]


def _with_a_piece_twice(data: bytes, _: int, random: np.random.Generator) -> bytes:
    start = random.integers(0, len(data))
    end = start + _length(data, random)
    return data[:end] + data[start:]


def _wrong_size(data: bytes, samples: int, random: np.random.Generator) -> bytes:
    """Something that says how long the file is says something else."""
    places = _sizes(data, samples)
    if not places:
        return _overwritten(data, samples, random)
    start, width, order, value = places[random.integers(len(places))]
    top = 256**width
    others = [0, top - 1, top // 2 - 1, value // 2, 2 * value, value + 1, value - 1]
    others.append(int(random.integers(0, min(top, 2**62))))
    changed = others[random.integers(len(others))] % top
    return data[:start] + changed.to_bytes(width, order) + data[start + width :]


def _sizes(data: bytes, samples: int) -> list[tuple[int, int, str, int]]:
    """Numbers in the header that are near the number of bytes or samples: place, width, order."""
    found = []
    wanted = {samples}
    for size in (len(data), 2 * samples, 3 * samples, 4 * samples, samples):
        wanted |= set(range(max(1, size - 128), size + 128))
    for width in (8, 4):
        for order in ("little", "big"):
            for start in range(min(HEADER, len(data) - width)):
                value = int.from_bytes(data[start : start + width], order)
                if value in wanted:
                    found.append((start, width, order, value))
    return found


def _length(data: bytes, random: np.random.Generator) -> int:
    """From one byte to a fifth of the file, each order of magnitude as often as the others."""
    return int(np.exp(random.uniform(0, np.log(len(data) / 5))))


KINDS: dict[str, Callable[[bytes, int, np.random.Generator], bytes]] = {
    "cut": _cut,
    "overwritten": _overwritten,
    "zeroed": _zeroed,
    "swapped": _swapped,
    "without a piece": _without_a_piece,
    "with a piece twice": _with_a_piece_twice,
    "wrong size": _wrong_size,
}
