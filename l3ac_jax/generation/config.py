"""What a language model over tokens is made of, and how it is trained: configs/language.toml."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

import tomli_w
from pydantic import Field, model_validator

from l3ac_jax.config import validated
from l3ac_jax.config.layers import COMMAND_LINE, read_layers
from l3ac_jax.config.tables import Fraction, NaturalInt, PositiveInt, Table
from l3ac_jax.config.training import OptimizerConfig

__all__ = ["LanguageConfig", "NetworkConfig", "dump_language_config", "load_language_config"]


class NetworkConfig(Table, frozen=True):
    """A decoder-only transformer: `depth` layers of `width` features in heads of 64.

    It sees `context` tokens. `head` says what it predicts: "levels", the quantizer's dimensions one
    after the other, or "softmax", the token as a whole, which is for codebooks of up to 65,536. In
    training, the share `dropout` of the features is left out.
    """

    width: PositiveInt = 256
    depth: PositiveInt = 6
    context: PositiveInt = 500
    head: Literal["levels", "softmax"] = "levels"
    dropout: Fraction = 0.0

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.width % HEAD_WIDTH:
            raise ValueError(f"width must be a multiple of {HEAD_WIDTH} (of a head)")
        return self


HEAD_WIDTH = 64


class RunConfig(Table, frozen=True):
    """How it is trained: `steps`, each with `batch_size` windows of the network's context.

    `seed` is that of the parameters, the batches and dropout. Every `log_every`, `evaluate_every`
    and `checkpoint_every` steps there is a line of the log, an evaluation, a checkpoint.
    """

    steps: PositiveInt
    batch_size: PositiveInt
    seed: NaturalInt = 0
    log_every: PositiveInt = 10
    evaluate_every: PositiveInt = 500
    checkpoint_every: PositiveInt = 100
    optimizer: OptimizerConfig = OptimizerConfig()


class TokensConfig(Table, frozen=True):
    """Folders of tokens, as `l3ac-jax tokens` writes them, all of one codec.

    It learns from those in `train`. The likelihood is that of up to `evaluation_windows` windows of
    `evaluation`. `dimensions` takes of each token the first so many dimensions of the quantizer: to
    compare heads on a codebook that a softmax can have. No codec decodes such tokens.

    With `labelled`, the model is told what to say: a recording's label is the folder that it lies
    in. Windows are then whole recordings, cut to the context.
    """

    train: Annotated[tuple[str, ...], Field(min_length=1)]
    evaluation: tuple[str, ...] = ()
    evaluation_windows: PositiveInt = 200
    dimensions: PositiveInt | None = None
    labelled: bool = False


class LanguageConfig(Table, frozen=True):
    """A whole configuration file."""

    model: NetworkConfig = NetworkConfig()
    training: RunConfig
    data: TokensConfig


def load_language_config(
    path: str | os.PathLike[str], overrides: Sequence[str] = ()
) -> LanguageConfig:
    """Read a TOML file, the files it is based on, and `--dotted.key value` overrides.

    Folders are seen from the file that names them. Raises ConfigError.
    """
    merged, origins = read_layers(Path(path), overrides)
    config = validated(LanguageConfig, merged, origins, str(path))
    folders = {}
    for name in ("train", "evaluation"):
        origin = origins.get(("data", name), COMMAND_LINE)
        parent = Path() if origin == COMMAND_LINE else Path(origin).parent
        folders[name] = tuple(
            os.path.normpath(parent.absolute() / os.path.expandvars(os.path.expanduser(folder)))
            for folder in getattr(config.data, name)
        )
    return config.model_copy(update={"data": config.data.model_copy(update=folders)})


def dump_language_config(config: LanguageConfig) -> str:
    """TOML text with every field written out."""
    return tomli_w.dumps(config.model_dump(mode="json", exclude_none=True))
