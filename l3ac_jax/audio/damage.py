"""What is missing of a recording, and how it is said: in words, as a warning, or as an error."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from l3ac_jax.errors import AudioError

__all__ = [
    "CUT_OFF",
    "AudioDamageWarning",
    "Damage",
    "DamagedAudioError",
    "OnDamage",
    "describe_damage",
    "refuse_damage",
    "warn_of_damage",
]

OnDamage = Callable[[str], None]  # is told, in a sentence that begins with the file's name
CUT_OFF = "is cut off"
SHOWN = 3  # places; the others are counted


class AudioDamageWarning(UserWarning):
    """A recording of which a part is missing; the message says how much, and where."""


class DamagedAudioError(AudioError):
    """The same as an error, where audio must be whole."""


@dataclass(frozen=True)
class Damage:
    """One place where something is wrong, after `start` seconds of what is decoded.

    `missing` is in seconds; None where nobody can know it, as where the end of a file is cut off.
    """

    start: float
    missing: float | None
    cause: str


def warn_of_damage(message: str) -> None:
    """Give an AudioDamageWarning."""
    warnings.warn(message, AudioDamageWarning, stacklevel=2)


def refuse_damage(message: str) -> None:
    """Raise DamagedAudioError."""
    raise DamagedAudioError(message)


def describe_damage(damage: Sequence[Damage], seconds: float, missing: float | None = None) -> str:
    """A sentence about all places. `seconds` were decoded; all that is `missing`, where known."""
    unknown = missing is None and any(place.missing is None for place in damage)
    if missing is None:
        missing = sum(place.missing or 0 for place in damage)
    if missing:
        least = "at least " if unknown else ""
        amount = f"{least}{_time(missing)} of {_time(seconds + missing)} are missing"
    elif unknown:
        amount = f"what is missing beside {_time(seconds)} cannot be known"
    else:
        amount = f"{_time(seconds)} were decoded"
    places = "; ".join(_place(place) for place in damage[:SHOWN])
    more = len(damage) - SHOWN
    others = f"; and in {more} more place{'s' if more > 1 else ''}" if more > 0 else ""
    return f"is not whole: {amount} ({places}{others})"


def _place(place: Damage) -> str:
    length = "" if place.missing is None else f"{_time(place.missing)} "
    return f"{length}at {_time(place.start)}: {place.cause}"


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 0.01 or seconds == 0 else f"{seconds * 1000:.2g} ms"
