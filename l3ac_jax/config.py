"""Typed configuration: what a codec is made of, read from TOML files.

A file is one experiment. It may name a `base` file whose tables it changes, and any field can be
overridden on the command line. Whatever is wrong is a `ConfigError` that names file and key.
"""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import tomli_w
from pydantic import BaseModel, Field, ValidationError, model_validator

from l3ac_jax.toml_layers import ConfigError, Origins, read_layers

__all__ = [
    "PUBLISHED",
    "CodecConfig",
    "ConfigError",
    "DecoderConfig",
    "EncoderConfig",
    "ExperimentConfig",
    "QuantizerConfig",
    "TPoolingConfig",
    "TransformerConfig",
    "dump_config",
    "load_config",
    "published_config",
]

PUBLISHED = ("0k75bps", "1kbps", "1k5bps", "3kbps")

# Strict: 16000 is not "16000", and true is not 1.
PositiveInt = Annotated[int, Field(strict=True, gt=0)]
Switch = Annotated[bool, Field(strict=True)]
Sizes = Annotated[tuple[PositiveInt, ...], Field(min_length=1)]


class _Table(BaseModel, frozen=True, extra="forbid"):
    """What every table has in common; hashable, as Flax modules need their fields to be."""


class EncoderConfig(_Table, frozen=True):
    """Strides, and the widths and numbers of units before each stride and after the last one."""

    rates: Sizes
    dims: Sizes
    depths: Sizes

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_stages(self)
        return self


class DecoderConfig(_Table, frozen=True):
    """As the encoder, in the decoder's own order: from the token side to the waveform."""

    rates: Sizes
    dims: Sizes
    depths: Sizes
    last_layer: Literal["legacy", "dilation", "plain"] = "legacy"

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_stages(self)
        return self


class TPoolingConfig(_Table, frozen=True):
    """The pooled views of the waveform; `enabled = false` keeps the convolutions, unpooled."""

    enabled: Switch = True
    absolute: Switch = True
    encoder_kernels: Sizes = (1, 5, 11, 21, 45)
    decoder_kernels: Sizes = (1, 3, 5, 9)

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("encoder_kernels", "decoder_kernels"):
            if any(kernel % 2 == 0 for kernel in getattr(self, name)):
                raise ValueError(f"{name} must be odd (windows are centred on a sample)")
        return self


class TransformerConfig(_Table, frozen=True):
    """The local transformers around the quantizer.

    `window_size` counts tokens after compression by `compress_rate`. With compression, layers are
    split between the long window (before it, window_size * compress_rate) and the short one: half
    of the encoder's, rounded down, and the last 2 of the decoder's run at the long window.
    """

    encoder_depth: PositiveInt
    decoder_depth: PositiveInt
    window_size: PositiveInt
    compress_rate: PositiveInt
    position: Literal["dynamic_bias", "rotary"] = "dynamic_bias"
    attention: Literal["local", "full"] = "local"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.compress_rate > 1:
            for name in ("encoder_depth", "decoder_depth"):
                if getattr(self, name) < 2:
                    raise ValueError(f"{name} must be at least 2 when compress_rate is above 1")
        return self


class QuantizerConfig(_Table, frozen=True):
    """Finite scalar quantization: levels of each dimension, and the share replaced by noise."""

    levels: Annotated[tuple[Annotated[int, Field(strict=True, ge=2)], ...], Field(min_length=1)]
    noise_rate: Annotated[float, Field(strict=True, ge=0, le=1)] = 0.5

    @model_validator(mode="after")
    def _check(self) -> Self:
        if math.prod(self.levels) >= 2**31:
            raise ValueError("levels must multiply to less than 2**31 (tokens are int32)")
        return self


class CodecConfig(_Table, frozen=True):
    """Everything that determines the network: the [model] table of a configuration file."""

    sample_rate: PositiveInt = 16000
    feature_dim: PositiveInt = 128
    use_norm: Switch = True
    activation: Literal["snake", "gelu"] = "snake"
    encoder: EncoderConfig
    decoder: DecoderConfig
    tpooling: TPoolingConfig = TPoolingConfig()
    transformer: TransformerConfig
    quantizer: QuantizerConfig

    @model_validator(mode="after")
    def _check(self) -> Self:
        up, down = math.prod(self.decoder.rates), self.encoder_hop
        if up != down:
            raise ValueError(f"decoder.rates multiply to {up}, encoder.rates to {down}")
        if self.feature_dim % 4:
            raise ValueError("feature_dim must be a multiple of 4 (heads are a quarter of it wide)")
        if self.transformer.position == "rotary" and self.feature_dim % 8:
            raise ValueError(
                "feature_dim must be a multiple of 8 when transformer.position is rotary"
            )
        return self

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


class ExperimentConfig(_Table, frozen=True):
    """A whole configuration file."""

    model: CodecConfig


def load_config(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> ExperimentConfig:
    """Read a TOML file, the files it is based on, and `--dotted.key value` overrides.

    `overrides` are command line words: ["--model.transformer.window-size", "50"] or
    ["--model.transformer.window-size=50"]; dashes in a key mean underscores, and a value is read as
    TOML where it is that, else as a string. Raises ConfigError.
    """
    merged, origins = read_layers(Path(path), overrides)
    try:
        return ExperimentConfig.model_validate(merged)
    except ValidationError as error:
        lines = [_explain(problem, origins, str(path)) for problem in _innermost(error.errors())]
        raise ConfigError("\n".join(lines)) from None


def dump_config(config: ExperimentConfig) -> str:
    """TOML text with every field written out; `load_config` gives back an equal configuration."""
    return tomli_w.dumps(config.model_dump(mode="json"))


def published_config(name: str) -> ExperimentConfig:
    """The configuration of one of the four published models. Raises ConfigError for other names."""
    if name not in PUBLISHED:
        raise ConfigError(f"{name!r} is not a published model: there are {', '.join(PUBLISHED)}")
    return load_config(_configs_folder() / f"{name}.toml")


def _configs_folder() -> Path:
    """configs/ is copied into the built package, and beside it in a source checkout."""
    package = Path(__file__).parent
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def _check_stages(table: EncoderConfig | DecoderConfig) -> None:
    wanted = len(table.rates) + 1
    for name in ("dims", "depths"):
        given = len(getattr(table, name))
        if given != wanted:
            raise ValueError(
                f"{name} has {given} values, but {len(table.rates)} rates need {wanted}"
            )


def _innermost(problems: Sequence[Any]) -> list[Any]:
    """Without the problems of a sequence that only follow from those of its elements."""
    inside = {problem["loc"][:-1] for problem in problems}
    return [
        problem
        for problem in problems
        if problem["type"] != "too_short" or problem["loc"] not in inside
    ]


def _explain(problem: Any, origins: Origins, path: str) -> str:
    """One line for one pydantic error: the file, the dotted key, and what would be right."""
    keys = tuple(part for part in problem["loc"] if isinstance(part, str))
    dotted = ".".join(str(part) for part in problem["loc"])
    origin = origins.get(keys, path)
    match problem["type"]:
        case "extra_forbidden":
            known = _known_keys(keys[:-1])
            close = difflib.get_close_matches(keys[-1], known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"
            return f"{origin}: {dotted}: unknown key; {hint}"
        case "missing":
            return f"{path}: {dotted}: missing"
        case "model_type":
            return f"{origin}: {dotted}: should be a table, got {problem['input']!r}"
        case "value_error":
            # The checks of this module begin their message with the key, seen from their table.
            # They compare keys, so the last file that changed the table is the one to look at.
            key, _, message = str(problem["ctx"]["error"]).partition(" ")
            return f"{origin}: {dotted}.{key}: {message}"
        case _:
            message = problem["msg"][0].lower() + problem["msg"][1:]
            return f"{origin}: {dotted}: {message}, got {problem['input']!r}"


def _known_keys(keys: Sequence[str]) -> list[str]:
    """The fields of the table that a dotted key leads to."""
    table: type[BaseModel] = ExperimentConfig
    for key in keys:
        annotation = table.model_fields[key].annotation
        assert isinstance(annotation, type) and issubclass(annotation, BaseModel)
        table = annotation
    return list(table.model_fields)
