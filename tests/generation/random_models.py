"""A codec and a language model over its tokens, with random parameters, as folders."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import jax

from l3ac_jax.codec.l3ac import L3AC
from l3ac_jax.config import CodecConfig, ExperimentConfig
from l3ac_jax.evaluation.random_params import random_params
from l3ac_jax.generation import folder as folders
from l3ac_jax.generation.config import LanguageConfig
from l3ac_jax.generation.network import LanguageModel
from l3ac_jax.tokens.dataset.index import describe
from l3ac_jax.weights.folder import save_model

STEP = 7


def write_models(
    folder: Path, config: CodecConfig, labels: Mapping[str, int] = MappingProxyType({})
) -> None:
    """FOLDER/codec, and FOLDER/language, which sees 20 tokens; `labels` as in its folder."""
    save_model(folder / "codec", ExperimentConfig(model=config), random_params(config, 0))
    codec = L3AC(config, random_params(config, 0))
    language = LanguageConfig.model_validate(
        {
            "model": {"width": 64, "depth": 1, "context": 20},
            "training": {"steps": 1, "batch_size": 1},
            "data": {"train": ["nowhere"], "labelled": bool(labels)},
        }
    )
    network = LanguageModel(language.model, config.quantizer.levels, len(labels))
    params = network.random_params(jax.random.key(3))
    (folder / "language").mkdir()
    description = describe(str(folder / "codec"), codec.token_format, "tokens")
    folders.write_description(folder / "language", language, description, labels)
    folders.save(folder / "language", {"params": params}, STEP)
