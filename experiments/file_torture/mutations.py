"""Variants of a file: cut off, overwritten, with pieces that moved, with other numbers in them.

Each depends on the file, the seed and its number alone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["KINDS", "mutated"]

Random = np.random.Generator
TRIES = 20


def mutated(data: bytes, seed: int, number: int) -> tuple[str, bytes]:
    """The kind of a variant, in turn, and its bytes, which are never those of the file."""
    kind = list(KINDS)[number % len(KINDS)]
    random = np.random.default_rng([seed, number])
    for _ in range(TRIES):
        if (variant := KINDS[kind](data, random)) != data:
            return kind, variant
    return kind, _flipped(data, random)  # of what is the same everywhere


def _cut(data: bytes, random: Random) -> bytes:
    return data[: random.integers(0, len(data))]


def _flipped(data: bytes, random: Random) -> bytes:
    changed = bytearray(data)
    for place in set(random.integers(0, 8 * len(data), random.integers(1, 4)).tolist()):
        changed[place // 8] ^= 1 << place % 8
    return bytes(changed)


def _overwritten(data: bytes, random: Random) -> bytes:
    start, length = _piece(data, random)
    return data[:start] + random.bytes(length) + data[start + length :]


def _zeroed(data: bytes, random: Random) -> bytes:
    start, length = _piece(data, random)
    return data[:start] + bytes(length) + data[start + length :]


def _swapped(data: bytes, random: Random) -> bytes:
    a, b, c, d = sorted(random.integers(0, len(data) + 1, 4))
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def _without_a_piece(data: bytes, random: Random) -> bytes:
    start, length = _piece(data, random)
    return data[:start] + data[start + length :]


def _with_a_piece_twice(data: bytes, random: Random) -> bytes:
    start, length = _piece(data, random)
    return data[: start + length] + data[start:]


def _with_more(data: bytes, random: Random) -> bytes:
    return data + random.bytes(1 + _piece(data, random)[1])


def _other_number(data: bytes, random: Random) -> bytes:
    """A place that may hold a size holds another one, often one of the extremes."""
    width = int(random.choice([1, 2, 4, 8]))
    order = "little" if random.integers(2) else "big"
    reach = len(data) if random.integers(2) else min(len(data), 256)  # headers are at the start
    start = int(random.integers(0, max(1, reach - width)))
    value, top = int.from_bytes(data[start : start + width], order), 256**width
    others = [0, 1, top - 1, top // 2, top // 2 - 1, value + 1, value - 1, 2 * value, value // 2]
    changed = others[random.integers(len(others))] % top
    return data[:start] + changed.to_bytes(width, order) + data[start + width :]


def _other_digit(data: bytes, random: Random) -> bytes:
    """A number in a text is another one; without digits, any byte."""
    places = [place for place, byte in enumerate(data) if 48 <= byte < 58] or range(len(data))
    place = int(places[random.integers(len(places))])
    digits = bytes(random.choice(list(b"0123456789-.eE,"), random.integers(1, 5)).tolist())
    return data[:place] + digits + data[place + 1 :]


def _piece(data: bytes, random: Random) -> tuple[int, int]:
    """Start and length, from one byte to all, each order of magnitude as often as the others."""
    length = int(np.exp(random.uniform(0, np.log(len(data)))))
    return int(random.integers(0, len(data) - length + 1)), length


KINDS: dict[str, Callable[[bytes, Random], bytes]] = {
    "cut": _cut,
    "flipped": _flipped,
    "overwritten": _overwritten,
    "zeroed": _zeroed,
    "swapped": _swapped,
    "without a piece": _without_a_piece,
    "with a piece twice": _with_a_piece_twice,
    "with more behind": _with_more,
    "other number": _other_number,
    "other digit": _other_digit,
}
