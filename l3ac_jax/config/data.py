"""The [data] table of a configuration file: what a codec is trained and evaluated on."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from l3ac_jax.config.tables import Finite, NaturalInt, Positive, PositiveInt, Switch, Table

CorpusName = Literal["librispeech", "common-voice", "mtg-jamendo", "fsd50k", "folder"]
Split = Literal["train", "validation", "test"]


class CorpusConfig(Table, frozen=True):
    """One prepared corpus: the folder that experiments/prepare_data.py made, and its share.

    `corpus` says in which layout its recordings came. Crops come from the corpora in proportion to
    their `weight`.
    A relative `path` is seen from the file that names it; `$NAME` in it is an environment variable.
    """

    corpus: CorpusName
    path: Annotated[str, Field(strict=True, min_length=1)]
    weight: Positive = 1.0


Corpora = Annotated[tuple[CorpusConfig, ...], Field(min_length=1)]


class EvaluationDataConfig(Table, frozen=True):
    """Whole clips in a fixed order: `clips` of them, spread evenly over each corpus' `split`.

    With `seconds`, clips that are longer are cut there. `normalize` is that of [data].
    """

    corpora: Corpora
    split: Split = "validation"
    clips: PositiveInt = 320
    seconds: Positive | None = None
    normalize: Switch = True


class DataConfig(Table, frozen=True):
    """Random crops of training clips, mixed by weight.

    A batch has `batch_size` crops of `seconds`, over all devices and hosts together; shorter clips
    are padded with zeros. An epoch is `clips_per_epoch` crops. `normalize` brings the mean of the
    largest 0.1 % of |x| of the whole clip to 0.75, then clips to [-1, 1]. `gain_db` = [low, high]
    then changes the level by a random number of decibels. `speed` = [low, high] plays a crop that
    many times as fast, pitch and all: other voices from the same recordings. The crops follow from
    `seed` and the step alone; `workers` processes make them (0: the process that trains).
    """

    corpora: Corpora
    batch_size: PositiveInt = 24
    seconds: Positive
    clips_per_epoch: PositiveInt = 90_000
    normalize: Switch = True
    gain_db: tuple[Finite, Finite] = (0.0, 0.0)
    speed: tuple[Positive, Positive] = (1.0, 1.0)
    workers: NaturalInt = 2
    seed: NaturalInt = 0
    evaluation: EvaluationDataConfig | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name, (low, high) in {"gain_db": self.gain_db, "speed": self.speed}.items():
            if low > high:
                raise ValueError(f"{name} must be [low, high], got [{low}, {high}]")
        if self.clips_per_epoch < self.batch_size:
            raise ValueError(
                f"clips_per_epoch must be at least batch_size, {self.batch_size}: "
                f"got {self.clips_per_epoch}"
            )
        return self

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in an epoch."""
        return self.clips_per_epoch // self.batch_size
