"""What the examples of streams work with: a model's codec, ready to be decoded step by step."""

from __future__ import annotations

from pathlib import Path

from l3ac_jax.codec.l3ac import L3AC
from l3ac_jax.config import load_config


def streaming_codec(name: str, seed: int = 0) -> tuple[L3AC, str]:
    """The codec of a model or of a configuration file, and what it is, in words.

    Of a configuration file (.toml) the parameters are random, those of `seed`. A decoder that norms
    over the whole clip does so over the past ("running"): an approximation, and the words say so.
    Raises what `get_model` raises.
    """
    if Path(name).suffix == ".toml":
        from l3ac_jax.evaluation.random_params import random_params

        config = load_config(name).model
        params, words = random_params(config, seed), f"random parameters (seed {seed})"
    else:
        from l3ac_jax.weights.sources import load_params

        (config, params), words = load_params(name), "its parameters"
    if config.decoder.norm_statistics == "clip":
        decoder = config.decoder.model_copy(update={"norm_statistics": "running"})
        config = config.model_copy(update={"decoder": decoder})
        words += (
            "; the decoder's norms over the whole clip are taken over the past "
            "(statistics='running'), an approximation"
        )
    return L3AC(config, params, name), words
