"""Sounds: whether a classifier that was trained on originals knows decoded ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from l3ac_jax.audio.mel import mel_filters
from l3ac_jax.audio.resampling import resample
from l3ac_jax.audio.spectra import magnitudes
from l3ac_jax.errors import ArgumentError
from l3ac_jax.evaluation.applications.application import Chosen, Compared, by_label, label_of
from l3ac_jax.evaluation.clips import EvaluationClip
from l3ac_jax.evaluation.report import Metric
from l3ac_jax.metrics.bootstrap import ratio
from l3ac_jax.system.packages import needs_extra

__all__ = ["Sounds", "log_mel_statistics", "sound_classifier"]

Audio = Float[np.ndarray, " time"]
Features = Float[np.ndarray, " features"]

FOLDS = 5
RATE, WINDOW, BANDS = 16000, 1024, 64
FLOOR_DB = 80.0  # what is quieter, relative to a clip's loudest band, counts as that


@dataclass(frozen=True)
class Sounds:
    """Classes are folders; the classifier is a logistic regression on log-mel statistics.

    In five folds, it is trained on the originals of four and hears the clips of the fifth, original
    and decoded. Plain on purpose: what it loses is lost in spectra.
    """

    seed: int = 0
    """of the folds"""

    name: ClassVar[str] = "sounds"
    metrics: ClassVar[dict[str, Metric]] = {"accuracy": Metric("accuracy", "%", "higher", 1)}
    of_originals: ClassVar[tuple[str, ...]] = ("accuracy",)

    @property
    def model(self) -> str:
        """The classifier."""
        return f"logistic regression (scikit-learn {version('scikit-learn')}), log-mel statistics"

    def check(self) -> None:
        """Raise MissingPackageError for packages that are not installed."""
        _sklearn()

    def choose(self, clips: Sequence[EvaluationClip]) -> Chosen:
        """The clips of classes that have one for each fold."""
        classes = by_label(clips)
        small = [name for name, group in classes.items() if len(group) < FOLDS]
        if len(classes) - len(small) < 2:
            raise ArgumentError(
                f"sounds: two folders with at least {FOLDS} clips each are needed: got "
                f"{len(classes) - len(small)}"
            )
        kept = [clip for clip in clips if label_of(clip) not in small]
        remark = f"left out, since they have fewer than {FOLDS} clips: {', '.join(small)}"
        return Chosen(kept, [remark] if small else [])

    def analyse(self, audio: Audio, sample_rate: int) -> Features:
        """The features of one clip."""
        return log_mel_statistics(audio, sample_rate)

    def compare(
        self,
        clips: Sequence[EvaluationClip],
        originals: Sequence[Features],
        heard: Sequence[Features],
    ) -> Compared:
        """Each clip is judged once, by a classifier that has not heard it."""
        labels = np.array([label_of(clip) for clip in clips])
        trained, judged = np.stack(originals), np.stack(heard)
        correct = np.zeros(len(clips))
        folds = _sklearn().model_selection.StratifiedKFold(
            FOLDS, shuffle=True, random_state=self.seed
        )
        for train, test in folds.split(trained, labels):
            probe = sound_classifier()
            probe.fit(trained[train], labels[train])
            correct[test] = probe.predict(judged[test]) == labels[test]
        values = [{"accuracy": 100 * float(right)} for right in correct]
        statistic = ratio(correct, np.ones(len(clips)), 100.0)
        return Compared(values, {"accuracy": statistic}, len(clips))


def sound_classifier() -> Any:
    """Of `log_mel_statistics`, by scikit-learn's methods `fit` and `predict`; not trained.

    Raises MissingPackageError.
    """
    sklearn = _sklearn()
    return sklearn.pipeline.make_pipeline(
        sklearn.preprocessing.StandardScaler(),
        sklearn.linear_model.LogisticRegression(max_iter=5000),
    )


def log_mel_statistics(audio: Audio, sample_rate: int) -> Features:
    """Mean and deviation over time, and mean change between frames, of mel bands in dB.

    At 16 kHz, windows of 64 ms, 64 bands, relative to the loudest: a gain changes nothing.
    """
    at_rate = resample(audio[None], sample_rate, RATE)[0].astype(np.float64)
    if len(at_rate) < WINDOW:
        at_rate = np.pad(at_rate, (0, WINDOW - len(at_rate)))
    bands = magnitudes(at_rate, WINDOW) @ mel_filters(RATE, WINDOW, BANDS)
    loudest = max(bands.max(), np.finfo(float).tiny)
    decibels = 20 * np.log10(np.maximum(bands / loudest, 10 ** (-FLOOR_DB / 20)))
    steps = np.abs(np.diff(decibels, axis=0))
    change = steps.mean(axis=0) if len(steps) else np.zeros(BANDS)
    return np.concatenate([decibels.mean(axis=0), decibels.std(axis=0), change])


def _sklearn() -> Any:
    with needs_extra("scores", "classifying sounds"):
        import sklearn
        import sklearn.linear_model
        import sklearn.model_selection
        import sklearn.pipeline
        import sklearn.preprocessing
    return sklearn
