"""The official PyTorch package as an oracle: its network with seeded weights, NumPy in and out.

Needs the packages of the extra `torch`. The published weights cannot be fetched everywhere, and at
its initial values half of the network is invisible (GRN and biases are zero, norms are one), so
`seeded_codec` moves every parameter off its initial value, at scales that keep signals sane.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from l3ac_jax.config import CodecConfig
from l3ac_jax.official.config import from_official_config, to_official_config
from l3ac_jax.system.packages import needs_extra

if TYPE_CHECKING:
    import torch

__all__ = ["OfficialCodec", "import_official", "seeded_codec"]


def seeded_codec(
    config: CodecConfig | Mapping[str, Any], seed: int = 0, dtype: DTypeLike = np.float32
) -> OfficialCodec:
    """The official network, in eval mode, with the weights that belong to a seed.

    `config` is ours or the content of an official TOML file; `dtype` is float32 or float64, and the
    same seed gives the same weights in both (they are drawn in float32). The global random state
    is neither used nor changed. Raises MissingPackageError without the official package,
    ConfigError for a configuration that it cannot express.
    """
    codec = OfficialCodec(config)
    generator = import_official()[0].Generator().manual_seed(seed)
    _move_off_initial_values(codec, generator)
    _spread_over_levels(codec, generator)
    return codec.astype(dtype)


class OfficialCodec:
    """The official network, and its calls with NumPy arrays.

    `network` is the torch module (`l3ac.en_codec.EnCodec`); for gradients, call
    `differentiable_encode` and `differentiable_decode` with tensors.
    """

    def __init__(self, config: CodecConfig | Mapping[str, Any]):
        torch, en_codec = import_official()
        if not isinstance(config, CodecConfig):
            config = from_official_config(config)
        self.config = config
        network_config = to_official_config(config)["network_config"]
        # Construction draws initial values that are overwritten; leave the caller's state alone.
        with torch.random.fork_rng(devices=[]):
            self.network = en_codec.EnCodec(en_codec.ModelConfig(**network_config)).eval()
        for module in self.network.modules():
            if type(module).__name__ == "DynamicPositionBias":
                module.mlp.register_forward_pre_hook(_cast_to_weights)

    def astype(self, dtype: DTypeLike) -> OfficialCodec:
        """Itself, with all parameters converted in place. Returns self."""
        torch, _ = import_official()
        self.network.to({"float32": torch.float32, "float64": torch.float64}[np.dtype(dtype).name])
        return self

    def encode_features(self, audio: ArrayLike) -> NDArray:
        """Audio (batch, samples) -> features before the quantizer (batch, tokens, feature_dim)."""
        return self._without_gradient(self.differentiable_encode, audio)

    def quantize(self, features: ArrayLike) -> tuple[NDArray, NDArray[np.int32]]:
        """Features -> quantized features of the same shape, and tokens (batch, tokens)."""
        torch, _ = import_official()
        with torch.no_grad():
            quantized, indices, _ = self.network.quantizer(self._tensor(features))
        return quantized.numpy(), indices["indices"].numpy()

    def quantizer_levels(self, features: ArrayLike) -> NDArray:
        """Where each element stands on its scale before rounding: 0 ... levels - 1, real."""
        torch, _ = import_official()
        with torch.no_grad():
            quantizer = self.network.quantizer
            latents = quantizer.project_in(self._tensor(features))
            return (quantizer.vq.act(latents) * (quantizer.vq.levels - 1)).numpy()

    def encode(self, audio: ArrayLike) -> tuple[NDArray, NDArray[np.int32]]:
        """Audio (batch, samples) -> quantized features and tokens, as in `encode_audio`."""
        return self.quantize(self.encode_features(audio))

    def decode(self, features: ArrayLike) -> NDArray:
        """Quantized features (batch, tokens, feature_dim) -> audio (batch, tokens * hop)."""
        return self._without_gradient(self.differentiable_decode, features)

    def decode_tokens(self, tokens: ArrayLike) -> NDArray:
        """Tokens (batch, tokens) -> audio (batch, tokens * hop)."""
        return self.decode(self.token_features(tokens))

    def token_features(self, tokens: ArrayLike) -> NDArray:
        """Tokens (batch, tokens) -> quantized features (batch, tokens, feature_dim)."""
        torch, _ = import_official()
        quantizer = self.network.quantizer
        with torch.no_grad():
            codes = quantizer.vq.indices_to_codes(torch.from_numpy(np.array(tokens, np.int32)))
            # Integer division gives float32 codes whatever the network computes in.
            return quantizer.project_out(codes.to(self._dtype)).numpy()

    def differentiable_encode(self, audio: torch.Tensor) -> torch.Tensor:
        """As `encode_features`, tensor to tensor, with gradients."""
        padded, _ = self.network.preprocess(audio)
        return self.network.en_encoder(self.network.encoder(padded.unsqueeze(1)))

    def differentiable_decode(self, features: torch.Tensor) -> torch.Tensor:
        """As `decode`, tensor to tensor, with gradients."""
        return self.network.decoder(self.network.en_decoder(features)).squeeze(1)

    def save_checkpoint(self, folder: str | os.PathLike[str]) -> None:
        """Write the five .pt files into a folder, as the official training code does."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        self.network.save_model(model_path=Path(folder))

    @property
    def _dtype(self) -> torch.dtype:
        return next(self.network.parameters()).dtype

    def _tensor(self, array: ArrayLike) -> torch.Tensor:
        torch, _ = import_official()
        return torch.from_numpy(np.array(array)).to(self._dtype)

    def _without_gradient(
        self, function: Callable[[torch.Tensor], torch.Tensor], array: ArrayLike
    ) -> NDArray:
        torch, _ = import_official()
        with torch.no_grad():
            return function(self._tensor(array)).numpy()


def import_official() -> tuple[Any, Any]:
    """The modules `torch` and `l3ac.en_codec`. Raises MissingPackageError."""
    with needs_extra("torch", "comparing with the official code"), warnings.catch_warnings():
        # It scripts two of its functions, which torch 2.13 deprecates.
        warnings.simplefilter("ignore", DeprecationWarning)
        import l3ac.en_codec
        import local_attention  # noqa: F401  (l3ac imports it only when a network is built)
        import torch
    return torch, l3ac.en_codec


def _cast_to_weights(mlp: torch.nn.Sequential, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """The official bias MLP makes float32 distances, which a float64 network cannot take."""
    return (arguments[0].to(mlp[0].weight.dtype),)


# How each parameter is drawn: (pattern in its name, (distribution, parameters)), the first match
# counts. A weight-normed layer with gain 1 keeps the variance of what it reads, so gains are about
# 1, about 0.3 where a layer closes a residual branch, larger where speech (rms about 0.1) comes in,
# and smaller in front of the last tanh and in front of the instance norms, which would otherwise
# hide gains and their own epsilon. "fan_in" is a normal distribution whose deviation is
# divided by the square root of the number of inputs; "per_window" divides by the attention window,
# since the bias MLP reads distances in tokens.
_ENHANCE = r"^decoder\.blocks\.\d+\.blocks\.\d+\.1\."
_Rule = tuple[str, tuple[str, float, float]]
_RULES: tuple[_Rule, ...] = (
    (r"alpha$", ("uniform", 0.5, 1.5)),
    (r"grn\.gamma$", ("uniform", -0.4, 0.4)),
    (r"original1$", ("normal", 0.0, 0.05)),
    (r"^encoder\.blocks\.0\.blocks\..*original0$", ("uniform", 4.0, 8.0)),
    (r"(pw_conv2|block\.3)\..*original0$", ("uniform", 0.2, 0.4)),
    (r"^decoder\.blocks\.\d+\.block\.2\..*original0$", ("uniform", 0.1, 0.15)),
    (_ENHANCE + r".*original0$", ("uniform", 0.03, 0.08)),
    (_ENHANCE + r"bias$", ("normal", 0.0, 0.03)),
    (r"original0$", ("uniform", 0.7, 1.3)),
    (r"merge_layer\.1\.weight$", ("normal", 0.0, 0.2)),
    (r"project_in\.weight$", ("fan_in", 0.0, 1.0)),
    (r"project_out\.weight$", ("fan_in", 0.0, 1.7)),
    (r"mlp\.0\.weight$", ("per_window", 0.0, 4.0)),
    (r"mlp\.2\.weight$", ("fan_in", 0.0, 1.5)),
    (r"mlp\.4\.weight$", ("fan_in", 0.0, 2.0)),
    (r"(to_qkv|1\.1)\.weight$", ("fan_in", 0.0, 1.0)),
    (r"(to_out|1\.4)\.weight$", ("fan_in", 0.0, 0.7)),
    (r"weight$", ("uniform", 0.7, 1.3)),  # the norms'
    (r"(bias|beta)$", ("normal", 0.0, 0.1)),
)


def _move_off_initial_values(codec: OfficialCodec, generator: torch.Generator) -> None:
    torch, _ = import_official()
    window = codec.config.transformer.window_size
    with torch.no_grad():
        for name, parameter in codec.network.named_parameters():
            kind, first, second = next(rule for pattern, rule in _RULES if re.search(pattern, name))
            if kind == "uniform":
                parameter.uniform_(first, second, generator=generator)
                continue
            scale = {"fan_in": parameter[0].numel() ** -0.5, "per_window": 1 / window}.get(kind, 1)
            parameter.normal_(first, second * scale, generator=generator)


def _spread_over_levels(codec: OfficialCodec, generator: torch.Generator) -> None:
    """Centre and scale the quantizer's input, so that every dimension uses its levels.

    Random features vary little around an offset of their own, which alone can saturate the tanh.
    """
    torch, _ = import_official()
    quantizer = codec.network.quantizer
    if isinstance(quantizer.project_in, torch.nn.Identity):
        return
    noise = torch.randn(1, codec.config.sample_rate, generator=generator)
    swelling = torch.sin(torch.linspace(0, 20, noise.shape[-1])) ** 2
    with torch.no_grad():
        latents = quantizer.project_in(codec.differentiable_encode(0.1 * swelling * noise))
        deviation, mean = torch.std_mean(latents, dim=(0, 1))
        # Coarse steps, so that the last bits of another machine give the same weights.
        factor = torch.round(8 * _LATENT_DEVIATION / deviation) / 8
        quantizer.project_in.weight *= factor[:, None]
        quantizer.project_in.bias.copy_(
            -torch.round(8 * factor * mean) / 8 + noise[0, : len(mean)] / 16
        )


_LATENT_DEVIATION = 0.8
