"""Local causal transformers: attention within a fixed grid of windows.

A query sees its own window up to itself, and the whole window before. Shapes: b batch, n frames,
w window, h heads, d head width, f feature width.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from . import ops
from .layers import ChannelNorm, LinearUpsample, PlainDense, StridedConv
from .ops import Frames, Lengths
from .reach import Span, chain

HEADS = 6
LAYER_NORM_EPS = 1e-5
_MASKED = float(np.finfo(np.float32).min)

Heads = Float[Array, "b n h d"]


def feed_forward_width(features: int) -> int:
    """Width of the gated feed-forward layer: 8/3 of the features, rounded down."""
    return int(features * 4 * 2 / 3)


def relative_bias(by_distance: Float[Array, "m h"], queries: int, keys: int):
    """(h, queries, keys) biases by |i - j|, the last query at the last key."""
    positions = jnp.arange(keys)
    return by_distance.T[:, jnp.abs(positions[keys - queries :, None] - positions[None])]


def rotate(x: Float[Array, "... n h d"], positions: Float[Array, " n"]) -> Array:
    """Rotary embedding of `x` at `positions`: halves of the width are rotated against each other.

    The angles' frequencies are 10000^(-2k/d).
    """
    width = x.shape[-1]
    frequencies = 1.0 / 10000 ** (jnp.arange(0, width, 2, dtype=jnp.float32) / width)
    angles = positions[:, None] * frequencies[None]
    angles = angles.reshape((1,) * (x.ndim - 3) + (len(positions), 1, -1)).astype(x.dtype)
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    first, second = jnp.split(x, 2, axis=-1)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def _attend(query, key, value, bias, mask):
    """Softmax attention over (..., n, h, d) queries and (..., m, h, d) keys and values."""
    scores = jnp.einsum("...ihd,...jhd->...hij", query, key)
    if bias is not None:
        scores = scores + bias.reshape((1,) * (scores.ndim - 3) + bias.shape)
    scores = jnp.where(mask.reshape((1,) * (scores.ndim - mask.ndim) + mask.shape), scores, _MASKED)
    return jnp.einsum("...hij,...jhd->...ihd", jax.nn.softmax(scores, axis=-1), value)


def full_attention(query: Heads, key: Heads, value: Heads, bias, rotary: bool) -> Heads:
    """Causal attention over the whole sequence."""
    frames = query.shape[1]
    if rotary:
        positions = jnp.arange(frames, dtype=jnp.float32)
        query, key = rotate(query, positions), rotate(key, positions)
    return _attend(query, key, value, bias, np.tri(frames, dtype=bool))


def local_attention(
    query: Heads, key: Heads, value: Heads, window: int, bias, rotary: bool
) -> Heads:
    """Causal attention within windows of `window` frames and the one before each.

    `bias` is (h, window, 2·window), or (h, n, n) for a sequence no longer than one window.
    """
    batch, frames, heads, width = query.shape
    windows = -(-frames // window)
    if windows == 1:
        return full_attention(query, key, value, bias, rotary)
    padding = [(0, 0), (0, windows * window - frames), (0, 0), (0, 0)]

    def split(x):
        return jnp.pad(x, padding).reshape(batch, windows, window, heads, width)

    def with_previous(x):
        previous = jnp.pad(x[:, :-1], [(0, 0), (1, 0), (0, 0), (0, 0), (0, 0)])
        return jnp.concatenate([previous, x], axis=2)

    query, key, value = split(query), with_previous(split(key)), with_previous(split(value))
    if rotary:
        positions = jnp.arange(2 * window, dtype=jnp.float32)
        query, key = rotate(query, positions[window:]), rotate(key, positions)
    causal = np.tri(window, 2 * window, window, dtype=bool)
    exists = (np.arange(windows) > 0)[:, None] | (np.arange(2 * window) >= window)
    mask = causal & exists[:, None, None, :]
    attended = _attend(query, key, value, bias, mask)
    return attended.reshape(batch, windows * window, heads, width)[:, :frames]


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

    def __call__(self, x: Frames, bias: Float[Array, "h q k"] | None = None) -> Frames:
        batch, frames, _ = x.shape
        qkv = self.qkv(self.attention_norm(x)).reshape(batch, frames, 3, HEADS, -1)
        query, key, value = qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]
        query = query * key.shape[-1] ** -0.5
        if self.attention == "full":
            attended = full_attention(query, key, value, bias, self.rotary)
        else:
            attended = local_attention(query, key, value, self.window, bias, self.rotary)
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
        bias = None if self.position == "rotary" else self._bias(x.shape[1])
        for layer in self.layer:
            x = layer(x, bias)
        return x

    def _bias(self, frames: int) -> Float[Array, "h q k"]:
        if self.attention == "full" or frames <= self.window:
            return relative_bias(self.position_bias(frames), frames, frames)
        keys = 2 * self.window
        return relative_bias(self.position_bias(keys), self.window, keys)

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
