"""Notes: how much of a transcription of the original is in that of the decoded audio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from l3ac_jax.errors import ArgumentError
from l3ac_jax.evaluation.applications.application import Chosen, Compared
from l3ac_jax.evaluation.clips import EvaluationClip
from l3ac_jax.evaluation.report import METRICS, Metric
from l3ac_jax.metrics import notes
from l3ac_jax.metrics.bootstrap import ratio
from l3ac_jax.metrics.notes import Note

__all__ = ["Notes"]

Audio = Float[np.ndarray, " time"]


@dataclass(frozen=True)
class Notes:
    """By the model of basic-pitch; the mean over clips with notes, of the F-measure."""

    name: ClassVar[str] = "notes"
    metrics: ClassVar[dict[str, Metric]] = {"note_f": METRICS["note_f"]}
    of_originals: ClassVar[tuple[str, ...]] = ()  # which are the truth here

    @property
    def model(self) -> str:
        """The transcription."""
        return f"the model of basic-pitch {version('basic-pitch')}"

    def check(self) -> None:
        """Raise MissingPackageError for packages that are not installed."""
        notes.require()

    def choose(self, clips: Sequence[EvaluationClip]) -> Chosen:
        """All of them."""
        if not clips:
            raise ArgumentError("notes: at least one clip is needed")
        return Chosen(list(clips), [])

    def analyse(self, audio: Audio, sample_rate: int) -> list[Note]:
        """The notes of one clip."""
        return notes.transcribe_notes(audio, sample_rate)

    def compare(
        self,
        clips: Sequence[EvaluationClip],
        originals: Sequence[list[Note]],
        heard: Sequence[list[Note]],
    ) -> Compared:
        """A clip without notes, before and after, does not count."""
        scores = np.array(
            [notes.note_f_measure(*pair) for pair in zip(originals, heard, strict=True)]
        )
        values = [
            {"note_f": score, "notes": float(len(of_original)), "notes_decoded": float(len(after))}
            for score, of_original, after in zip(scores.tolist(), originals, heard, strict=True)
        ]
        statistic = ratio(np.nan_to_num(scores), np.isfinite(scores).astype(float))
        return Compared(values, {"note_f": statistic}, len(clips))
