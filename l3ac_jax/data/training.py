"""Training batches by Grain: shuffled, mixed, cropped, a pure function of (seed, step)."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import soxr
from jaxtyping import Float32, Int32

from l3ac_jax.config.data import DataConfig
from l3ac_jax.data.clip import Record, normalize
from l3ac_jax.data.dataset import ClipSource, Corpus, open_corpus
from l3ac_jax.errors import ConfigError
from l3ac_jax.system.packages import needs_extra

with needs_extra("train", "data for training"):
    import grain


class HostBatch(TypedDict):
    """Crops of one size; `lengths` in samples, what lies beyond is zero."""

    audio: Float32[np.ndarray, "batch time"]
    lengths: Int32[np.ndarray, " batch"]


class TrainingData:
    """The training batches of a configuration, by their number.

    Batch `step` is the same whenever, wherever and in whichever order it is asked for: there is no
    other state. Every process of several has `batch_size / process_count` crops of each batch, from
    its own shards. Raises DatasetError for corpora that are missing, damaged or at another rate,
    ConfigError for a batch size that the processes cannot share.
    """

    def __init__(
        self,
        config: DataConfig,
        sample_rate: int,
        process_index: int = 0,
        process_count: int = 1,
    ):
        if config.batch_size % process_count:
            raise ConfigError(
                f"data.batch_size is {config.batch_size}, which {process_count} processes cannot "
                "share evenly"
            )
        self.config = config
        self.batch_size = config.batch_size // process_count
        self.crop = round(config.seconds * sample_rate)
        if self.crop < 1:
            raise ConfigError(f"data.seconds is {config.seconds}: less than a sample")
        corpora = [
            open_corpus(corpus, "train", sample_rate, process_index, process_count)
            for corpus in config.corpora
        ]
        self.clips = sum(len(corpus.clips) for corpus in corpora)
        self.identity = _identity(config, sample_rate, process_count, corpora)
        self._batches = _pipeline(
            [corpus.clips for corpus in corpora],
            config,
            self.crop,
            self.batch_size,
            process_index,
        )

    def batch(self, step: int) -> HostBatch:
        """The batch of a step, from 0; there is one for every step up to 2**31."""
        batch = self._batches[step]
        assert batch is not None  # Grain's word for an element that a filter took out
        return batch


def _pipeline(
    corpora: list[ClipSource],
    config: DataConfig,
    length: int,
    batch_size: int,
    process_index: int,
) -> grain.MapDataset[HostBatch]:
    """Each corpus in a new order at each pass, endlessly; mixed in turn, by weight; cropped."""
    seeds = np.random.SeedSequence([config.seed, process_index]).generate_state(len(corpora) + 1)
    streams = [
        grain.MapDataset.source(clips).seed(int(seed)).shuffle().repeat()
        for clips, seed in zip(corpora, seeds[1:], strict=True)
    ]
    weights = [corpus.weight for corpus in config.corpora]
    mixed = grain.MapDataset.mix(streams, [weight / sum(weights) for weight in weights])
    crop = _Crop(length, config.normalize, config.gain_db, config.speed)
    crops = mixed.seed(int(seeds[0])).random_map(crop)
    return crops.batch(batch_size, batch_fn=_Stack(length))


@dataclass(frozen=True)
class _Crop(grain.transforms.RandomMap):
    """A random part of a clip, its level set by that of the whole clip.

    Of a clip that is played faster, a part that much longer.
    """

    length: int
    normalize: bool
    gain_db: tuple[float, float]
    speed: tuple[float, float]

    def random_map(self, record: Record, rng: np.random.Generator) -> Float32[np.ndarray, " time"]:
        samples = record.info.samples
        # Drawn in any case, so that one clip's length does not change another one's gain.
        place, gain, pace = rng.random(3)
        slow, fast = self.speed
        speed = slow * (fast / slow) ** pace
        part = math.ceil(self.length * speed)
        start = int(place * (max(0, samples - part) + 1))
        audio = record.audio(start, min(samples, part))
        if speed != 1:
            audio = soxr.resample(audio, speed, 1, quality="HQ")[: self.length]
        if self.normalize:
            audio = normalize(audio, record.info.level)
        low, high = self.gain_db
        if low or high:
            factor = np.float32(10 ** ((low + gain * (high - low)) / 20))
            audio = np.clip(audio * factor, -1, 1)
        return audio


@dataclass(frozen=True)
class _Stack:
    """Crops, some of them shorter than the others -> a batch of one size."""

    length: int

    def __call__(self, crops: Sequence[Float32[np.ndarray, " time"]]) -> HostBatch:
        audio = np.zeros((len(crops), self.length), np.float32)
        for row, crop in zip(audio, crops, strict=True):
            row[: len(crop)] = crop
        return HostBatch(audio=audio, lengths=np.array([len(crop) for crop in crops], np.int32))


def _identity(
    config: DataConfig,
    sample_rate: int,
    process_count: int,
    corpora: list[Corpus],
) -> str:
    """A checksum of all that the batches depend on, the same in all processes.

    Where the corpora lie, how many workers there are and what counts as an epoch do not matter.
    """
    without = {"corpora", "evaluation", "workers", "clips_per_epoch"}
    described = {
        "settings": config.model_dump(mode="json", exclude=without),
        "corpora": [
            (corpus.info.sha256, entry.weight)
            for corpus, entry in zip(corpora, config.corpora, strict=True)
        ],
        "rate and processes": (sample_rate, process_count),
    }
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
