"""The [training] table of a configuration file: objective, optimizers and schedule."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from l3ac_jax.config.data import DataConfig
from l3ac_jax.config.tables import (
    Fraction,
    Limit,
    NaturalInt,
    NonNegative,
    Positive,
    PositiveInt,
    Sizes,
    Table,
)

Method = Literal["adamw", "muon"]
Initialization = Literal["published", "fan_in"]


class LayerRate(Table, frozen=True):
    """A `layer`, as "decoder.output", whose parameters have `factor` times the learning rate."""

    layer: str
    factor: Positive


class OptimizerConfig(Table, frozen=True):
    """AdamW on a one-cycle schedule; Adam, when `weight_decay` is 0.

    Or `method` "muon": orthogonal updates for the kernels that mix channels, AdamW for all else
    (see training/muon.py). It takes about the same learning rates.

    The learning rate goes from `initial_rate` to `peak_rate` in the share `warmup` of the steps,
    back in as many, and on to `final_rate`; without `three_phase`, from the peak to `final_rate` at
    once, so that a short warm-up is no short time at high rates. For `layers`, times a factor.
    Gradients are scaled down to the norm `clip_norm`; `eps` is Adam's.
    """

    method: Method = "adamw"
    initial_rate: Positive = 5e-5
    peak_rate: Positive = 5e-4
    final_rate: Positive = 5e-6
    warmup: Fraction = 0.4
    three_phase: bool = True
    weight_decay: NonNegative = 0.0
    clip_norm: Positive = 1e4
    eps: Positive = 1e-8
    layers: tuple[LayerRate, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not 0 < self.warmup < 1:
            raise ValueError(f"warmup must be above 0 and below 1: got {self.warmup}")
        if self.three_phase and self.warmup > 0.5:
            raise ValueError(
                "warmup must be at most 0.5 with three_phase (it is needed twice): "
                f"got {self.warmup}"
            )
        return self


class LossWeights(Table, frozen=True):
    """Weights of the terms of the objective; 0 leaves a term out, and does not compute it.

    `waveform`, `stft` and `mel` are distances of samples and of spectra, `perceptual` that of
    Whisper's features. `adversarial` is what the discriminators say; to it `feature_matching` adds,
    with its own weight, the distance of their features.

    A term with a maximum (`perceptual_maximum`, `adversarial_maximum`) is scaled down to it where
    it is above, gradient and all; inf sets no limit. In the logarithms of `stft` and `mel`,
    magnitudes below the floor (`stft_floor`, `mel_floor`) count as the floor: the lower it is, the
    more the gradient is that of moments that are nearly silent. To the logarithms `mel` adds
    `mel_magnitude` times the distance of the magnitudes themselves (DAC's mag_weight), in which
    what is loud counts more.

    `usage` weighs how unevenly the quantizer's levels are used, in bits a token: what the
    frequencies of each dimension's levels in a batch lack of the entropy of equal ones.
    `distillation` weighs the mean squared distance of the quantizer's values, 0 to 1 and not yet
    rounded, from those of `training.teacher`. Neither counts in evaluations.
    """

    waveform: NonNegative = 100.0
    stft: NonNegative = 1.0
    stft_floor: Positive = 1e-8
    mel: NonNegative = 0.0
    mel_floor: Positive = 1e-5
    mel_magnitude: NonNegative = 0.0
    perceptual: NonNegative = 1.0
    perceptual_maximum: Limit = 5.0
    adversarial: NonNegative = 1.0
    adversarial_maximum: Limit = 10.0
    feature_matching: NonNegative = 2.0
    usage: NonNegative = 0.0
    distillation: NonNegative = 0.0


class DiscriminatorConfig(Table, frozen=True):
    """DAC's discriminators; trained in every `every`-th step.

    There is one for each of `periods`, of the waveform folded by it, with layers as wide as
    `period_widths`, and one for each of `fft_sizes`, of the spectrum, `spectrum_width` wide. FFT
    sizes are in samples at 16 kHz; at another rate windows are as long in time. Either list may be
    empty, which leaves discriminators of that kind out.
    """

    every: PositiveInt
    periods: tuple[PositiveInt, ...] = (2, 3, 5, 7, 11)
    fft_sizes: tuple[PositiveInt, ...] = (126, 542, 1418, 2296)
    period_widths: Sizes = (32, 128, 512, 1024, 1024)
    spectrum_width: PositiveInt = 32
    optimizer: OptimizerConfig = OptimizerConfig(weight_decay=1e-5, clip_norm=10.0)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.periods and not self.fft_sizes:
            raise ValueError(
                "periods and fft_sizes are both empty; for training without discriminators, set "
                "training.loss.adversarial to 0"
            )
        return self


class ValidationConfig(Table, frozen=True):
    """Evaluation on `data.evaluation` every `every` steps (None: once an epoch), and at the end.

    `examples` of the clips are kept as audio and spectrograms. Clips are decoded `batch_size` at a
    time and scored by `workers` processes (0: by the one that trains).
    """

    every: PositiveInt | None = None
    examples: NaturalInt = 3
    batch_size: PositiveInt = 4
    workers: NaturalInt = 2


class CheckpointConfig(Table, frozen=True):
    """A checkpoint every `every` steps and at every evaluation.

    The last `keep_last` of them are kept, and the `keep_best` best by what evaluation said of
    `best_by`: the lowest loss (of the terms that compare two signals, with the weights of the
    last stage), the highest score.
    """

    every: PositiveInt = 1000
    keep_last: PositiveInt = 2
    keep_best: PositiveInt = 1
    best_by: Literal["loss", "stoi", "pesq"] = "stoi"


class StageConfig(Table, frozen=True):
    """A stretch of a run after the first one: `epochs`, with a learning rate schedule of their own.

    A file says what changes; the rest is as in the stage before. Parameters, the moments of the
    optimizers and the average go on.
    """

    epochs: PositiveInt
    loss: LossWeights
    optimizer: OptimizerConfig
    data: DataConfig


class TrainingConfig(Table, frozen=True):
    """How long, towards what, and how it is kept. A step is one batch of the data.

    `epochs`, `loss` and `optimizer` are those of the first stage, and of the only one unless there
    are further `stages`. `seed` is that of the parameters and of the quantizer's noise; there is a
    line of the log every `log_every` steps.

    `initialization`, where it begins with random weights: "fan_in" scales kernels by their
    inputs and lets the decoder see what is fast (training/initialization.py), which helps short
    runs and small batches.
    A step is computed in `micro_batches` parts. With `average_decay` above 0, an exponential moving
    average of the weights is what is evaluated and kept as the model. `precision` is that of
    the factors of convolutions and matrix products: "float32", "tf32" (on a GPU 10 bits; on a CPU
    the same as float32) or "bfloat16" (8 bits). Parameters, losses, norms, upsampling, quantizer
    and optimizer are float32 in any case.
    `whisper` is the file of Whisper's weights, for the perceptual loss; without one they come from
    the hub. `teacher` is a model to learn from, where a loss has a weight for `distillation`: a
    name, a model folder or file, or a run. Its network may be any that has the same sample rate,
    tokens per second and levels.
    Training ends after `max_skipped` steps in a row that were not finite.
    """

    epochs: PositiveInt = 70
    seed: NaturalInt = 0
    initialization: Initialization = "published"
    precision: Literal["float32", "tf32", "bfloat16"] = "tf32"
    micro_batches: PositiveInt = 1
    average_decay: Annotated[float, Field(strict=True, ge=0, lt=1)] = 0.0
    whisper: Annotated[str, Field(strict=True, min_length=1)] | None = None
    teacher: Annotated[str, Field(strict=True, min_length=1)] | None = None
    max_skipped: PositiveInt = 20
    log_every: PositiveInt = 10
    loss: LossWeights = LossWeights()
    optimizer: OptimizerConfig = OptimizerConfig()
    discriminator: DiscriminatorConfig
    evaluation: ValidationConfig = ValidationConfig()
    checkpoints: CheckpointConfig = CheckpointConfig()
    stages: tuple[StageConfig, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        methods = {stage.optimizer.method for stage in self.stages} - {self.optimizer.method}
        if methods:
            raise ValueError(
                "stages have optimizers of another method than that of the first stage, "
                f"{self.optimizer.method!r}, whose state they go on with: {', '.join(methods)}"
            )
        learns = any(loss.distillation for loss in (self.loss, *(s.loss for s in self.stages)))
        if learns and self.teacher is None:
            raise ValueError(
                "loss.distillation is above 0, but there is no teacher to learn from: name a model "
                "as training.teacher"
            )
        if self.teacher is not None and not learns:
            raise ValueError(
                f"teacher is {self.teacher}, but loss.distillation, its weight, is 0 in every stage"
            )
        return self
