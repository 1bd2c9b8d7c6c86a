"""The decoder's EnhanceBlock: channels scaled by what the trends of the first one say."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from l3ac_jax.config.model import TPoolingConfig
from l3ac_jax.errors import StreamingError
from l3ac_jax.model import ops
from l3ac_jax.model.layer import Layer, Role
from l3ac_jax.model.layers import BlockOptions, PlainDense, absorb, by_rows
from l3ac_jax.model.norms import AFFINE, affine
from l3ac_jax.model.ops import Frames, Lengths, Signal
from l3ac_jax.model.reach import WHOLE_CLIP, Span
from l3ac_jax.model.streams import Flow, Stream
from l3ac_jax.model.tpooling import (
    Aligned,
    TrendBranch,
    pooling_kernel,
    start_aligned,
    step_aligned,
    widest,
)

Moments = list[tuple[Float[Array, "b #t"], Float[Array, "b #t"]]]
"""Mean and variance of each signal, for each frame or for all of a clip."""
Statistics = list[tuple[Float[Array, " b"], Float[Array, " b"]]]
"""Mean and variance of each signal over its clip."""


class EnhanceState(NamedTuple):
    """What an EnhanceBlock keeps: of its branches, and for its norm one of the two or neither."""

    branches: Aligned
    past: ops.Past | None
    given: Statistics | None


class EnhanceBlock(Layer):
    """Scales each channel by 1 + a mix of the trends of channel 0, normed.

    The norm is an InstanceNorm, as published over the whole clip ("clip"), which makes every output
    frame depend on every input frame; or over the frames so far ("running", a frame weighing 1/e
    after `memory` frames); or there is none ("none").
    """

    channels: int
    tpooling: TPoolingConfig = TPoolingConfig()
    options: BlockOptions = BlockOptions()
    statistics: str = "clip"
    memory: float = 1.0

    def setup(self):
        folded, tpooling = self.options.folded, self.tpooling
        self.branch = [
            TrendBranch(
                pooling_kernel(tpooling, kernel),
                1,
                kernel // 2 + 1,  # as published, also where the pooling is ablated
                tpooling.absolute,
                self.options.frames_ahead(),
                folded=folded,
                role=Role.NORMALIZED,
            )
            for kernel in tpooling.decoder_kernels
        ]
        self.norm = TrendNorm(folded)
        self.merge = PlainDense(self.channels, folded=folded)

    def __call__(
        self, x: Frames, lengths: Lengths = None, statistics: Statistics | None = None
    ) -> Frames:
        """`statistics` are those of the trends over the clip that `x` is a part of."""
        trends = self.trends(x, lengths)
        if self.statistics == "clip" and statistics is None:
            statistics = [ops.clip_statistics(trend, lengths) for trend in trends]
        real = jnp.ones(x.shape[:2], bool)  # nobody sees what comes after the clip
        _, moments = self._moments(trends, real, self._no_past(len(x)), statistics)
        return self._scaled(x, trends, moments)

    def _no_past(self, batch: int) -> ops.Past | None:
        return ops.no_past(batch, len(self.branch)) if self.statistics == "running" else None

    def _moments(
        self, trends: list[Signal], real: Array, past: ops.Past | None, given: Statistics | None
    ) -> tuple[ops.Past | None, Moments | None]:
        """By which the norm standardizes each trend, and the past after these frames."""
        signals = jnp.stack(trends, axis=-1)
        if given is not None:
            return None, [(mean[:, None], variance[:, None]) for mean, variance in given]
        if past is not None:
            past, means, variances = ops.running_statistics(signals, real, self.memory, past)
            return past, [(means[..., k], variances[..., k]) for k in range(len(trends))]
        return None, None

    def _scaled(self, x: Frames, trends: list[Signal], moments: Moments | None) -> Frames:
        gain = self.merge(self.norm(trends, moments).astype(x.dtype))
        return x + x * gain

    def trends(self, x: Frames, lengths: Lengths = None) -> list[Signal]:
        """The trends of channel 0, before the norm."""
        leader = ops.at_least_float32(x[..., 0])
        return [branch(leader, lengths)[..., 0] for branch in self.branch]

    def fold(self, params: dict[str, Any]) -> dict[str, Any]:
        folded = dict(params)
        return folded | {"merge": absorb(by_rows(folded["merge"]), **folded.pop("norm"))}

    def local_reach(self, span: Span) -> Span:
        return widest(self.branch, span)

    def reach(self, span: Span) -> Span:
        if self.statistics == "clip":
            return WHOLE_CLIP
        reach = self.local_reach(span)
        return Span(-math.inf, reach.last) if self.statistics == "running" else reach

    def start(self, flow: Flow, statistics: Statistics | None = None) -> tuple[EnhanceState, Flow]:
        """With the `statistics` of a clip where the norm takes those."""
        if self.statistics == "clip" and statistics is None:
            raise StreamingError(
                "the decoder norms by statistics over the whole clip (decoder.norm_statistics = "
                "'clip'), so it cannot work step by step unless they are given"
            )
        state, lag = start_aligned(self.branch, flow, flow._replace(channels=None))
        given = statistics if self.statistics == "clip" else None
        return EnhanceState(state, self._no_past(flow.batch), given), flow._replace(lag=lag)

    def step(self, state: EnhanceState, stream: Stream) -> tuple[EnhanceState, Stream]:
        leader = ops.at_least_float32(stream.frames[..., 0])
        aligned, views, stream = step_aligned(self.branch, state.branches, stream, leader)
        trends = [view[..., 0] for view in views]
        past, moments = self._moments(trends, stream.real, state.past, state.given)
        frames = self._scaled(stream.frames, trends, moments)
        return EnhanceState(aligned, past, state.given), Stream(frames, stream.real)


class TrendNorm(Layer):
    """The InstanceNorm of an EnhanceBlock: each trend to zero mean and unit variance."""

    kinds = AFFINE
    folded: bool = False

    @nn.compact
    def __call__(self, trends: list[Signal], moments: Moments | None) -> Float[Array, "b t k"]:
        """Without moments, the trends as they are."""
        if moments is not None:
            known = zip(trends, moments, strict=True)
            trends = [ops.standardize(trend, *moment) for trend, moment in known]
        x = jnp.stack(trends, axis=-1)
        return x if self.folded else affine(self, x)
