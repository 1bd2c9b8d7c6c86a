"""Continuations in figures: for each way of going on, means with intervals, and distances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from l3ac_jax.evaluation.report import Interval, confidence_interval
from l3ac_jax.generation.continuations import RECORDED, Continuation, Way
from l3ac_jax.metrics import generated, learned

__all__ = ["WayScores", "check_packages", "judged"]

Audio = Float[np.ndarray, " time"]


@dataclass(frozen=True)
class WayScores:
    """Of one way to go on: `scores` over clips, `distances` to what was recorded, over all.

    Scores are `repeated`, `periodicity`, `entropy` (bits), `quiet`, and for speech `dnsmos` and
    `similarity`; distances `mel` and for speech `voices`. What has no value is left out.
    """

    name: str
    scores: dict[str, Interval]
    distances: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        scores = {name: interval.model_dump() for name, interval in self.scores.items()}
        return {**asdict(self), "scores": scores}


def check_packages(voices: bool) -> None:
    """Raise MissingPackageError for packages that are not installed."""
    if voices:
        for score in ("speaker", "dnsmos"):
            learned.require(score)


def judged(
    ways: Sequence[Way],
    prompts: Sequence[Audio],
    sample_rate: int,
    levels: Sequence[int],
    voices: bool,
    seed: int,
) -> list[WayScores]:
    """The scores of each way; `prompts` are what was recorded before.

    The distances of the recordings themselves are between those of even and odd number: of half as
    many clips, so that they are larger than those that all clips would have.
    """
    (recorded,) = (way for way in ways if way.name == RECORDED)
    features = {
        kind: [of_audio(c.audio, sample_rate) for c in recorded.continuations]
        for kind, of_audio in _features(voices).items()
    }
    voice = [learned.voice(prompt, sample_rate) for prompt in prompts] if voices else None
    found = []
    for way in ways:
        rows = [_scores(c, sample_rate, levels) for c in way.continuations]
        if voice is not None:
            for row, continuation, own in zip(rows, way.continuations, voice, strict=True):
                row["dnsmos"] = learned.dnsmos(continuation.audio, sample_rate)
                new = learned.voice(continuation.audio, sample_rate)
                row["similarity"] = np.nan if own is None or new is None else float(own @ new)
        distances = {}
        for kind, of_audio in _features(voices).items():
            if way is recorded:
                pair = features[kind][::2], features[kind][1::2]
            else:
                pair = features[kind], [of_audio(c.audio, sample_rate) for c in way.continuations]
            distances[kind] = generated.frechet_distance(*map(np.concatenate, pair))
        scores = {
            name: interval
            for name in dict.fromkeys(name for row in rows for name in row)
            if (interval := confidence_interval([row.get(name) for row in rows], seed)) is not None
        }
        finite = {kind: value for kind, value in distances.items() if np.isfinite(value)}
        found.append(WayScores(way.name, scores, finite))
    return found


def _features(voices: bool) -> dict[str, Any]:
    features: dict[str, Any] = {"mel": generated.mel_windows}
    return features | ({"voices": learned.voice_windows} if voices else {})


def _scores(
    continuation: Continuation, sample_rate: int, levels: Sequence[int]
) -> dict[str, float]:
    scores = {"quiet": generated.quiet(continuation.audio, sample_rate)}
    if continuation.tokens is None:
        return scores
    return {
        "repeated": generated.repeated(continuation.tokens),
        "periodicity": generated.periodicity(continuation.tokens),
        "entropy": generated.level_entropy(continuation.tokens, levels),
        **scores,
    }
