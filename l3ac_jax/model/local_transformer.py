"""Local causal transformers: attention within a fixed grid of windows.

A query sees its own window up to itself, and the whole window before. Shapes: b batch, n frames,
w window, h heads, d head width, f feature width.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from . import ops
from .layers import LinearUpsample, PlainDense, StridedConv
from .norms import ChannelNorm
from .ops import Frames, Lengths
from .reach import Span, chain

HEADS = 6
LAYER_NORM_EPS = 1e-5
_MASKED = -1e30
_BLOCK = 192

Heads = Float[Array, "b n h d"]


def feed_forward_width(features: int) -> int:
    """Width of the gated feed-forward layer: 8/3 of the features, rounded down."""
    return int(features * 4 * 2 / 3)


def causal_bias(
    by_distance: Float[Array, "m h"] | None, queries: int, keys: int
) -> Float[Array, "h q k"]:
    """(h, queries, keys) biases by |i - j|, the last query at the last key; later keys masked.

    Without `by_distance`, the mask alone, for all heads.
    """
    positions = jnp.arange(keys)
    distance = positions[keys - queries :, None] - positions[None]
    if by_distance is None:
        return jnp.where(distance < 0, _MASKED, 0.0)[None]
    return jnp.where(distance[None] < 0, _MASKED, by_distance.T[:, jnp.abs(distance)])


def rotate(x: Float[Array, "*bwh i d"], positions: Float[Array, " i"]) -> Array:
    """Rotary embedding of `x` at `positions`: halves of the width are rotated against each other.

    The angles' frequencies are 10000^(-2k/d).
    """
    width = x.shape[-1]
    frequencies = 1.0 / 10000 ** (jnp.arange(0, width, 2, dtype=jnp.float32) / width)
    angles = positions[:, None] * frequencies[None]
    angles = angles.astype(jnp.promote_types(x.dtype, angles.dtype))
    angles = angles.reshape((1,) * (x.ndim - 2) + angles.shape)
    cos, sin = jnp.cos(angles).astype(x.dtype), jnp.sin(angles).astype(x.dtype)
    first, second = jnp.split(x, 2, axis=-1)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def causal_attention(
    query: Heads, key: Heads, value: Heads, window: int, bias: Float[Array, "#h q k"], rotary: bool
) -> Heads:
    """Attention within windows of `window` frames and, if `bias` covers it, the one before each.

    `bias` is (h or 1, window, window) or (h or 1, window, 2·window). Queries are taken in blocks,
    so that most of what the mask hides is never computed.
    """
    frames = query.shape[1]
    query, key, value = (_split_windows(x, window) for x in (query, key, value))
    before = bias.shape[2] - window
    if rotary:
        # relative positions are all that counts; the same ones with and without a window before
        positions = window + jnp.arange(window, dtype=jnp.float32)
        query, own_key = rotate(query, positions), rotate(key, positions)
        previous_key = rotate(key, positions - window)
    else:
        own_key = previous_key = key
    rows = []
    for start in range(0, min(window, frames), _BLOCK):
        stop = min(start + _BLOCK, window)
        windows = -(-(frames - start) // window)
        block = query[:, :windows, :, start:stop]
        own = (own_key[:, :windows, :, :stop], value[:, :windows, :, :stop])
        block_bias = bias[:, start:stop, : before + stop]
        first = _attend(block[:, :1], own[0][:, :1], own[1][:, :1], block_bias[:, :, before:])
        if windows > 1:
            keys = jnp.concatenate([previous_key[:, : windows - 1], own[0][:, 1:]], axis=3)
            values = jnp.concatenate([value[:, : windows - 1], own[1][:, 1:]], axis=3)
            others = _attend(block[:, 1:], keys, values, block_bias)
            first = jnp.concatenate([first, others], axis=1)
        missing = query.shape[1] - windows
        rows.append(jnp.pad(first, [(0, 0), (0, missing), (0, 0), (0, 0), (0, 0)]))
    attended = jnp.concatenate(rows, axis=3).transpose(0, 1, 3, 2, 4)
    return attended.reshape(attended.shape[0], -1, *attended.shape[3:])[:, :frames]


def _split_windows(x: Heads, window: int) -> Float[Array, "b w h i d"]:
    """Windows of frames, padded to whole ones, heads before frames."""
    batch, frames, heads, width = x.shape
    padded = jnp.pad(x, [(0, 0), (0, -frames % window), (0, 0), (0, 0)])
    return padded.reshape(batch, -1, window, heads, width).transpose(0, 1, 3, 2, 4)


def _attend(query, key, value, bias):
    """Softmax attention over (b, w, h, i, d) queries and (b, w, h, j, d) keys and values."""
    precise = jnp.promote_types(query.dtype, jnp.float32)
    scores = jnp.einsum("bwhid,bwhjd->bwhij", query, key, preferred_element_type=precise)
    scores = scores + bias[None, None]
    weights = jnp.exp(scores - jax.lax.stop_gradient(scores.max(axis=-1, keepdims=True)))
    # dividing the small result instead of the weights saves a pass over them
    mixed = jnp.einsum("bwhij,bwhjd->bwhid", weights.astype(value.dtype), value)
    return mixed / weights.sum(axis=-1, keepdims=True).astype(value.dtype)


class PositionBias(nn.Module):
    """Learned bias of each head by distance: an MLP on the distance itself.

    Folded, the table of what the MLP gives for each distance.
    """

    features: int
    distances: int
    folded: bool = False

    @nn.compact
    def __call__(self, distances: int) -> Float[Array, "m h"]:
        """The biases of distances 0 to `distances` - 1."""
        if self.folded:
            table = self.param("table", nn.initializers.zeros, (self.distances, HEADS))
            return table[:distances]
        hidden = self.features // 2
        x = jnp.arange(distances, dtype=jnp.float32)[:, None]
        x = nn.silu(PlainDense(hidden, name="hidden_0")(x))
        x = nn.silu(PlainDense(hidden, name="hidden_1")(x))
        return PlainDense(HEADS, name="output")(x)


class TransformerLayer(nn.Module):
    """Pre-norm attention and a GEGLU feed-forward layer, both residual."""

    features: int
    window: int
    rotary: bool = False
    attention: str = "local"
    folded: bool = False

    def setup(self):
        inner = HEADS * (self.features // 4)
        self.attention_norm = ChannelNorm(self.folded, LAYER_NORM_EPS)
        self.qkv = PlainDense(3 * inner, use_bias=self.folded)
        self.out = PlainDense(self.features, use_bias=False)
        self.feed_forward_norm = ChannelNorm(self.folded, LAYER_NORM_EPS)
        width = feed_forward_width(self.features)
        self.feed_forward_in = PlainDense(2 * width, use_bias=self.folded)
        self.feed_forward_out = PlainDense(self.features, use_bias=False)

    def __call__(self, x: Frames, bias: Float[Array, "#h q k"]) -> Frames:
        """`bias` also says what is seen: (h, window, window or 2·window)."""
        batch, frames, _ = x.shape
        qkv = self.qkv(self.attention_norm(x)).reshape(batch, frames, 3, HEADS, -1)
        query, key, value = qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]
        query = query * key.shape[-1] ** -0.5
        attended = causal_attention(query, key, value, bias.shape[1], bias, self.rotary)
        x = x + self.out(attended.reshape(batch, frames, -1))
        content, gate = jnp.split(self.feed_forward_in(self.feed_forward_norm(x)), 2, axis=-1)
        return x + self.feed_forward_out(content * ops.gelu(gate))

    def reach(self, span: Span) -> Span:
        if self.attention == "full" or math.isinf(span.first):
            return Span(-math.inf, span.last)
        return Span((span.first // self.window - 1) * self.window, span.last)


class LocalTransformer(nn.Module):
    """Transformer layers that share one position bias."""

    features: int
    depth: int
    window: int
    position: str = "dynamic_bias"
    attention: str = "local"
    folded: bool = False

    def setup(self):
        rotary = self.position == "rotary"
        self.layer = [
            TransformerLayer(self.features, self.window, rotary, self.attention, self.folded)
            for _ in range(self.depth)
        ]
        if not rotary:
            # full attention has no largest distance, so its MLP cannot become a table
            folded = self.folded and self.attention == "local"
            self.position_bias = PositionBias(self.features, 2 * self.window, folded)

    def __call__(self, x: Frames, lengths: Lengths = None) -> Frames:
        x = ops.mask_frames(x, lengths)
        bias = self._bias(x.shape[1])
        for layer in self.layer:
            x = layer(x, bias)
        return x

    def _bias(self, frames: int) -> Float[Array, "h q k"]:
        """Within one window, and for full attention, there is no window before."""
        if self.attention == "full" or frames <= self.window:
            queries = keys = frames
        else:
            queries, keys = self.window, 2 * self.window
        table = None if self.position == "rotary" else self.position_bias(keys)
        return causal_bias(table, queries, keys)

    def reach(self, span: Span) -> Span:
        return chain(self.layer, span)


class EncoderTransformer(nn.Module):
    """Encoder features to the features that are quantized.

    With compression: the first half of the layers at the long window, then a strided convolution,
    the others at the short window.
    """

    features: int
    depth: int
    window: int
    compress_rate: int = 1
    position: str = "dynamic_bias"
    attention: str = "local"
    folded: bool = False

    def setup(self):
        def transformer(depth, window):
            return LocalTransformer(
                self.features, depth, window, self.position, self.attention, self.folded
            )

        if self.compress_rate == 1:
            self.transformer = transformer(self.depth, self.window)
            return
        before = self.depth // 2
        self.long = transformer(before, self.window * self.compress_rate)
        self.down = StridedConv(self.features, self.compress_rate, self.folded)
        self.short = transformer(self.depth - before, self.window)

    def __call__(self, x: Frames, lengths: Lengths = None) -> Float[Array, "b u c"]:
        """(b, n·compress_rate, f) to (b, n, f); `lengths` counts the former."""
        if self.compress_rate == 1:
            return self.transformer(x, lengths)
        x = self.down(self.long(x, lengths))
        return self.short(x, None if lengths is None else lengths // self.compress_rate)

    def reach(self, span: Span) -> Span:
        if self.compress_rate == 1:
            return self.transformer.reach(span)
        return chain([self.long, self.down, self.short], span)


class DecoderTransformer(nn.Module):
    """Quantized features to the decoder's input.

    With compression: all but two layers at the short window, then linear upsampling, two layers at
    the long window.
    """

    features: int
    depth: int
    window: int
    compress_rate: int = 1
    position: str = "dynamic_bias"
    attention: str = "local"
    folded: bool = False

    def setup(self):
        def transformer(depth, window):
            return LocalTransformer(
                self.features, depth, window, self.position, self.attention, self.folded
            )

        if self.compress_rate == 1:
            self.transformer = transformer(self.depth, self.window)
            return
        self.short = transformer(self.depth - 2, self.window)
        self.up = LinearUpsample(self.compress_rate)
        self.long = transformer(2, self.window * self.compress_rate)

    def __call__(self, x: Frames, lengths: Lengths = None) -> Float[Array, "b u c"]:
        """(b, n, f) to (b, n·compress_rate, f); `lengths` counts the former."""
        if self.compress_rate == 1:
            return self.transformer(x, lengths)
        x = self.up(self.short(x, lengths), lengths)
        return self.long(x, None if lengths is None else lengths * self.compress_rate)

    def reach(self, span: Span) -> Span:
        if self.compress_rate == 1:
            return self.transformer.reach(span)
        return chain([self.short, self.up, self.long], span)
