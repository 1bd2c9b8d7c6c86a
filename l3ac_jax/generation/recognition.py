"""Whether a recognizer knows what a labelled language model was told to say.

The recognizer is the one of sounds (`l3ac_jax.evaluation.applications.sounds`): a logistic
regression on log-mel statistics, trained on recordings that the language model has not heard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import jax
import numpy as np
from jaxtyping import Float, Int

from l3ac_jax.codec.l3ac import L3AC
from l3ac_jax.errors import ArgumentError
from l3ac_jax.evaluation.applications.application import label_of
from l3ac_jax.evaluation.applications.sounds import log_mel_statistics, sound_classifier
from l3ac_jax.evaluation.clips import EvaluationClip, read_mono
from l3ac_jax.evaluation.report import Interval, confidence_interval
from l3ac_jax.generation.continuations import Drawing
from l3ac_jax.generation.folder import TrainedModel
from l3ac_jax.generation.sampling import language_tokens, sampled_tokens
from l3ac_jax.metrics.generated import copied

__all__ = ["Recognizer", "Said", "drawn", "recorded", "said_again", "share_copied"]

BATCH = 16  # sounds that are drawn at once

Audio = Float[np.ndarray, " time"]


@dataclass(frozen=True)
class Said:
    """A sound that should be of a label; a recording has no tokens."""

    label: str
    audio: Audio
    tokens: Int[np.ndarray, " n"] = field(default_factory=lambda: np.zeros(0, np.int32))


class Recognizer:
    """Trained on sounds of each label. Raises ArgumentError for less than two labels."""

    def __init__(self, sounds: Sequence[Said], sample_rate: int):
        if len({sound.label for sound in sounds}) < 2:
            raise ArgumentError("a recognizer needs recordings of two labels or more")
        self._sample_rate, self._classifier = sample_rate, sound_classifier()
        self._classifier.fit(self._features(sounds), [sound.label for sound in sounds])

    def accuracy(self, sounds: Sequence[Said], seed: int) -> Interval:
        """Share (%) of sounds that it takes for what they should be, with its interval."""
        found = self._classifier.predict(self._features(sounds))
        right = [100.0 * (a == b.label) for a, b in zip(found, sounds, strict=True)]
        interval = confidence_interval(right, seed)
        assert interval is not None
        return interval

    def _features(self, sounds: Sequence[Said]) -> Float[np.ndarray, "sounds features"]:
        return np.stack([log_mel_statistics(sound.audio, self._sample_rate) for sound in sounds])


def recorded(clips: Sequence[EvaluationClip], codec: L3AC, labels: Sequence[str]) -> list[Said]:
    """Recordings of these labels, which are their folders, at the codec's rate."""
    return [
        Said(label_of(clip), read_mono(clip.path, codec.sample_rate))
        for clip in clips
        if label_of(clip) in labels
    ]


def said_again(sounds: Sequence[Said], codec: L3AC) -> list[Said]:
    """The same, as the codec gives them back."""
    tokens = [np.asarray(codec.encode(sound.audio[None]))[0] for sound in sounds]
    return [
        Said(sound.label, _decoded(codec, row)[: len(sound.audio)], row)
        for sound, row in zip(sounds, tokens, strict=True)
    ]


def drawn(
    trained: TrainedModel, codec: L3AC, labels: Sequence[str], drawing: Drawing, seed: int
) -> list[Said]:
    """A sound for each of `labels`, as long as their recordings usually are.

    Raises ArgumentError for what is no label of the model.
    """
    found: list[Said] = []
    for first in range(0, len(labels), BATCH):
        # Always as many and as long: the program of the first is taken from the cache for all.
        part = list(labels[first : first + BATCH])
        rows = part + part[:1] * (BATCH - len(part))
        model = language_tokens(
            trained, temperature=drawing.temperature, top_p=drawing.top_p, labels=rows
        )
        key = jax.random.fold_in(jax.random.key(seed), first)
        tokens = sampled_tokens(model, key, max(trained.labels.values()))
        for label, row in zip(part, tokens, strict=False):
            own = row[: trained.labels[label]]
            found.append(Said(label, _decoded(codec, own), own))
    return found


def share_copied(sounds: Sequence[Said], known: Sequence[Said]) -> float:
    """Mean share of runs of three tokens that are in a known sound of the same label."""
    of_label = {
        label: [sound.tokens for sound in known if sound.label == label]
        for label in {sound.label for sound in sounds}
    }
    return float(np.mean([copied(sound.tokens, of_label[sound.label]) for sound in sounds]))


def _decoded(codec: L3AC, tokens: Int[np.ndarray, " n"]) -> Audio:
    return np.asarray(codec.decode(tokens[None]))[0]
