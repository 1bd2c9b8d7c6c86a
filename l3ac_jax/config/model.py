"""The [model] table of a configuration file: everything that determines the network."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from l3ac_jax.config.tables import (
    Count,
    Counts,
    Fraction,
    NonNegative,
    SampleRate,
    Switch,
    Table,
    Width,
    Widths,
)

MOST_SAMPLES_OF_A_TOKEN = 2**16


class EncoderConfig(Table, frozen=True):
    """The convolutional encoder, from the waveform on.

    `rates` are its strides; `dims` and `depths` are the widths and the numbers of units before each
    stride and after the last one.
    """

    rates: Widths
    dims: Widths
    depths: Counts

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_stages(self)
        return self


class DecoderConfig(Table, frozen=True):
    """As the encoder, in the decoder's own order: from the token side to the waveform.

    `rates` are the factors of its upsamplings; `dims` and `depths` are widths and numbers of units
    before each of them and after the last one. `last_layer` is what comes before the waveform:
    "legacy" (residual units, dilations 1, 3 and 9), "dilation" (the encoder's units with these
    dilations) or "plain" (two of the encoder's units).

    `norm_statistics` are those of the norms of the pooled views: over the whole clip, as published,
    over what came so far ("running"), or "none", without such norms.

    `upsampling` is "linear", as published, "nearest" (each frame so many times), or "transposed" (a
    transposed convolution whose kernel is as wide as its stride). The last two wait for no frame;
    the last one has more parameters than the others.
    """

    rates: Widths
    dims: Widths
    depths: Counts
    last_layer: Literal["legacy", "dilation", "plain"] = "legacy"
    norm_statistics: Literal["clip", "running", "none"] = "clip"
    upsampling: Literal["linear", "nearest", "transposed"] = "linear"

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_stages(self)
        return self


class TPoolingConfig(Table, frozen=True):
    """The pooled views of the waveform; without `enabled`, the convolutions stay, unpooled.

    With `absolute` it is |x| that is pooled, as published, else x. A view for each of
    `encoder_kernels`, samples wide, goes into the encoder, and for each of `decoder_kernels` into
    every stage of the decoder; a kernel of 1 pools nothing.
    """

    enabled: Switch = True
    absolute: Switch = True
    encoder_kernels: Widths = (1, 5, 11, 21, 45)
    decoder_kernels: Widths = (1, 3, 5, 9)

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("encoder_kernels", "decoder_kernels"):
            if any(kernel % 2 == 0 for kernel in getattr(self, name)):
                raise ValueError(f"{name} must be odd (windows are centred on a sample)")
        return self


class TransformerConfig(Table, frozen=True):
    """The local transformers around the quantizer: `encoder_depth`, `decoder_depth` layers.

    A token sees its own window up to itself, and the whole window before; with `attention` "full",
    for comparison, all tokens before it. `position` is learned, a bias by distance
    ("dynamic_bias"), or "rotary".

    `window_size` counts tokens after compression by `compress_rate`. With compression, layers are
    split between the long window (before it, window_size * compress_rate) and the short one: half
    of the encoder's, rounded down, and the last 2 of the decoder's run at the long window.

    Each of the `heads` is `head_dim` wide, or a quarter of model.feature_dim, as published.
    """

    encoder_depth: Count
    decoder_depth: Count
    window_size: Width
    compress_rate: Count
    position: Literal["dynamic_bias", "rotary"] = "dynamic_bias"
    attention: Literal["local", "full"] = "local"
    heads: Count = 6
    head_dim: Width | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.compress_rate > 1:
            for name in ("encoder_depth", "decoder_depth"):
                if getattr(self, name) < 2:
                    raise ValueError(f"{name} must be at least 2 when compress_rate is above 1")
        return self


class QuantizerConfig(Table, frozen=True):
    """Finite scalar quantization.

    `levels` are those of each dimension; their product is the size of the codebook. In training,
    the share `noise_rate` of the values gets noise as large as the rounding instead of rounding.
    """

    levels: Annotated[tuple[Annotated[int, Field(strict=True, ge=2)], ...], Field(min_length=1)]
    noise_rate: Fraction = 0.5

    @model_validator(mode="after")
    def _check(self) -> Self:
        if math.prod(self.levels) >= 2**31:
            raise ValueError("levels must multiply to less than 2**31 (tokens are int32)")
        return self


class CodecConfig(Table, frozen=True):
    """Everything that determines the network: the [model] table of a configuration file.

    `sample_rate` is in Hz; `feature_dim` is the width of the features between encoder, transformers
    and decoder. `use_norm` is about the norms over channels between and in the convolutional units,
    `activation` about these units.

    `grn` is the global response normalization of the convolutional units: the published one acts
    on each channel alone, ConvNeXt-V2's compares channels over the whole clip.

    With `causal`, convolutions, pooling and upsampling look at the past alone, but for
    `look_ahead_ms` that encoder and decoder together see of the future after a token's own hop:
    each layer the same time of it, at most half of what it sees. Parameters have the same shapes as
    without.
    """

    sample_rate: SampleRate = 16000
    feature_dim: Width = 128
    use_norm: Switch = True
    activation: Literal["snake", "gelu"] = "snake"
    grn: Literal["published", "convnext_v2"] = "published"
    causal: Switch = False
    look_ahead_ms: NonNegative = 0.0
    encoder: EncoderConfig
    decoder: DecoderConfig
    tpooling: TPoolingConfig = TPoolingConfig()
    transformer: TransformerConfig
    quantizer: QuantizerConfig

    @model_validator(mode="after")
    def _check(self) -> Self:
        up, down = math.prod(self.decoder.rates), self.encoder_hop
        if self.hop_length > MOST_SAMPLES_OF_A_TOKEN:
            raise ValueError(
                f"encoder.rates and transformer.compress_rate multiply to {self.hop_length}, more "
                f"than {MOST_SAMPLES_OF_A_TOKEN} samples a token"
            )
        if up != down:
            raise ValueError(f"decoder.rates multiply to {up}, encoder.rates to {down}")
        if self.look_ahead_ms and not self.causal:
            raise ValueError("look_ahead_ms is for causal models: it needs causal = true")
        if self.causal and self.grn == "convnext_v2":
            raise ValueError("grn = 'convnext_v2' sees the whole clip: it cannot be causal")
        if self.feature_dim % 4 and self.transformer.head_dim is None:
            raise ValueError(
                "feature_dim must be a multiple of 4 (heads are a quarter of it wide), or "
                "transformer.head_dim be given"
            )
        if self.transformer.position == "rotary" and self.head_dim % 2:
            raise ValueError(
                "feature_dim must be a multiple of 8 when transformer.position is rotary, or "
                "transformer.head_dim be given and even"
            )
        return self

    @property
    def head_dim(self) -> int:
        """Width of an attention head."""
        return self.transformer.head_dim or self.feature_dim // 4

    @property
    def layer_count(self) -> int:
        """Units and transformer layers, each of which has parameters."""
        units = sum(self.encoder.depths) + sum(self.decoder.depths)
        return units + self.transformer.encoder_depth + self.transformer.decoder_depth

    @property
    def encoder_hop(self) -> int:
        """Samples per frame of the convolutional encoder, before token compression."""
        return math.prod(self.encoder.rates)

    @property
    def hop_length(self) -> int:
        """Samples per token."""
        return self.encoder_hop * self.transformer.compress_rate

    @property
    def frame_rate(self) -> float:
        """Tokens per second."""
        return self.sample_rate / self.hop_length

    @property
    def codebook_size(self) -> int:
        """How many different tokens there are."""
        return math.prod(self.quantizer.levels)

    @property
    def bitrate(self) -> float:
        """Bits per second, when every token takes log2(codebook_size) bits."""
        return self.frame_rate * math.log2(self.codebook_size)

    @property
    def window_seconds(self) -> float:
        """Seconds of audio in one attention window."""
        return self.transformer.window_size / self.frame_rate


def _check_stages(table: EncoderConfig | DecoderConfig) -> None:
    wanted = len(table.rates) + 1
    for name in ("dims", "depths"):
        given = len(getattr(table, name))
        if given != wanted:
            raise ValueError(
                f"{name} has {given} values, but {len(table.rates)} rates need {wanted}"
            )
