"""Words: what a recognizer of speech hears, against a transcript, and against the original."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from l3ac_jax.evaluation.applications.application import Chosen, Compared, all_with_texts
from l3ac_jax.evaluation.clips import EvaluationClip
from l3ac_jax.evaluation.report import METRICS, Metric
from l3ac_jax.metrics import learned
from l3ac_jax.metrics.bootstrap import ratio
from l3ac_jax.metrics.learned import WordErrors

__all__ = ["Words"]

Audio = Float[np.ndarray, " time"]


@dataclass(frozen=True)
class Words:
    """By PocketSphinx, or a model of faster-whisper (a name or a folder).

    Errors and words are summed over clips. The word error rate is over clips with a transcript, the
    changed words over all.
    """

    whisper: str | None = None

    name: ClassVar[str] = "words"
    metrics: ClassVar[dict[str, Metric]] = {
        "wer": METRICS["wer"],
        "changed": Metric("words unlike the original's", "%", "lower", 1),
    }
    of_originals: ClassVar[tuple[str, ...]] = ("wer",)

    @property
    def model(self) -> str:
        """The recognizer."""
        if self.whisper is None:
            return f"PocketSphinx {version('pocketsphinx')}, US English"
        return f"faster-whisper {version('faster-whisper')}, {Path(self.whisper).name}"

    def check(self) -> None:
        """Raise MissingPackageError for packages that are not installed."""
        learned.require("english" if self.whisper is None else "wer")

    def choose(self, clips: Sequence[EvaluationClip]) -> Chosen:
        """All of them."""
        return all_with_texts(clips, self.name, "transcript", "changed words")

    def analyse(self, audio: Audio, sample_rate: int) -> str:
        """The words that are heard."""
        if self.whisper is None:
            return learned.transcribe_english(audio, sample_rate)
        return learned.transcribe(audio, sample_rate, self.whisper)

    def compare(
        self, clips: Sequence[EvaluationClip], originals: Sequence[str], heard: Sequence[str]
    ) -> Compared:
        """Word errors of each clip."""
        counts = {
            "wer": [
                learned.word_errors(clip.transcript or "", words)
                for clip, words in zip(clips, heard, strict=True)
            ],
            "changed": [
                learned.word_errors(original, words)
                for original, words in zip(originals, heard, strict=True)
            ],
        }
        statistics = {}
        for name, of_clips in counts.items():
            # Without words to hear there is nothing to count, not even what is heard.
            errors, words = np.array([c if c.words else WordErrors(0, 0) for c in of_clips]).T
            statistics[name] = ratio(errors, words, 100.0)
        values = [
            {name: _rate(of_clips[index]) for name, of_clips in counts.items()}
            for index in range(len(clips))
        ]
        return Compared(values, statistics, len(clips))


def _rate(found: WordErrors) -> float:
    return 100 * found.errors / found.words if found.words else np.nan
