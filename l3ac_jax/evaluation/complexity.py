"""How much a codec computes: parameters and multiply-accumulates, part by part.

Two counts. By formula: the products of all matrix products, convolutions and attention, each
exactly as often as the result needs it. By XLA: half of the floating-point operations of the
network's program, before XLA optimizes it; it also has what is no product (norms, activations,
interpolation, pooling) and what is computed in vain (keys that the causal mask hides). Both are of
inference: weight norm and the affine parts of norms are folded into the layers, the position bias
is a table.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from l3ac_jax.config import NAMED, CodecConfig, load_config, named_config

__all__ = [
    "ATTENTION",
    "COUNTED",
    "PARTS",
    "WHY_PUBLISHED_IS_LOWER",
    "Complexity",
    "complexity_of",
    "parameters",
    "products",
    "products_by_part",
    "resolve_config",
    "xla_operations",
]

PARTS: tuple[str, ...] = (
    "encoder",
    "encoder_transformer",
    "quantizer",
    "decoder_transformer",
    "decoder",
)
"""In the order in which audio goes through them."""

ATTENTION = "attention"
"""The last part of the names of attention's products, which have no parameters."""

COUNTED = (
    "Formula: products of matrix products, convolutions and attention (a query's own window up to "
    "itself, and the window before). XLA: half of the operations of the network's program: also "
    "norms, activations, interpolation and pooling, and the keys that the causal mask hides. "
    "(PyTorch's counter on the official code gives the formula's figures, but with all keys of two "
    "windows for every query, and with the position bias.)"
)
WHY_PUBLISHED_IS_LOWER = (
    "Published: the figures that ptflops' pytorch backend gives, which skips every weight-normed "
    "layer, that is nearly all of encoder and decoder; its aten backend and PyTorch's own counter "
    "come to about twenty times as much."
)


class Complexity(NamedTuple):
    """What a configuration costs. Counts of multiply-accumulates are for one second of audio."""

    parameters: dict[str, int]
    formula: dict[str, float]
    xla: dict[str, float]
    seconds: float
    """Length of the clip that was counted; the first window of a clip costs less than others."""


def complexity_of(config: CodecConfig, seconds: float = 10.0) -> Complexity:
    """Parameters and multiply-accumulates a second of audio, by part, of a clip of `seconds`."""
    return Complexity(
        parameters(config),
        {part: count / seconds for part, count in products_by_part(config, seconds).items()},
        {part: count / 2 / seconds for part, count in xla_operations(config, seconds).items()},
        seconds,
    )


def resolve_config(model: str | os.PathLike[str]) -> CodecConfig:
    """The configuration of a named model, a TOML file, a model folder or file, or a training run.

    Raises ConfigError, or what `get_model` raises. No weights are downloaded.
    """
    model = os.fspath(model)
    if model in NAMED:
        return named_config(model).model
    if model.endswith(".toml"):
        return load_config(model).model
    from l3ac_jax.weights.sources import load_params

    return load_params(model)[0]


def parameters(config: CodecConfig) -> dict[str, int]:
    """Parameters of each part, as they are trained."""
    from l3ac_jax.model.params import expected_params

    leaves = expected_params(config)
    return _by_part({name: math.prod(leaf.shape) for name, leaf in leaves.items()})


def products_by_part(config: CodecConfig, seconds: float) -> dict[str, int]:
    """The sums of `products` over each part."""
    return _by_part(products(config, seconds))


def products(config: CodecConfig, seconds: float) -> dict[str, int]:
    """Multiply-accumulates of each layer for a clip of `seconds`, padded to whole tokens.

    By the layers' names in the parameters, attention as ".../layer_I/attention". A layer of T
    output frames and kernel k from c channels to d in g groups takes T·k·c·d / g products, which
    is T times the size of its kernel. The position bias is left out: it does not depend on audio.
    """
    from l3ac_jax.model.params import expected_params, layers_of
    from l3ac_jax.model.transformer import TransformerLayer

    tokens, leaves = _tokens(config, seconds), expected_params(config)
    counted: dict[str, int] = {}
    for name, located in layers_of(config).items():
        layer = located.layer
        if located.frames is None:
            continue
        frames = tokens * located.frames
        if "kernel" in layer.kinds:
            counted[name] = frames * math.prod(leaves[f"{name}/kernel"].shape)
        if isinstance(layer, TransformerLayer):
            window = frames if layer.attention == "full" else layer.window
            counted[f"{name}/{ATTENTION}"] = 2 * layer.width * _visible_pairs(frames, window)
    return counted


def _visible_pairs(frames: int, window: int) -> int:
    """Pairs of a query and a key that it sees: its own window up to itself, the one before."""
    whole, rest = divmod(frames, window)
    own = whole * window * (window + 1) // 2 + rest * (rest + 1) // 2
    return own + window * max(frames - window, 0)


def xla_operations(config: CodecConfig, seconds: float) -> dict[str, float]:
    """Floating-point operations of each part's program for a clip of `seconds`, as XLA counts them.

    Of the program before it is optimized, where no library call hides operations, and which takes
    a second a part; compiled for a CPU, the 3kbps and 1kbps models' counts are 0.2 % higher.
    """
    import jax

    from l3ac_jax.model.network import Network, abstract_params

    # In blocks, the loop's body would be counted once.
    network = Network(config, folded=True, blocked=False)
    params = abstract_params(config, folded=True)

    def operations(part: str, shape: tuple[int, ...]) -> float:
        def run(params, x):
            return network.apply(
                {"params": params}, x, method=lambda whole, x: getattr(whole, part)(x)
            )

        program = jax.jit(run).lower(params, jax.ShapeDtypeStruct(shape, "float32"))
        costs: Any = program.cost_analysis()
        return costs["flops"]

    return {part: operations(part, shape) for part, shape in _inputs(config, seconds)}


def _inputs(config: CodecConfig, seconds: float) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The shape that each part reads: one clip, padded to whole tokens."""
    tokens = _tokens(config, seconds)
    encoded = (1, tokens * config.transformer.compress_rate, config.feature_dim)
    compressed = (1, tokens, config.feature_dim)
    shapes = ((1, tokens * config.hop_length), encoded, compressed, compressed, encoded)
    return iter(zip(PARTS, shapes, strict=True))


def _tokens(config: CodecConfig, seconds: float) -> int:
    return math.ceil(round(seconds * config.sample_rate) / config.hop_length)


def _by_part(counts: Mapping[str, int]) -> dict[str, int]:
    totals = dict.fromkeys(PARTS, 0)
    for name, count in counts.items():
        totals[name.split("/", 1)[0]] += count
    return totals
