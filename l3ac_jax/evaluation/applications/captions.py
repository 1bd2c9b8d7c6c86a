"""Captions: what a model says of a recording, against a text, and against the original's."""

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
from l3ac_jax.evaluation.report import Metric
from l3ac_jax.metrics import captions
from l3ac_jax.metrics.bootstrap import ratio

__all__ = ["Captions"]

Audio = Float[np.ndarray, " time"]


@dataclass(frozen=True)
class Captions:
    """By a model of the Whisper family (a name or a folder); means over clips of ROUGE-1."""

    captioner: str
    prompt: str = ""

    name: ClassVar[str] = "captions"
    metrics: ClassVar[dict[str, Metric]] = {
        "described": Metric("words shared with the text, F-measure", "", "higher", 3),
        "kept": Metric("words shared with the original's caption, F-measure", "", "higher", 3),
    }
    of_originals: ClassVar[tuple[str, ...]] = ("described",)

    @property
    def model(self) -> str:
        """Which one."""
        return f"transformers {version('transformers')}, {Path(self.captioner).name}"

    def check(self) -> None:
        """Raise MissingPackageError for packages that are not installed."""
        captions.require()

    def choose(self, clips: Sequence[EvaluationClip]) -> Chosen:
        """All of them."""
        return all_with_texts(clips, self.name, "text", "the original's caption")

    def analyse(self, audio: Audio, sample_rate: int) -> str:
        """The caption of one clip."""
        return captions.caption(audio, sample_rate, self.captioner, self.prompt)

    def compare(
        self, clips: Sequence[EvaluationClip], originals: Sequence[str], heard: Sequence[str]
    ) -> Compared:
        """A clip without a text does not count for `described`."""
        texts = [clip.transcript for clip in clips]
        scores = {
            "described": np.array(
                [
                    np.nan if text is None else captions.overlap(text, said)
                    for text, said in zip(texts, heard, strict=True)
                ]
            ),
            "kept": np.array(
                [captions.overlap(*pair) for pair in zip(originals, heard, strict=True)]
            ),
        }
        statistics = {
            name: ratio(np.nan_to_num(of_clips), np.isfinite(of_clips).astype(float))
            for name, of_clips in scores.items()
        }
        values = [
            {name: float(of_clips[index]) for name, of_clips in scores.items()}
            for index in range(len(clips))
        ]
        return Compared(values, statistics, len(clips))
