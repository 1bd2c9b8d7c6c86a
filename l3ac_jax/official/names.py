"""Where each parameter stands in the official package's files, and with which axes.

A table of (our module, official module, kind of layer); a kind says under which name and with which
axes each of a layer's arrays is kept there. Nothing is computed: values only change places.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from l3ac_jax.config import CodecConfig
from l3ac_jax.model.params import expected_params

# Our top-level modules, and the files that hold them.
FILES = {
    "encoder": "encoder.pt",
    "quantizer": "quantizer.pt",
    "decoder": "decoder.pt",
    "encoder_transformer": "en_encoder.pt",
    "decoder_transformer": "en_decoder.pt",
}

# For each official axis our axis, or None for an axis of size one that we do not have.
Axes = tuple[int | None, ...]
Layer = Mapping[str, tuple[str, Axes]]  # our array's name -> official name, axes


@dataclass(frozen=True)
class OfficialPlace:
    """The file, the name and the axes of a parameter."""

    file: str
    name: str
    axes: Axes

    def shape(self, ours: tuple[int, ...]) -> tuple[int, ...]:
        """The official shape of an array of this shape here."""
        return tuple(1 if axis is None else ours[axis] for axis in self.axes)

    def to_official(self, array: NDArray) -> NDArray:
        """Our array with the official axes."""
        kept = [axis for axis in self.axes if axis is not None]
        return array.transpose(kept).reshape(self.shape(array.shape))

    def to_ours(self, array: NDArray) -> NDArray:
        """The official array with our axes."""
        kept = [axis for axis in self.axes if axis is not None]
        squeezed = array.squeeze(tuple(i for i, axis in enumerate(self.axes) if axis is None))
        return squeezed.transpose(np.argsort(kept))


def official_places(config: CodecConfig) -> dict[str, OfficialPlace]:
    """The place of each parameter of a configuration's network, by our path."""
    table = [(re.compile(pattern), name, layer) for pattern, name, layer in _table(config)]
    return {path: _find(path, table) for path in expected_params(config)}


def official_shapes(config: CodecConfig) -> dict[str, dict[str, jax.ShapeDtypeStruct]]:
    """What each official file holds: shape and type by name, rotary frequencies included."""
    shapes: dict[str, dict[str, jax.ShapeDtypeStruct]] = {file: {} for file in FILES.values()}
    places = official_places(config)
    for path, leaf in expected_params(config).items():
        place = places[path]
        shapes[place.file][place.name] = jax.ShapeDtypeStruct(place.shape(leaf.shape), leaf.dtype)
    for file, name in rotary_buffers(config):
        width = config.head_dim
        shapes[file][name] = jax.ShapeDtypeStruct((width // 2,), np.dtype(np.float32))
    return shapes


def rotary_buffers(config: CodecConfig) -> list[tuple[str, str]]:
    """File and name of the constants that rotary models keep beside their parameters."""
    if config.transformer.position != "rotary":
        return []
    return [
        (place.file, place.name.replace("to_qkv.weight", "attn_fn.rel_pos.inv_freq"))
        for path, place in official_places(config).items()
        if path.endswith("/qkv/kernel")
    ]


_VECTOR: Axes = (0,)
_GAIN = "parametrizations.weight.original0"
_DIRECTION = "parametrizations.weight.original1"


def _weight_normed(kernel: Axes) -> Layer:
    gain = (0,) + (None,) * (len(kernel) - 1)
    return {"kernel": (_DIRECTION, kernel), "scale": (_GAIN, gain), "bias": ("bias", _VECTOR)}


# Kernels are (width, in, out), (in, out) or (width, channels) here; (out, in, width), (out, in)
# or (channels, 1, width) there.
_CONV = _weight_normed((2, 1, 0))
_DEPTHWISE = _weight_normed((1, None, 0))
_POINTWISE = _weight_normed((1, 0, None))
_LINEAR = _weight_normed((1, 0))
_PLAIN_LINEAR: Layer = {"kernel": ("weight", (1, 0)), "bias": ("bias", _VECTOR)}
_PLAIN_POINTWISE: Layer = {"kernel": ("weight", (1, 0, None)), "bias": ("bias", _VECTOR)}
_NORM: Layer = {"scale": ("weight", _VECTOR), "bias": ("bias", _VECTOR)}
_SNAKE: Layer = {"alpha": ("alpha", (None, 0, None))}
_SNAKE_OF_UNIT: Layer = {"alpha": ("alpha", (None, None, 0))}
_GRN: Layer = {"gamma": ("gamma", (None, 0)), "beta": ("beta", (None, 0))}

# Modules of several layers: (our layer, official layer, kind).
_Parts = tuple[tuple[str, str, Layer], ...]
_CONV_UNIT: _Parts = (
    (r"depthwise", "dw_conv", _DEPTHWISE),
    (r"norm", "norm", _NORM),
    (r"expand", "pw_conv1", _LINEAR),
    (r"snake", "act", _SNAKE_OF_UNIT),
    (r"grn", "grn", _GRN),
    (r"project", "pw_conv2", _LINEAR),
)
_LEGACY_UNIT: _Parts = (
    (r"snake_in", "block.0", _SNAKE),
    (r"conv", "block.1", _CONV),
    (r"snake_out", "block.2", _SNAKE),
    (r"project", "block.3", _POINTWISE),
)
_TRANSFORMER: _Parts = (
    (r"position_bias/hidden_0", "dynamic_pos_bias.mlp.0", _PLAIN_LINEAR),
    (r"position_bias/hidden_1", "dynamic_pos_bias.mlp.2", _PLAIN_LINEAR),
    (r"position_bias/output", "dynamic_pos_bias.mlp.4", _PLAIN_LINEAR),
    (r"layer_(\d+)/attention_norm", "layers.{}.0.norm", _NORM),
    (r"layer_(\d+)/qkv", "layers.{}.0.to_qkv", _PLAIN_LINEAR),
    (r"layer_(\d+)/out", "layers.{}.0.to_out", _PLAIN_LINEAR),
    (r"layer_(\d+)/feed_forward_norm", "layers.{}.1.0", _NORM),
    (r"layer_(\d+)/feed_forward_in", "layers.{}.1.1", _PLAIN_LINEAR),
    (r"layer_(\d+)/feed_forward_out", "layers.{}.1.4", _PLAIN_LINEAR),
)

_Row = tuple[str, Callable[..., str], Layer]


def _table(config: CodecConfig) -> list[_Row]:
    """Rows (our module, official name as a function of the pattern's numbers, kind of layer)."""
    # The official stages are one flat list: 2 entries a stage in the encoder, 3 in the decoder.
    e, d = 2 * len(config.encoder.rates), 3 * len(config.decoder.rates)
    last_unit = _LEGACY_UNIT if config.decoder.last_layer == "legacy" else _CONV_UNIT
    unit, transformer = _CONV_UNIT, _TRANSFORMER
    return [
        (r"encoder/front/branch_(\d+)", lambda i: f"blocks.0.blocks.{i}.1", _CONV),
        (r"encoder/front/expand", lambda: "blocks.0.conv_1", _POINTWISE),
        (r"encoder/front/merge", lambda: "blocks.0.conv_2", _POINTWISE),
        *_module(
            r"encoder/stage_(\d+)/unit_(\d+)", lambda s, u: f"blocks.{2 * s + 1}.{u}.module", unit
        ),
        (r"encoder/stage_(\d+)/down", lambda s: f"blocks.{2 * s + 2}.0", _CONV),
        (r"encoder/stage_(\d+)/norm", lambda s: f"blocks.{2 * s + 2}.1", _NORM),
        *_module(r"encoder/final/unit_(\d+)", lambda u: f"blocks.{e + 1}.{u}.module", unit),
        (r"encoder/output", lambda: f"blocks.{e + 2}", _CONV),
        *_module(r"encoder_transformer/long", lambda: "down_trans.trans", transformer),
        (r"encoder_transformer/down", lambda: "down_trans.down_layer", _CONV),
        *_module(r"encoder_transformer/(?:transformer|short)", lambda: "local_trans", transformer),
        (r"quantizer/project_in", lambda: "project_in", _PLAIN_LINEAR),
        (r"quantizer/project_out", lambda: "project_out", _PLAIN_LINEAR),
        *_module(r"decoder_transformer/(?:transformer|short)", lambda: "local_trans", transformer),
        *_module(r"decoder_transformer/long", lambda: "up_trans.trans", transformer),
        (r"decoder/input", lambda: "blocks.0", _CONV),
        *_module(
            r"decoder/stage_(\d+)/unit_(\d+)", lambda s, u: f"blocks.{3 * s + 1}.{u}.module", unit
        ),
        (
            r"decoder/stage_(\d+)/enhance/branch_(\d+)",
            lambda s, i: f"blocks.{3 * s + 2}.blocks.{i}.1",
            _CONV,
        ),
        (
            r"decoder/stage_(\d+)/enhance/norm",
            lambda s: f"blocks.{3 * s + 2}.merge_layer.0",
            _NORM,
        ),
        (
            r"decoder/stage_(\d+)/enhance/merge",
            lambda s: f"blocks.{3 * s + 2}.merge_layer.1",
            _PLAIN_POINTWISE,
        ),
        (r"decoder/stage_(\d+)/up", lambda s: f"blocks.{3 * s + 3}.0", _POINTWISE),
        (r"decoder/stage_(\d+)/norm", lambda s: f"blocks.{3 * s + 3}.2", _NORM),
        *_module(
            r"decoder/final/unit_(\d+)", lambda u: f"blocks.{d + 1}.block.0.{u}.module", last_unit
        ),
        (r"decoder/snake", lambda: f"blocks.{d + 1}.block.1", _SNAKE),
        (r"decoder/output", lambda: f"blocks.{d + 1}.block.2", _CONV),
    ]


def _module(pattern: str, name: Callable[..., str], parts: _Parts) -> list[_Row]:
    """A row for each layer of a module."""

    def name_of(part: str) -> Callable[..., str]:
        own = part.count("{}")
        return lambda *i: f"{name(*i[: len(i) - own])}.{part.format(*i[len(i) - own :])}"

    return [(f"{pattern}/{ours}", name_of(official), layer) for ours, official, layer in parts]


def _find(path: str, table: list[tuple[re.Pattern[str], Callable[..., str], Any]]) -> OfficialPlace:
    module, _, leaf = path.rpartition("/")
    for pattern, name, layer in table:
        if (match := pattern.fullmatch(module)) and leaf in layer:
            official, axes = layer[leaf]
            numbers = map(int, match.groups())
            return OfficialPlace(FILES[path.split("/")[0]], f"{name(*numbers)}.{official}", axes)
    raise NotImplementedError(f"no official place is known for {path}")
