"""Small codecs, one for every option of the official configuration, that run in seconds.

Each differs from the baseline in what its name says.
"""

from __future__ import annotations

from typing import Any

from l3ac_jax.config import CodecConfig

_BASELINE: dict[str, Any] = {
    "feature_dim": 16,
    "encoder": {"rates": (3, 2), "dims": (8, 12, 16), "depths": (1, 1, 2)},
    "decoder": {"rates": (2, 3), "dims": (24, 12, 8), "depths": (2, 1, 1)},
    "transformer": {
        "encoder_depth": 1,
        "decoder_depth": 2,
        "window_size": 8,
        "compress_rate": 1,
    },
    "quantizer": {"levels": (5, 4, 3)},
}


def _small(**changes: Any) -> CodecConfig:
    """The baseline with some tables' fields, or whole fields, replaced."""
    merged = {
        key: value | changes.pop(key, {}) if isinstance(value, dict) else changes.pop(key, value)
        for key, value in _BASELINE.items()
    }
    return CodecConfig.model_validate(merged | changes)


def _compressed(rate: int, **changes: Any) -> dict[str, Any]:
    """With compression the official encoder has three transformer layers."""
    return {"compress_rate": rate, "encoder_depth": 3, "decoder_depth": 4, **changes}


SMALL_CONFIGS: dict[str, CodecConfig] = {
    "baseline": _small(),
    "norm_off": _small(use_norm=False),
    "gelu": _small(activation="gelu"),
    "last_dilation": _small(decoder={"last_layer": "dilation"}),
    "last_plain": _small(decoder={"last_layer": "plain"}),
    "gelu_norm_off_dilation": _small(
        activation="gelu", use_norm=False, decoder={"last_layer": "dilation"}
    ),
    "rotary": _small(transformer={"position": "rotary"}),
    "compress2": _small(transformer=_compressed(2, window_size=5)),
    "compress3": _small(transformer=_compressed(3, window_size=6)),
    "compress2_rotary": _small(transformer=_compressed(2, window_size=5, position="rotary")),
    # The official short transformer of the decoder then has no layer, yet its bias parameters.
    "compress2_decoder_depth2": _small(transformer=_compressed(2, decoder_depth=2)),
    "identity_projection": _small(feature_dim=8, quantizer={"levels": (3, 5, 4, 2, 3, 3, 2, 4)}),
    "deep": _small(
        encoder={"depths": (2, 3, 1)},
        decoder={"depths": (1, 2, 3)},
        transformer={"decoder_depth": 5, "window_size": 5},
    ),
    "three_stages": _small(
        encoder={"rates": (2, 1, 3), "dims": (8, 12, 16, 20), "depths": (1, 1, 1, 1)},
        decoder={"rates": (3, 2), "dims": (16, 12, 8), "depths": (1, 1, 1)},
    ),
    "wide": _small(feature_dim=24, quantizer={"levels": (9, 2), "noise_rate": 0.25}),
}

# What the official configuration has no option for.
ABLATED_CONFIGS: dict[str, CodecConfig] = {
    "convnext_v2": _small(grn="convnext_v2"),
    "causal": _small(causal=True, decoder={"norm_statistics": "running"}),
    "causal_look_ahead": _small(
        causal=True,
        look_ahead_ms=0.5,
        decoder={"norm_statistics": "none"},
        transformer=_compressed(2, window_size=5),
    ),
    "few_heads": _small(transformer={"heads": 2, "head_dim": 6, "position": "rotary"}),
    "single_scale": _small(tpooling={"encoder_kernels": (11,), "decoder_kernels": (5,)}),
}
