"""Local causal transformers: attention within a fixed grid of windows.

Shapes: b batch, n frames, h heads, f feature width; q queries, k keys, m distances.
"""

import math

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from l3ac_jax.model import ops
from l3ac_jax.model.layers import LinearUpsample, PlainDense, StridedConv
from l3ac_jax.model.norms import ChannelNorm
from l3ac_jax.model.ops import Frames, Lengths
from l3ac_jax.model.ops.attention import causal_attention, causal_bias
from l3ac_jax.model.reach import Span, chain

HEADS = 6
LAYER_NORM_EPS = 1e-5


def feed_forward_width(features: int) -> int:
    """Width of the gated feed-forward layer: 8/3 of the features, rounded down."""
    return int(features * 4 * 2 / 3)


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
