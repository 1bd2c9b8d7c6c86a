"""What an application is: something that a program does with recordings, and how to score it.

`analyse` is what the program hears in one recording, original or decoded, and runs in worker
processes; `compare` scores what it heard in all of them against what it heard in the originals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, ClassVar, Protocol

import numpy as np
from jaxtyping import Float

from l3ac_jax.errors import ArgumentError
from l3ac_jax.evaluation.clips import EvaluationClip
from l3ac_jax.evaluation.report import Metric
from l3ac_jax.metrics.bootstrap import Statistic

__all__ = ["Application", "Chosen", "Compared", "all_with_texts", "by_label", "label_of"]

Audio = Float[np.ndarray, " time"]


@dataclass(frozen=True)
class Chosen:
    """The clips that an application can use, and lines that say what it leaves out, and why."""

    clips: list[EvaluationClip]
    remarks: list[str]


@dataclass(frozen=True)
class Compared:
    """Scores: `values` of each clip, and `statistics` over `units`, which the bootstrap draws."""

    values: list[dict[str, float]]
    statistics: Mapping[str, Statistic]
    units: int


class Application(Protocol):
    """`metrics` are those of the statistics; an original has those in `of_originals` alone."""

    name: ClassVar[str]
    metrics: ClassVar[dict[str, Metric]]
    of_originals: ClassVar[tuple[str, ...]]

    @property
    def model(self) -> str:
        """Which program it is, with its version."""
        ...

    def check(self) -> None:
        """Raise MissingPackageError for packages that are not installed."""
        ...

    def choose(self, clips: Sequence[EvaluationClip]) -> Chosen:
        """Raises ArgumentError if they are too few."""
        ...

    def analyse(self, audio: Audio, sample_rate: int) -> Any:
        """What is heard in one recording, as something that can be pickled."""
        ...

    def compare(
        self, clips: Sequence[EvaluationClip], originals: Sequence[Any], heard: Sequence[Any]
    ) -> Compared:
        """All three are of the same clips, in the same order."""
        ...


def all_with_texts(
    clips: Sequence[EvaluationClip], application: str, text: str, otherwise: str
) -> Chosen:
    """All clips, and how many lack the file beside them that has a `text` ("transcript").

    `otherwise` is what these still count for. Raises ArgumentError for none.
    """
    if not clips:
        raise ArgumentError(f"{application}: at least one clip is needed")
    without = sum(clip.transcript is None for clip in clips)
    count = f"{without} of {len(clips)} clips have no {text}"
    remark = f"{count} (a .txt file beside them): they count for {otherwise} alone"
    return Chosen(list(clips), [remark] if without else [])


def label_of(clip: EvaluationClip) -> str:
    """The folder that a clip is in, below the data's folder: its speaker, or its kind of sound."""
    folder = PurePosixPath(clip.name).parent.as_posix()
    return clip.domain if folder == "." else folder


def by_label(clips: Sequence[EvaluationClip]) -> dict[str, list[EvaluationClip]]:
    """Clips by their labels, both in order."""
    found: dict[str, list[EvaluationClip]] = {}
    for clip in clips:
        found.setdefault(label_of(clip), []).append(clip)
    return dict(sorted(found.items()))
