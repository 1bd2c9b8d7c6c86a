"""Voices: whether a verification of speakers, enrolled with originals, still tells them apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from l3ac_jax.errors import ArgumentError
from l3ac_jax.evaluation.applications.application import Chosen, Compared, by_label, label_of
from l3ac_jax.evaluation.clips import EvaluationClip
from l3ac_jax.evaluation.report import Metric
from l3ac_jax.metrics import learned
from l3ac_jax.metrics.verification import equal_error_rates

__all__ = ["Voices"]

Audio = Float[np.ndarray, " time"]
Voice = Float[np.ndarray, " features"]

DRAWS_AT_ONCE = 32  # of the bootstrap: a row of weights for each trial takes memory


@dataclass(frozen=True)
class Voices:
    """By Resemblyzer; speakers are folders.

    A trial is a clip that is tested, decoded, against an original of another recording: of the same
    speaker, or of another one. All pairs are tried. Intervals are over speakers that are drawn
    again, since trials of one speaker go wrong together.
    """

    name: ClassVar[str] = "voices"
    metrics: ClassVar[dict[str, Metric]] = {"eer": Metric("equal error rate", "%", "lower", 1)}
    of_originals: ClassVar[tuple[str, ...]] = ("eer",)

    @property
    def model(self) -> str:
        """The embedding."""
        return f"Resemblyzer {version('resemblyzer')}"

    def check(self) -> None:
        """Raise MissingPackageError for packages that are not installed."""
        learned.require("voices")

    def choose(self, clips: Sequence[EvaluationClip]) -> Chosen:
        """Speakers with one clip are others to those who have more."""
        speakers = by_label(clips)
        if len(speakers) < 2 or all(len(group) < 2 for group in speakers.values()):
            raise ArgumentError(
                f"voices: two speakers (folders) are needed, one of them with two clips: got "
                f"{len(clips)} clips in {len(speakers)} folders"
            )
        single = sum(len(group) == 1 for group in speakers.values())
        remark = f"{single} of {len(speakers)} speakers have one clip: no trial of the same speaker"
        return Chosen(list(clips), [remark] if single else [])

    def analyse(self, audio: Audio, sample_rate: int) -> Voice | None:
        """The embedding, None where no speech is found."""
        return learned.voice(audio, sample_rate)

    def compare(
        self,
        clips: Sequence[EvaluationClip],
        originals: Sequence[Voice | None],
        heard: Sequence[Voice | None],
    ) -> Compared:
        """Where no speech is found, a clip is like no other: its scores are the least, -1."""
        speakers = sorted(by_label(clips))
        speaker = np.array([speakers.index(label_of(clip)) for clip in clips])
        scores = _similarities(originals, heard)
        enrolled, tested = np.nonzero(~np.eye(len(clips), dtype=bool))
        same = speaker[enrolled] == speaker[tested]
        of_trials = scores[enrolled, tested]

        def statistic(weights: Float[np.ndarray, "draws units"]) -> Float[np.ndarray, " draws"]:
            rates = []
            for start in range(0, len(weights), DRAWS_AT_ONCE):
                some = weights[start : start + DRAWS_AT_ONCE]
                first, second = some[:, speaker[enrolled]], some[:, speaker[tested]]
                rates.append(
                    equal_error_rates(of_trials, same, np.where(same, first, first * second))
                )
            return 100 * np.concatenate(rates)

        values = []
        for index in range(len(clips)):
            own = (speaker == speaker[index]) & (np.arange(len(clips)) != index)
            values.append(
                {
                    "same_speaker": _mean(scores[own, index]),
                    "other_speakers": _mean(scores[speaker != speaker[index], index]),
                }
            )
        return Compared(values, {"eer": statistic}, len(speakers))


def _similarities(
    enrolled: Sequence[Voice | None], tested: Sequence[Voice | None]
) -> Float[np.ndarray, "enrolled tested"]:
    found = np.full((len(enrolled), len(tested)), -1.0)
    for row, first in enumerate(enrolled):
        for column, second in enumerate(tested):
            if first is not None and second is not None:
                found[row, column] = first @ second
    return found


def _mean(values: Float[np.ndarray, " n"]) -> float:
    return float(values.mean()) if len(values) else np.nan
