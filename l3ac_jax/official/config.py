"""The official package's configuration <-> ours: the same facts under other names.

An official file holds `model_name`, `sample_rate`, `model_version` and a table `network_config`
(l3ac/configs/*.toml in the `l3ac` package). What it leaves out has the official default.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from l3ac_jax.config import CodecConfig, TPoolingConfig
from l3ac_jax.config.layers import read_toml
from l3ac_jax.config.model import TransformerConfig
from l3ac_jax.errors import ConfigError

# The values of `l3ac.en_codec.ModelConfig` for keys that a file leaves out.
_DEFAULTS: dict[str, Any] = {
    "feature_dim": 256,
    "compress_rates": [9, 5],
    "encoder_dims": [24, 96, 192],
    "encoder_depths": [1, 1, 2],
    "decode_rates": [5, 3, 3],
    "decoder_dims": [256, 128, 64, 32],
    "decoder_depths": [3, 2, 1, 1],
    "base_unit": "normal",
    "use_norm": True,
    "use_snake_act": True,
    "decoder_last_layer": None,
    "vq_config": {"name": "super_fsq", "levels": [7] * 6, "noise_rate": 0.5},
    "en_coder_depth": 2,
    "en_coder_window_size": 500,
    "en_coder_dynamic_pos": False,
    "en_coder_compress_rate": 1,
    "en_coder_cache_size": 0,
}
_TOP_LEVEL = {"model_name", "sample_rate", "model_version", "model_dir", "weight_url"}
_NO_LAST_LAYER = "plain"  # decoder_last_layer is left out of the file for this one


def from_official_config(source: str | os.PathLike[str] | Mapping[str, Any]) -> CodecConfig:
    """Our configuration for an official one: the path of its TOML file, or its content as a dict.

    Raises ConfigError, naming the file and the key, for what is not an official configuration.
    """
    if isinstance(source, Mapping):
        return _translate(source, "official configuration")
    return _translate(read_toml(Path(source)), str(source))


def to_official_config(
    config: CodecConfig, model_name: str = "custom", model_version: str = "v0.0"
) -> dict[str, Any]:
    """The content of the official TOML file for a configuration, for `l3ac.L3ACConfig`.

    Raises ConfigError, with every reason, if the official package has no such network.
    """
    reasons = _inexpressible(config)
    if reasons:
        raise ConfigError("the official package cannot express " + "; ".join(reasons))
    network = {
        "feature_dim": config.feature_dim,
        "compress_rates": list(config.encoder.rates),
        "encoder_dims": list(config.encoder.dims),
        "encoder_depths": list(config.encoder.depths),
        "decode_rates": list(config.decoder.rates),
        "decoder_dims": list(config.decoder.dims),
        "decoder_depths": list(config.decoder.depths),
        "base_unit": "normal",
        "use_norm": config.use_norm,
        "use_snake_act": config.activation == "snake",
        "decoder_last_layer": config.decoder.last_layer,
        "vq_config": {
            "name": "super_fsq",
            "levels": list(config.quantizer.levels),
            "noise_rate": config.quantizer.noise_rate,
        },
        "en_coder_depth": config.transformer.decoder_depth,
        "en_coder_window_size": config.transformer.window_size,
        "en_coder_dynamic_pos": config.transformer.position == "dynamic_bias",
        "en_coder_compress_rate": config.transformer.compress_rate,
        "en_coder_cache_size": 0,
    }
    if config.decoder.last_layer == _NO_LAST_LAYER:
        del network["decoder_last_layer"]
    return {
        "model_name": model_name,
        "sample_rate": config.sample_rate,
        "model_version": model_version,
        "network_config": network,
    }


def is_official_config(content: Mapping[str, Any]) -> bool:
    """Whether a parsed TOML file has the official form rather than ours."""
    return "network_config" in content


def official_encoder_depth(compress_rate: int) -> int:
    """Layers of the encoder's transformers, which the official code fixes."""
    return 1 if compress_rate == 1 else 3


def _translate(content: Mapping[str, Any], name: str) -> CodecConfig:
    network = content.get("network_config")
    if not isinstance(network, Mapping):
        raise ConfigError(f"{name}: network_config: missing; an official file has this table")
    problems = [
        f"{key}: unknown key" for key in content if key not in _TOP_LEVEL | {"network_config"}
    ]
    problems += [f"network_config.{key}: unknown key" for key in network if key not in _DEFAULTS]
    official = _DEFAULTS | dict(network)
    quantizer = official["vq_config"]
    problems += _unsupported(official)
    if problems:
        raise ConfigError("\n".join(f"{name}: {problem}" for problem in problems))
    compress_rate = official["en_coder_compress_rate"]
    table = {
        "sample_rate": content.get("sample_rate", 16000),
        "feature_dim": official["feature_dim"],
        "use_norm": official["use_norm"],
        "activation": "snake" if official["use_snake_act"] else "gelu",
        "encoder": {
            "rates": official["compress_rates"],
            "dims": official["encoder_dims"],
            "depths": official["encoder_depths"],
        },
        "decoder": {
            "rates": official["decode_rates"],
            "dims": official["decoder_dims"],
            "depths": official["decoder_depths"],
            "last_layer": official["decoder_last_layer"] or _NO_LAST_LAYER,
        },
        "transformer": {
            "encoder_depth": official_encoder_depth(compress_rate),
            "decoder_depth": official["en_coder_depth"],
            "window_size": official["en_coder_window_size"],
            "compress_rate": compress_rate,
            "position": "dynamic_bias" if official["en_coder_dynamic_pos"] else "rotary",
        },
        "quantizer": {
            "levels": quantizer["levels"],
            "noise_rate": float(quantizer.get("noise_rate", 0.5)),
        },
    }
    try:
        return CodecConfig.model_validate(table)
    except ValidationError as error:
        lines = [
            f"{name}: network_config (as {'.'.join(map(str, problem['loc'])) or 'model'}): "
            f"{problem['msg']}"
            for problem in error.errors()
        ]
        raise ConfigError("\n".join(lines)) from None


def _unsupported(official: Mapping[str, Any]) -> list[str]:
    """What an official file can ask for and no official network of version 1.0 provides."""
    problems = []
    if official["base_unit"] != "normal":
        problems.append(f"network_config.base_unit: {official['base_unit']!r}, not 'normal'")
    if official["en_coder_cache_size"] != 0:
        problems.append("network_config.en_coder_cache_size: not 0")
    if official["decoder_last_layer"] not in (None, "legacy", "dilation"):
        problems.append(
            f"network_config.decoder_last_layer: {official['decoder_last_layer']!r}, "
            "not 'legacy', 'dilation' or left out"
        )
    quantizer = official["vq_config"]
    if not isinstance(quantizer, Mapping) or "levels" not in quantizer:
        return [*problems, "network_config.vq_config: not a table with levels"]
    if quantizer.get("name") != "super_fsq":
        problems.append(f"network_config.vq_config.name: {quantizer.get('name')!r}, not super_fsq")
    if quantizer.get("codebook_num", 1) != 1:
        problems.append("network_config.vq_config.codebook_num: not 1")
    if not isinstance(quantizer.get("noise_rate", 0.5), int | float):
        problems.append("network_config.vq_config.noise_rate: not a number")
    return problems


def _inexpressible(config: CodecConfig) -> list[str]:
    """The settings that exist here and not in the official package."""
    reasons = []
    if config.tpooling != TPoolingConfig():
        reasons.append("tpooling other than the published one")
    if config.grn != "published":
        reasons.append(f"grn = {config.grn!r}")
    if config.causal:
        reasons.append("causal = true")
    if config.decoder.norm_statistics != "clip":
        reasons.append(f"decoder.norm_statistics = {config.decoder.norm_statistics!r}")
    if config.transformer.attention != "local":
        reasons.append(f"transformer.attention = {config.transformer.attention!r}")
    if config.transformer.heads != TransformerConfig.model_fields["heads"].default:
        reasons.append(f"transformer.heads = {config.transformer.heads}")
    if config.head_dim != config.feature_dim // 4:
        reasons.append(f"transformer.head_dim = {config.head_dim}")
    depth = official_encoder_depth(config.transformer.compress_rate)
    if config.transformer.encoder_depth != depth:
        reasons.append(
            f"transformer.encoder_depth = {config.transformer.encoder_depth} "
            f"(always {depth} with compress_rate {config.transformer.compress_rate})"
        )
    return reasons
