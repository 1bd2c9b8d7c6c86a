"""How a file is to be read: what libsndfile is given of it, part by part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from l3ac_jax.audio.containers.pieces import Piece, PiecedFile
from l3ac_jax.audio.damage import Damage

__all__ = ["Layout", "Part", "Resume"]


@dataclass(frozen=True)
class Part:
    """What can be decoded in one go. Parts follow one another in the recording.

    `end` is where it ends, in seconds since its stream began, where the container says that: what
    is not decoded since the part before is missing, for a `cause`. A `first` part begins another
    stream; one that `follows` begins where its stream does, whatever its times are. A part that is
    `cut_off` lacks an end of unknown length. `estimated`: what libsndfile says of its length is no
    fact; `claimed` is as in PiecedFile.
    """

    pieces: Sequence[Piece]
    end: float | None = None
    first: bool = True
    follows: bool = True
    cause: str = "what cannot be decoded"
    cut_off: bool = False
    estimated: bool = False
    claimed: int | None = None


# The part behind a sample at which decoding failed, and its first sample; None where there is none.
Resume = Callable[[int], tuple[int, Part] | None]


@dataclass(frozen=True)
class Layout:
    """The parts of a recording, and what is known before decoding.

    `seconds` are what its headers promise, None where they do not say it. With `resume`, decoding
    goes on where it failed. `source` is what its parts are pieces of, where that is not the file.
    """

    parts: Sequence[Part]
    seconds: float | None = None
    damage: Sequence[Damage] = ()
    resume: Resume | None = None
    source: PiecedFile | None = None
