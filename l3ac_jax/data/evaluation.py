"""Evaluation clips: whole, in a fixed order, the same for everyone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import SupportsIndex

from l3ac_jax.config.data import EvaluationDataConfig
from l3ac_jax.data.clip import Clip, normalize
from l3ac_jax.data.dataset import ClipSource, open_corpus


class EvaluationClips(Sequence[Clip]):
    """The clips that a configuration evaluates on, corpus by corpus.

    Each corpus gives the same number, spread evenly over its split (all, where it has fewer),
    normalized by the level of the whole clip if the configuration says so. Clips longer than
    `seconds`, where that is given, are cut there. Raises DatasetError for corpora that are missing,
    damaged or at another rate.
    """

    def __init__(self, config: EvaluationDataConfig, sample_rate: int):
        self.config = config
        self._most = round(config.seconds * sample_rate) if config.seconds else None
        self._places: list[tuple[ClipSource, int]] = []
        parts = len(config.corpora)
        for part, corpus in enumerate(config.corpora):
            clips = open_corpus(corpus, config.split, sample_rate).clips
            share = config.clips * (part + 1) // parts - config.clips * part // parts
            count = min(share, len(clips))
            self._places += [(clips, i * len(clips) // count) for i in range(count)]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: SupportsIndex) -> Clip:  # type: ignore[override]
        clips, place = self._places[index]
        record = clips[place]
        audio = record.audio(0, min(record.info.samples, self._most or record.info.samples))
        if self.config.normalize:
            audio = normalize(audio, record.info.level)
        return Clip(replace(record.info, samples=len(audio)), audio)
