"""The published training in PyTorch: official network, objective, optimizers and schedules.

It does what the official training code does, which is in no package. What that code leaves slow can
be switched off (`tuned`), so that a comparison of speed is one with the faster PyTorch.
Needs the packages of the extra `torch`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from l3ac_jax.audio.mel import DAC_BANDS
from l3ac_jax.config.training import OptimizerConfig, TrainingConfig
from l3ac_jax.official.names import official_places
from l3ac_jax.oracle.codec import OfficialCodec, import_official
from l3ac_jax.oracle.discriminators import OfficialDiscriminators
from l3ac_jax.oracle.losses import (
    WhisperFeatures,
    discriminator_loss,
    feature_matching_loss,
    generator_loss,
    mel_loss,
    perceptual_loss,
    scale_down,
    stft_loss,
)

import_official()  # where torch is missing, its error says how to get it

import torch  # noqa: E402
from torch.nn.functional import l1_loss  # noqa: E402
from torch.nn.utils import clip_grad_norm_, parametrize  # noqa: E402

__all__ = ["OfficialTraining", "official_optimizer", "official_params"]

Terms = dict[str, torch.Tensor]


class OfficialTraining:
    """The steps of a run of `total` steps; trains `codec` in place, in the codec's own dtype.

    Everything is moved to `device` ("cuda"), the codec's network too; batches may be there already.

    `whisper` are the weights of Whisper's encoder under OpenAI's names, and `seed` that of the
    discriminators' initial values; both are needed only where the configuration weights their
    terms. One `step` is one batch of the official loop, without its gradient accumulation.
    """

    def __init__(
        self,
        codec: OfficialCodec,
        config: TrainingConfig,
        total: int,
        whisper: Mapping[str, NDArray] | None = None,
        seed: int = 0,
        tuned: bool = False,
        device: str = "cpu",
    ):
        self.codec, self.config, self.tuned, self.device = codec, config, tuned, device
        codec.network.to(device)
        parameters = list(codec.network.parameters())
        self.dtype = parameters[0].dtype
        self.optimizer = official_optimizer(config.optimizer, parameters, total, tuned)
        self.whisper = self.discriminators = self.discriminator_optimizer = None
        if config.loss.perceptual:
            if whisper is None:
                raise ValueError("the perceptual term needs Whisper's weights")
            self.whisper = WhisperFeatures(whisper, self.dtype, device)
        if config.loss.adversarial:
            sizes = config.discriminator
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                self.discriminators = OfficialDiscriminators(
                    sizes.periods, sizes.fft_sizes, sizes.period_widths, sizes.spectrum_width
                ).to(device, self.dtype)
            self.discriminator_optimizer = official_optimizer(
                sizes.optimizer, self.discriminators.parameters(), -(-total // sizes.every), tuned
            )

    def generator_step(self, audio: ArrayLike | torch.Tensor) -> Terms:
        """One step of the codec on (batch, samples): `loss`, and each term before weighting."""
        self.codec.network.train()
        with self._weights_kept(), _frozen(self.discriminators):
            loss, terms = self.objective(audio)
            clip_norm = self.config.optimizer.clip_norm
            _update(loss, self.codec.network, *self.optimizer, clip_norm)
        return {name: value.detach() for name, value in {"loss": loss, **terms}.items()}

    def objective(self, audio: ArrayLike | torch.Tensor) -> tuple[torch.Tensor, Terms]:
        """What a generator step minimizes, and each term of it before weighting."""
        weights, reference = self.config.loss, self._tensor(audio)
        generated = self.codec.network(reference)["generated_audio"]
        terms: Terms = {}
        loss = generated.new_zeros(())
        if weights.waveform:
            terms["waveform"] = l1_loss(generated, reference)
            loss = loss + weights.waveform * terms["waveform"]
        if weights.stft:
            terms["stft"] = stft_loss(generated, reference, floor=weights.stft_floor)
            loss = loss + weights.stft * terms["stft"]
        if weights.mel:
            rate = self.codec.config.sample_rate
            terms["mel"] = mel_loss(generated, reference, rate, DAC_BANDS, floor=weights.mel_floor)
            loss = loss + weights.mel * terms["mel"]
        if self.whisper:
            # Of the reference autograd keeps nothing, here and below: no leaf wants a derivative.
            features = [self.whisper(audio) for audio in (generated, reference)]
            terms["perceptual"] = perceptual_loss(*features)
            limited = _limited(terms["perceptual"], weights.perceptual_maximum)
            loss = loss + weights.perceptual * limited
        if self.discriminators:
            fake, real = (self.discriminators(audio) for audio in (generated, reference))
            terms["adversarial"] = generator_loss(fake)
            terms["features"] = feature_matching_loss(fake, real)
            both = terms["adversarial"] + weights.feature_matching * terms["features"]
            loss = loss + weights.adversarial * _limited(both, weights.adversarial_maximum)
        return loss, terms

    def discriminator_step(self, audio: ArrayLike | torch.Tensor) -> Terms:
        """One step of the discriminators, on audio that is generated without noise: `loss`."""
        assert self.discriminators is not None and self.discriminator_optimizer is not None
        reference = self._tensor(audio)
        self.codec.network.eval()
        with torch.no_grad():
            generated = self.codec.network(reference)["generated_audio"]
        with self._weights_kept():
            fake, real = (self.discriminators(audio) for audio in (generated, reference))
            loss = discriminator_loss(fake, real)
            clip_norm = self.config.discriminator.optimizer.clip_norm
            _update(loss, self.discriminators, *self.discriminator_optimizer, clip_norm)
        return {"loss": loss.detach()}

    def _tensor(self, audio: ArrayLike | torch.Tensor) -> torch.Tensor:
        tensor = audio if isinstance(audio, torch.Tensor) else torch.from_numpy(np.array(audio))
        return tensor.to(self.device, self.dtype)

    def _weights_kept(self) -> Any:
        """Normalized weights are computed once a step, not for each of two batches."""
        return parametrize.cached() if self.tuned else nullcontext()


def official_optimizer(
    config: OptimizerConfig,
    parameters: Iterable[torch.nn.Parameter],
    steps: int,
    fused: bool = False,
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.OneCycleLR]:
    """Adam, or AdamW with weight decay, and the one-cycle schedule over `steps`.

    `fused` is the same in one pass, which the official code does not use.
    """
    kind = torch.optim.AdamW if config.weight_decay else torch.optim.Adam
    optimizer = kind(
        parameters,
        lr=config.initial_rate,
        eps=config.eps,
        weight_decay=config.weight_decay,
        fused=fused or None,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=config.peak_rate,
        total_steps=steps,
        pct_start=config.warmup,
        div_factor=config.peak_rate / config.initial_rate,
        final_div_factor=config.initial_rate / config.final_rate,
        three_phase=config.three_phase,
    )
    return optimizer, schedule


def official_params(codec: OfficialCodec) -> dict[str, NDArray]:
    """A copy of the codec's parameters with our paths and axes, in the codec's dtype."""
    modules = codec.network.trainable_modules
    tensors = {f"{name}.pt": dict(module.named_parameters()) for name, module in modules.items()}
    return {
        path: place.to_ours(tensors[place.file][place.name].detach().cpu().numpy()).copy()
        for path, place in official_places(codec.config).items()
    }


def _update(
    loss: torch.Tensor,
    module: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    clip_norm: float,
) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    clip_grad_norm_(module.parameters(), clip_norm)
    optimizer.step()
    schedule.step()


@contextmanager
def _frozen(module: torch.nn.Module | None) -> Iterator[None]:
    """Without derivatives with respect to the parameters, as in the official generator step."""
    if module is None:
        yield
        return
    module.requires_grad_(False)
    try:
        yield
    finally:
        module.requires_grad_(True)


def _limited(value: torch.Tensor, maximum: float) -> torch.Tensor:
    return value if math.isinf(maximum) else scale_down(value, maximum)
