"""A decoder-only transformer over the tokens of a codec with one quantizer.

Shapes: b batch, n tokens, l dimensions of the quantizer, w width, h heads, d width of a head.

A codebook of 250,047 is no softmax for a small model. So a token goes in as the sum of what its
levels stand for, and comes out level by level: a small network predicts each dimension from the
transformer's output and the levels before it. The transformer itself runs once a token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from l3ac_jax.errors import ConfigError
from l3ac_jax.generation.config import HEAD_WIDTH, NetworkConfig
from l3ac_jax.model.levels import levels_to_tokens, tokens_to_levels
from l3ac_jax.model.ops.attention import rotate

__all__ = ["LARGEST_SOFTMAX", "Cache", "LanguageModel", "empty_cache"]

LARGEST_SOFTMAX = 2**16  # tokens; above, the output alone would be larger than a small model
_MASKED = -1e30
# Of the output: all choices are nearly as likely before the first step.
_NEARLY_EVEN = nn.initializers.normal(0.02)


class Cache(NamedTuple):
    """Of the last `context` tokens, a layer's keys, rotated by their positions, and values.

    Each is at the place `position % context`.
    """

    keys: Float[Array, "b*h context d"]
    values: Float[Array, "b*h context d"]


def empty_cache(config: NetworkConfig, batch: int) -> list[Cache]:
    """The layers' caches before the first token."""
    shape = (batch * config.width // HEAD_WIDTH, config.context, HEAD_WIDTH)
    return [Cache(jnp.zeros(shape), jnp.zeros(shape)) for _ in range(config.depth)]


class Block(nn.Module):
    """Pre-norm attention with rotary positions, and a gated feed-forward layer."""

    config: NetworkConfig

    def setup(self):
        width = self.config.width
        self.attention_norm = nn.RMSNorm()
        self.qkv = nn.Dense(3 * width, use_bias=False)
        self.out = nn.Dense(width, use_bias=False, kernel_init=self._residual)
        self.feed_forward_norm = nn.RMSNorm()
        self.gated = nn.Dense(2 * 2 * width, use_bias=False)
        self.down = nn.Dense(width, use_bias=False, kernel_init=self._residual)
        self.drop = nn.Dropout(self.config.dropout)

    @property
    def _residual(self) -> Any:
        # 1 / layers of the usual variance, so that the sum of all has the size of the input.
        return nn.initializers.variance_scaling(0.5 / self.config.depth, "fan_in", "normal")

    def __call__(self, x: Float[Array, "b n w"], train: bool) -> Float[Array, "b n w"]:
        """All tokens at once, each seeing the `context` up to itself."""
        query, key, value = self._queries_keys_values(x)
        positions = jnp.arange(x.shape[1])
        # (b, n, h, d) -> (b, h, n, d), as `rotate` has it.
        turned = positions.astype(jnp.float32)
        query, key = (rotate(y.swapaxes(1, 2), turned) for y in (query, key))
        distance = positions[:, None] - positions[None]
        seen = (distance >= 0) & (distance < self.config.context)
        scores = jnp.einsum("bhid,bhjd->bhij", query, key) * HEAD_WIDTH**-0.5
        weights = jax.nn.softmax(jnp.where(seen[None, None], scores, _MASKED))
        mixed = jnp.einsum("bhij,bjhd->bihd", weights, value)
        return self._finished(x, mixed, train)

    def step(
        self, cache: Cache, x: Float[Array, "b 1 w"], position: Int[Array, ""]
    ) -> tuple[Cache, Float[Array, "b 1 w"]]:
        """The next token, at `position` from the beginning."""
        # (b, 1, h, d) -> (b*h, 1, d), as the cache has them: products of more axes copied it twice.
        query, key, value = (y.reshape(-1, 1, HEAD_WIDTH) for y in self._queries_keys_values(x))
        query, key = (_turned(y, position) for y in (query, key))
        place = position % self.config.context
        keys = jax.lax.dynamic_update_slice_in_dim(cache.keys, key, place, axis=1)
        values = jax.lax.dynamic_update_slice_in_dim(cache.values, value, place, axis=1)
        # How long ago each place was written; what was not written yet would be before the start.
        distance = (place - jnp.arange(self.config.context)) % self.config.context
        seen = distance <= position
        scores = jnp.einsum("hid,hjd->hij", query, keys) * HEAD_WIDTH**-0.5
        weights = jax.nn.softmax(jnp.where(seen[None, None], scores, _MASKED))
        mixed = jnp.einsum("hij,hjd->hid", weights, values)
        return Cache(keys, values), self._finished(x, mixed, train=False)

    def _queries_keys_values(self, x: Float[Array, "b n w"]) -> tuple[Array, Array, Array]:
        parts = jnp.split(self.qkv(self.attention_norm(x)), 3, axis=-1)
        query, key, value = (part.reshape(*x.shape[:2], -1, HEAD_WIDTH) for part in parts)
        return query, key, value

    def _finished(self, x: Array, mixed: Float[Array, "b n h d"], train: bool) -> Array:
        still = not train
        x = x + self.drop(self.out(mixed.reshape(x.shape)), deterministic=still)
        content, gate = jnp.split(self.gated(self.feed_forward_norm(x)), 2, axis=-1)
        return x + self.drop(self.down(content * nn.silu(gate)), deterministic=still)


class LevelsHead(nn.Module):
    """The distribution of a token, one dimension of the quantizer after the other."""

    levels: Sequence[int]
    width: int

    def setup(self):
        self.norm = nn.RMSNorm()
        self.of_level = nn.Embed(sum(self.levels), self.width)
        self.of_dimension = nn.Embed(len(self.levels), self.width)
        self.hidden = nn.Dense(self.width)
        # One for each dimension: the transformer's output is read in another way for each.
        size = (len(self.levels), max(self.levels))
        self.output = self.param("output", _NEARLY_EVEN, (size[0], self.width, size[1]))
        self.bias = self.param("bias", nn.initializers.zeros_init(), size)

    def __call__(
        self, x: Float[Array, "b n w"], levels: Int[Array, "b n l"]
    ) -> Float[Array, "b n l most"]:
        """Logarithms of probabilities of each level, those before it given."""
        known = self.of_level(levels + _first_levels(self.levels)[None, None])
        before = jnp.cumsum(known, axis=2) - known
        return self._log_probabilities(self.norm(x)[:, :, None] + before, slice(None))

    def of_next(
        self, x: Float[Array, "b 1 w"], before: Float[Array, "b w"], dimension: int
    ) -> Float[Array, "b most"]:
        """Of one dimension, after levels that came to `before` (see `embedded`)."""
        hidden = self.norm(x)[:, 0] + before
        return self._log_probabilities(hidden[:, None], slice(dimension, dimension + 1))[:, 0]

    def embedded(self, level: Int[Array, " b"], dimension: int) -> Float[Array, "b w"]:
        """What a level adds to `before`."""
        return self.of_level(level + int(_first_levels(self.levels)[dimension]))

    def _log_probabilities(self, x: Float[Array, "*n l w"], which: slice) -> Array:
        dimensions = np.arange(len(self.levels))[which]
        axes = tuple(range(x.ndim - 2))
        x = x + jnp.expand_dims(self.of_dimension(jnp.asarray(dimensions)), axes)
        features = x + nn.gelu(self.hidden(x))
        logits = jnp.einsum("...lw,lwm->...lm", features, self.output[which])
        logits = logits + jnp.expand_dims(self.bias[which], axes)
        exists = np.arange(max(self.levels))[None] < np.asarray(self.levels)[which][:, None]
        return jax.nn.log_softmax(jnp.where(np.expand_dims(exists, axes), logits, _MASKED))


class LanguageModel(nn.Module):
    """Distributions of a codec's tokens, given those before.

    `levels` are those of the codec's quantizer. With `labels` it is told which of so many labels a
    recording has, before its first token. Raises ConfigError for a softmax over a codebook that is
    too large for it.
    """

    config: NetworkConfig
    levels: tuple[int, ...]
    labels: int = 0

    def setup(self):
        size = int(np.prod(self.levels))
        if self.config.head == "softmax" and size > LARGEST_SOFTMAX:
            raise ConfigError(
                f"model.head: 'softmax' is for codebooks of up to {LARGEST_SOFTMAX} tokens, and "
                f"this one has {size}: take 'levels'"
            )
        width = self.config.width
        self.begin = self.param("begin", nn.initializers.normal(1.0), (width,))
        if self.labels:
            self.of_label = self.param(
                "of_label", nn.initializers.normal(1.0), (self.labels, width)
            )
        self.of_level = nn.Embed(sum(self.levels), width)
        self.block = [Block(self.config) for _ in range(self.config.depth)]
        if self.config.head == "levels":
            self.head = LevelsHead(self.levels, width)
        else:
            self.norm = nn.RMSNorm()
            self.output = nn.Dense(size, kernel_init=_NEARLY_EVEN)

    def __call__(
        self, tokens: Int[Array, "b n"], train: bool = False, label: Int[Array, " b"] | None = None
    ) -> Float[Array, "b n"]:
        """Logarithm (natural) of the probability of each token, given those before it.

        With `train` and dropout it needs the random key "dropout".
        """
        levels = tokens_to_levels(tokens, self.levels)
        inputs = self._embedded(levels[:, :-1])
        x = jnp.concatenate([self._begin(len(tokens), label), inputs], axis=1)
        for block in self.block:
            x = block(x, train)
        if self.config.head == "softmax":
            logs = jax.nn.log_softmax(self.output(self.norm(x)))
            return jnp.take_along_axis(logs, tokens[..., None], axis=-1)[..., 0]
        logs = self.head(x, levels)
        return jnp.take_along_axis(logs, levels[..., None], axis=-1)[..., 0].sum(axis=-1)

    def random_params(self, key: Array) -> dict[str, Any]:
        """The parameters before training."""
        init: Any = self.init
        label = jnp.zeros(1, jnp.int32) if self.labels else None
        return init(key, jnp.zeros((1, 2), jnp.int32), label=label)["params"]

    def hidden(
        self,
        caches: list[Cache],
        token: Int[Array, " b"],
        position: Int[Array, ""],
        label: Int[Array, " b"] | None = None,
    ) -> tuple[list[Cache], Float[Array, "b 1 w"]]:
        """Hear the token before `position` (whichever at 0: there is none), for `sample`."""
        embedded = self._embedded(tokens_to_levels(token[:, None], self.levels))
        x = jnp.where(position == 0, self._begin(len(token), label), embedded)
        after = []
        for block, cache in zip(self.block, caches, strict=True):
            cache, x = block.step(cache, x, position)
            after.append(cache)
        return after, x

    def sample(
        self,
        x: Float[Array, "b 1 w"],
        key: Array,
        temperature: Float[Array, ""],
        top_p: Float[Array, ""],
    ) -> Int[Array, " b"]:
        """The next token, drawn; of all tokens the likeliest, which have `top_p` or more.

        By levels, each dimension keeps the share whose product over all of them is `top_p`.
        """
        if self.config.head == "softmax":
            logs = jax.nn.log_softmax(self.output(self.norm(x)))[:, 0]
            return draw(key, logs, temperature, top_p)
        of_each = top_p ** (1 / len(self.levels))
        before = jnp.zeros((len(x), self.config.width))
        drawn = []
        for dimension, of_level in enumerate(jax.random.split(key, len(self.levels))):
            logs = self.head.of_next(x, before, dimension)
            drawn.append(draw(of_level, logs, temperature, of_each))
            before = before + self.head.embedded(drawn[-1], dimension)
        return levels_to_tokens(jnp.stack(drawn, axis=-1), self.levels)

    def _begin(self, batch: int, label: Int[Array, " b"] | None) -> Float[Array, "b 1 w"]:
        """What stands before the first token."""
        assert (label is None) == (not self.labels), "a label for each, if the model has labels"
        begin = jnp.broadcast_to(self.begin, (batch, self.config.width))
        return (begin if label is None else begin + self.of_label[label])[:, None]

    def _embedded(self, levels: Int[Array, "b n l"]) -> Float[Array, "b n w"]:
        return self.of_level(levels + _first_levels(self.levels)[None, None]).sum(axis=2)


def draw(
    key: Array,
    logs: Float[Array, "b choices"],
    temperature: Float[Array, ""],
    top_p: Float[Array, ""],
) -> Int[Array, " b"]:
    """A choice of each row, whose chances are `logs` at a temperature, cut to the likeliest.

    Kept are the likeliest choices until their chances come to `top_p`; one is always. Temperature
    0 takes the likeliest.
    """
    sharpened = jax.nn.log_softmax(logs / jnp.maximum(temperature, 1e-6))
    order = jnp.argsort(-sharpened, axis=-1)
    ranked = jnp.take_along_axis(sharpened, order, axis=-1)
    kept: Bool[Array, "b choices"] = jnp.cumsum(jnp.exp(ranked), axis=-1) - jnp.exp(ranked) < top_p
    kept = kept.at[:, 0].set(True)
    choice = jax.random.categorical(key, jnp.where(kept, ranked, _MASKED))
    choice = jnp.where(temperature <= 0, 0, choice)
    return jnp.take_along_axis(order, choice[:, None], axis=-1)[:, 0].astype(jnp.int32)


def _turned(x: Float[Array, "bh 1 d"], position: Int[Array, ""]) -> Float[Array, "bh 1 d"]:
    """`rotate` at one position, as exactly after a day as at the beginning.

    A float32 angle of a late position has lost its fraction of a turn. Here turns are whole numbers
    of 2^-32 that wrap, so that distances between positions keep theirs.
    """
    frequencies = 10000.0 ** (-np.arange(0, HEAD_WIDTH, 2) / HEAD_WIDTH)
    step = np.round(frequencies / (2 * np.pi) * 2.0**32).astype(np.uint32)
    angles = (jnp.asarray(position, jnp.uint32) * step).astype(jnp.float32) * (2 * np.pi / 2.0**32)
    cos, sin = (wave(angles)[None, None] for wave in (jnp.cos, jnp.sin))
    first, second = jnp.split(x, 2, axis=-1)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def _first_levels(levels: Sequence[int]) -> np.ndarray:
    """Where each dimension's levels begin in one table of all."""
    return np.cumsum([0, *levels[:-1]]).astype(np.int32)
