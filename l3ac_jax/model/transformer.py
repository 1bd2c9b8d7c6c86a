"""Local causal transformers: attention within a fixed grid of windows.

Shapes: b batch, n frames, h heads, f feature width; q queries, k keys, m distances.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from l3ac_jax.config.model import TransformerConfig
from l3ac_jax.errors import StreamingError
from l3ac_jax.model import ops
from l3ac_jax.model.layer import Chain, Layer, Role, chain
from l3ac_jax.model.layers import PlainDense, StridedConv, absorb, by_rows, rounded
from l3ac_jax.model.norms import ChannelNorm
from l3ac_jax.model.ops import Frames, Lengths
from l3ac_jax.model.ops.attention import Heads, causal_attention, causal_bias
from l3ac_jax.model.ops.ring_attention import (
    Positions,
    Ring,
    Seen,
    empty_ring,
    no_positions,
    ring_attention,
    see,
)
from l3ac_jax.model.reach import Span
from l3ac_jax.model.streams import Flow, Stream, only_real
from l3ac_jax.model.upsampling import LinearUpsample

LAYER_NORM_EPS = 1e-5
STEP_BLOCK = 192
"""Frames of a step that attend at a time: each sees two windows and its block."""
WRITTEN_OUT = 8
"""Blocks of a step up to which each has instructions of its own; more are a loop.

With windows of a few frames a step has hundreds, which would take minutes to compile.
"""


def feed_forward_width(features: int) -> int:
    """Width of the gated feed-forward layer: 8/3 of the features, rounded down."""
    return int(features * 4 * 2 / 3)


class PositionBias(Layer):
    """Learned bias of each head by distance: an MLP on the distance itself.

    Folded, the table of what the MLP gives for each distance, unless `distances` is None: no bound.
    """

    features: int
    distances: int | None
    heads: int
    folded: bool = False

    @nn.compact
    def __call__(self, distances: int) -> Float[Array, "m h"]:
        """The biases of distances 0 to `distances` - 1."""
        if self.folded and self.distances is not None:
            table = self.param("table", nn.initializers.zeros, (self.distances, self.heads))
            return table[:distances]
        hidden = self.features // 2
        x = jnp.arange(distances, dtype=jnp.float32)[:, None]
        x = nn.silu(PlainDense(hidden, name="hidden_0")(x))
        x = nn.silu(PlainDense(hidden, name="hidden_1")(x))
        return PlainDense(self.heads, name="output")(x)

    def fold(self, params: dict[str, Any]) -> dict[str, Any]:
        if self.distances is None:
            return params
        kernel = params["hidden_0"]["kernel"]
        library = kernel.__array_namespace__()
        x = library.arange(self.distances, dtype=kernel.dtype)[:, None]
        for name in ("hidden_0", "hidden_1"):
            x = x @ params[name]["kernel"] + params[name]["bias"][None]
            x = x * (1 + library.tanh(x / 2)) / 2  # SiLU
        return {"table": x @ params["output"]["kernel"] + params["output"]["bias"][None]}


class TransformerLayer(Layer):
    """Pre-norm attention and a GEGLU feed-forward layer, both residual."""

    features: int
    window: int
    heads: int
    head_dim: int
    rotary: bool = False
    attention: str = "local"
    folded: bool = False
    dtype: DTypeLike | None = None

    def setup(self):
        dense = partial(PlainDense, dtype=self.dtype, folded=self.folded)
        self.attention_norm = ChannelNorm(self.folded, LAYER_NORM_EPS)
        self.qkv = dense(3 * self.width, use_bias=self.folded)
        self.out = dense(self.features, use_bias=False, role=Role.RESIDUAL)
        self.feed_forward_norm = ChannelNorm(self.folded, LAYER_NORM_EPS)
        hidden = feed_forward_width(self.features)
        self.feed_forward_in = dense(2 * hidden, use_bias=self.folded)
        self.feed_forward_out = dense(self.features, use_bias=False, role=Role.RESIDUAL)

    def __call__(self, x: Frames, bias: Float[Array, "#h q k"]) -> Frames:
        """`bias` also says what is seen: (h, window, window or 2·window)."""
        query, key, value = self._queries_keys_values(x)
        attended = causal_attention(query, key, value, bias.shape[1], bias, self.rotary)
        return self._fed_forward(x, attended)

    def attend_step(
        self, ring: Ring, x: Frames, seen: Seen, table: Float[Array, "m h"] | None
    ) -> tuple[Ring, Frames]:
        """A step (see `LocalTransformer`); `table` holds the biases of distances."""
        query, key, value = self._queries_keys_values(x)
        ring, attended = ring_attention(ring, query, key, value, seen, table)
        return ring, self._fed_forward(x, attended)

    def _queries_keys_values(self, x: Frames) -> tuple[Heads, Heads, Heads]:
        batch, frames, _ = x.shape
        qkv = self.qkv(self.attention_norm(x)).reshape(batch, frames, 3, self.heads, self.head_dim)
        query, key, value = qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]
        query = query * key.shape[-1] ** -0.5
        query, key, value = rounded(self.dtype, query, key, value)
        return query, key, value

    def _fed_forward(self, x: Frames, attended: Heads) -> Frames:
        x = x + self.out(attended.reshape(*x.shape[:2], -1).astype(x.dtype))
        content, gate = jnp.split(self.feed_forward_in(self.feed_forward_norm(x)), 2, axis=-1)
        return x + self.feed_forward_out(content * ops.gelu(gate))

    @property
    def width(self) -> int:
        """Of all heads together."""
        return self.heads * self.head_dim

    def fold(self, params: dict[str, Any]) -> dict[str, Any]:
        return {
            "qkv": absorb(by_rows(params["qkv"]), **params["attention_norm"]),
            "out": by_rows(params["out"]),
            "feed_forward_in": absorb(
                by_rows(params["feed_forward_in"]), **params["feed_forward_norm"]
            ),
            "feed_forward_out": by_rows(params["feed_forward_out"]),
        }

    def reach(self, span: Span) -> Span:
        if self.attention == "full" or math.isinf(span.first):
            return Span(-math.inf, span.last)
        return Span((span.first // self.window - 1) * self.window, span.last)


class LocalTransformer(Layer):
    """Transformer layers that share one position bias.

    Without `head_dim`, heads are a quarter of the features wide.
    """

    features: int
    depth: int
    window: int
    position: str = "dynamic_bias"
    attention: str = "local"
    heads: int = 6
    head_dim: int | None = None
    folded: bool = False
    dtype: DTypeLike | None = None

    def setup(self):
        rotary = self.position == "rotary"
        self.layer = [
            TransformerLayer(
                self.features,
                self.window,
                self.heads,
                self._head_dim,
                rotary,
                self.attention,
                self.folded,
                self.dtype,
            )
            for _ in range(self.depth)
        ]
        if not rotary:
            distances = None if self.attention == "full" else 2 * self.window
            self.position_bias = PositionBias(self.features, distances, self.heads, self.folded)

    @property
    def _head_dim(self) -> int:
        return self.head_dim or self.features // 4

    def __call__(self, x: Frames, lengths: Lengths = None) -> Frames:
        x = ops.mask_frames(x, lengths)
        bias = self._bias(x.shape[1])
        for layer in self.layer:
            x = layer(x, bias)
        return x

    def _bias(self, frames: ops.Dimension) -> Float[Array, "h q k"]:
        """Within one window, and for full attention, there is no window before."""
        if self.attention == "full" or (isinstance(frames, int) and frames <= self.window):
            queries = keys = frames
        else:
            queries, keys = self.window, 2 * self.window
        table = None if self.position == "rotary" else self.position_bias(keys)
        return causal_bias(table, queries, keys)

    def reach(self, span: Span) -> Span:
        return chain(self.layer, span)

    def start(self, flow: Flow) -> tuple[TransformerState, Flow]:
        if self.attention == "full":
            raise StreamingError(
                "the transformers see everything before (transformer.attention = 'full'), so they "
                "cannot work step by step"
            )
        rings = [
            empty_ring(flow.batch, self.heads, self.window, self._head_dim) for _ in self.layer
        ]
        return TransformerState(no_positions(flow.batch, self.window), rings), flow

    def step(self, state: TransformerState, stream: Stream) -> tuple[TransformerState, Stream]:
        x, done = only_real(stream), []
        table = None if self.position == "rotary" else self.position_bias(2 * self.window)
        block = min(self.window, STEP_BLOCK)

        def attend(
            transformer: LocalTransformer, state: TransformerState, part: tuple[Array, Array]
        ) -> tuple[TransformerState, Frames]:
            frames, real = part
            seen, positions = see(state.positions, real, transformer.window)
            rings = []
            for layer, ring in zip(transformer.layer, state.rings, strict=True):
                ring, frames = layer.attend_step(ring, frames, seen, table)
                rings.append(ring)
            return TransformerState(positions, rings), frames

        batch, count, width = x.shape
        whole = count // block if count > WRITTEN_OUT * block else 0
        if whole:
            parts = (
                x[:, : whole * block].reshape(batch, whole, block, width),
                stream.real[:, : whole * block].reshape(batch, whole, block),
            )
            loop = nn.scan(
                attend, variable_broadcast="params", split_rngs={}, in_axes=1, out_axes=1
            )
            state, frames = loop(self, state, parts)
            done.append(frames.reshape(batch, whole * block, width))
        for start in range(whole * block, count, block):
            here = slice(start, start + block)
            state, frames = attend(self, state, (x[:, here], stream.real[:, here]))
            done.append(frames)
        return state, stream._replace(frames=jnp.concatenate(done, axis=1))


class TransformerState(NamedTuple):
    """What a transformer keeps: where its frames stood, and keys and values of each layer."""

    positions: Positions
    rings: list[Ring]


class EncoderTransformer(Chain):
    """Encoder features (b, n·compress_rate, f) to those that are quantized (b, n, f).

    With compression: the first half of the layers at the long window, then a strided convolution,
    the others at the short window.
    """

    config: TransformerConfig
    features: int
    folded: bool = False
    dtype: DTypeLike | None = None

    def setup(self):
        config, rate = self.config, self.config.compress_rate
        if rate == 1:
            self.transformer = _transformer(self, config.encoder_depth)
            return
        before = config.encoder_depth // 2
        self.long = _transformer(self, before, rate)
        self.down = StridedConv(self.features, rate, folded=self.folded, dtype=self.dtype)
        self.short = _transformer(self, config.encoder_depth - before)

    @property
    def layers(self) -> list[Layer]:
        if self.config.compress_rate == 1:
            return [self.transformer]
        return [self.long, self.down, self.short]


class DecoderTransformer(Chain):
    """Quantized features (b, n, f) to the decoder's input (b, n·compress_rate, f).

    With compression: all but two layers at the short window, then linear upsampling, two layers at
    the long window.
    """

    config: TransformerConfig
    features: int
    folded: bool = False
    dtype: DTypeLike | None = None
    look_ahead: int | float = math.inf
    """in frames of the output"""

    def setup(self):
        config, rate = self.config, self.config.compress_rate
        if rate == 1:
            self.transformer = _transformer(self, config.decoder_depth)
            return
        self.short = _transformer(self, config.decoder_depth - 2)
        self.up = LinearUpsample(rate, self.look_ahead)
        self.long = _transformer(self, 2, rate)

    @property
    def layers(self) -> list[Layer]:
        if self.config.compress_rate == 1:
            return [self.transformer]
        return [self.short, self.up, self.long]


def _transformer(
    of: EncoderTransformer | DecoderTransformer, depth: int, rate: int = 1
) -> LocalTransformer:
    """Its layers at one window, where there are `rate` frames for a token."""
    config = of.config
    window = config.window_size * rate
    return LocalTransformer(
        of.features,
        depth,
        window,
        config.position,
        config.attention,
        config.heads,
        config.head_dim,
        of.folded,
        of.dtype,
    )
