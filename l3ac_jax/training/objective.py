"""What generator and discriminators minimize: the terms of the losses, weighted."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypedDict, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from l3ac_jax.audio.windows import window_at
from l3ac_jax.config import CodecConfig
from l3ac_jax.config.stages import terms_of
from l3ac_jax.config.training import LossWeights, TrainingConfig
from l3ac_jax.model.folding import folded_params
from l3ac_jax.model.fsq import Latents, Noise
from l3ac_jax.model.network import Network, Reconstruction, token_counts
from l3ac_jax.model.ops.backend import lowerings
from l3ac_jax.model.precision import (
    PRODUCTS,
    TrainingPrecision,
    network_dtype,
    stated_products,
)
from l3ac_jax.training import losses
from l3ac_jax.training.discriminators import Discriminators
from l3ac_jax.training.resampling import resampled
from l3ac_jax.training.whisper import SAMPLE_RATE as WHISPER_RATE
from l3ac_jax.training.whisper import perceptual_features

Scalar = Float[Array, ""]
Terms = dict[str, Scalar]
Weights = dict[str, Float[Array | np.ndarray, ""]]
"""the fields of `LossWeights` as float32 scalars"""


class Batch(TypedDict):
    """Clips of one size; `lengths` in samples."""

    audio: Float[Array, "batch time"]
    lengths: Int[Array, " batch"]


@dataclass(frozen=True)
class Objective:
    """What of the published objective is computed; its weights and limits are arguments.

    `terms` are those of `config.stages.TERMS` that are computed, whatever their weights: a static
    fact of a compiled program, as is whether it needs discriminators and Whisper.
    """

    config: CodecConfig
    terms: frozenset[str]
    discriminators: Discriminators
    precision: TrainingPrecision = "tf32"
    teacher: CodecConfig | None = None
    """the network whose values are learnt, where there is a term of distillation"""

    @property
    def dtype(self) -> DTypeLike:
        """Of the factors of convolutions and matrix products."""
        return network_dtype(self.precision)

    def gradient(self, loss: Callable[..., tuple[Scalar, Terms]]) -> Callable[..., Any]:
        """`jax.value_and_grad` of one of the methods below, its products as `precision` says."""
        gradient = jax.value_and_grad(loss, has_aux=True)

        def stated(*arguments: Any) -> Any:
            with stated_products(PRODUCTS[self.precision]):
                return gradient(*arguments)

        return stated

    @property
    def adversarial(self) -> bool:
        """Whether discriminators are needed."""
        return "adversarial" in self.terms

    def init_discriminators(self, key: Array) -> dict:
        """Random parameters of the discriminators."""
        audio = jnp.zeros((1, self.config.sample_rate))
        return dict(self.discriminators.init(key, audio)["params"])

    def of_generator(
        self,
        params: dict,
        discriminators: dict | None,
        whisper: dict | None,
        batch: Batch,
        weights: Weights,
        noise: Noise | None = None,
        teacher: dict | None = None,
    ) -> tuple[Scalar, Terms]:
        """The weighted sum, and each term before weighting.

        `discriminators`, `whisper` and `teacher` (`load_teacher`) are parameters that stay as they
        are; None where their terms are left out. Without `noise` the quantizer only rounds.
        """
        audio, lengths = batch["audio"], batch["lengths"]
        result = self._reconstruct(params, batch, noise)
        generated = result.audio
        total, terms = self._compare(generated, whisper, batch, weights)
        if "usage" in self.terms:
            assert result.squashed is not None
            levels, tokens = self.config.quantizer.levels, token_counts(lengths, self.config)
            terms["usage"] = losses.usage_loss(result.squashed, levels, tokens)
            total += weights["usage"] * terms["usage"]
        if "distillation" in self.terms:
            assert teacher is not None and result.squashed is not None
            target, tokens = self._taught(teacher, batch), token_counts(lengths, self.config)
            terms["distillation"] = losses.distillation_loss(result.squashed, target, tokens)
            total += weights["distillation"] * terms["distillation"]
        if self.adversarial:
            assert discriminators is not None
            fake, real = (self._judge(discriminators, x, lengths) for x in (generated, audio))
            counts = self.discriminators.map_lengths(lengths)
            terms["adversarial"] = losses.generator_loss(fake, counts)
            terms["features"] = losses.feature_matching_loss(fake, real, counts)
            both = terms["adversarial"] + weights["feature_matching"] * terms["features"]
            limited = losses.scale_down(both, weights["adversarial_maximum"])
            total += weights["adversarial"] * limited
        return total, terms

    def of_evaluation(
        self, params: dict, whisper: dict | None, batch: Batch, weights: Weights
    ) -> tuple[Reconstruction, Terms]:
        """What comes out without noise, and its `loss`: the terms that compare two signals."""
        with stated_products(PRODUCTS[self.precision]):
            result = self._reconstruct(params, batch)
            total, terms = self._compare(result.audio, whisper, batch, weights)
        return result._replace(squashed=None), {"loss": total, **terms}

    def _compare(
        self, generated: Array, whisper: dict | None, batch: Batch, weights: Weights
    ) -> tuple[Scalar, Terms]:
        """The terms that compare two signals, and their weighted sum."""
        audio, lengths = batch["audio"], batch["lengths"]
        terms: Terms = {}
        total = jnp.zeros(())
        if "waveform" in self.terms:
            terms["waveform"] = losses.waveform_loss(generated, audio, lengths)
            total += weights["waveform"] * terms["waveform"]
        if "stft" in self.terms:
            terms["stft"] = losses.stft_loss(
                generated, audio, self.config.sample_rate, lengths, floor=weights["stft_floor"]
            )
            total += weights["stft"] * terms["stft"]
        if "mel" in self.terms:
            terms["mel"] = losses.mel_loss(
                generated,
                audio,
                self.config.sample_rate,
                lengths,
                weights["mel_magnitude"] if "mel_magnitude" in self.terms else None,
                floor=weights["mel_floor"],
            )
            total += weights["mel"] * terms["mel"]
        if "perceptual" in self.terms:
            assert whisper is not None
            rate = self.config.sample_rate
            ours, reference = (
                perceptual_features(
                    whisper, *resampled(x, rate, WHISPER_RATE, lengths), dtype=self.dtype
                )
                for x in (generated, audio)
            )
            terms["perceptual"] = losses.perceptual_loss(ours, jax.lax.stop_gradient(reference))
            limited = losses.scale_down(terms["perceptual"], weights["perceptual_maximum"])
            total += weights["perceptual"] * limited
        return total, terms

    def of_discriminators(
        self, discriminators: dict, params: dict, batch: Batch
    ) -> tuple[Scalar, Terms]:
        """Least squares on real audio, and on audio that is generated without noise."""
        lengths = batch["lengths"]
        generated = jax.lax.stop_gradient(self._reconstruct(params, batch).audio)
        fake, real = self._judge_both(discriminators, generated, batch["audio"], lengths)
        counts = self.discriminators.map_lengths(lengths)
        loss = losses.discriminator_loss(fake, real, counts)
        return loss, {}

    def _reconstruct(
        self, params: dict, batch: Batch, noise: Noise | None = None
    ) -> Reconstruction:
        network = self._network(self.config)
        # Folded in the step: affine maps and weight norm then cost by parameter and not by frame.
        with stated_products("float32"):
            folded = folded_params(params, self.config)
        result = network.apply({"params": folded}, batch["audio"], batch["lengths"], noise)
        return cast(Reconstruction, result)

    def _taught(self, teacher: dict, batch: Batch) -> Latents:
        """The values of the teacher's quantizer."""
        assert self.teacher is not None
        variables, network = {"params": teacher}, self._network(self.teacher)
        values = network.apply(variables, batch["audio"], batch["lengths"], method="squash")
        return cast(Latents, values)

    def _network(self, config: CodecConfig) -> Network:
        # In float32 the network computes as its input is, so that float64 stays that.
        low = None if self.dtype == jnp.float32 else self.dtype
        return Network(config, folded=True, dtype=low)

    def _judge(self, params: dict, audio: Array, lengths: Array) -> losses.FeatureMaps:
        maps = self.discriminators.apply({"params": params}, audio, lengths)
        return cast(losses.FeatureMaps, maps)

    def _judge_both(
        self, params: dict, generated: Array, audio: Array, lengths: Array
    ) -> tuple[losses.FeatureMaps, losses.FeatureMaps]:
        if lowerings().judged_pairs == "apart":
            return self._judge(params, generated, lengths), self._judge(params, audio, lengths)
        # A clip lies beside what was made of it: of several devices each keeps its own clips.
        pairs = jnp.stack([generated, audio], axis=1).reshape(-1, audio.shape[-1])
        maps = self._judge(params, pairs, jnp.repeat(lengths, 2))
        return jax.tree.map(lambda x: x[0::2], maps), jax.tree.map(lambda x: x[1::2], maps)


def make_objective(
    config: CodecConfig,
    training: TrainingConfig,
    terms: frozenset[str] | None = None,
    teacher: CodecConfig | None = None,
) -> Objective:
    """The objective of a configuration, with these `terms` or those that have a weight.

    `teacher` is the network of `training.teacher`.
    """
    judges = training.discriminator
    discriminators = Discriminators(
        judges.periods,
        tuple(window_at(size, config.sample_rate) for size in judges.fft_sizes),
        judges.period_widths,
        judges.spectrum_width,
        network_dtype(training.precision),
    )
    if terms is None:
        terms = terms_of(training.loss)
    return Objective(config, terms, discriminators, training.precision, teacher)


def loss_weights(table: LossWeights) -> Weights:
    """The weights, limits and floors of a configuration as arguments of an objective."""
    return {name: np.asarray(value, np.float32) for name, value in table}
