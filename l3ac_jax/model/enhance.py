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
from l3ac_jax.model.layers import BlockOptions, PlainDense, absorb
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

PerFrame = Float[Array, "b #t"]
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
    frame depend on every input frame; over the frames so far ("running", a frame weighing 1/e after
    `memory` frames); or the trends stay as they are ("none").
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
        self.merge = PlainDense(self.channels)

    def __call__(
        self, x: Frames, lengths: Lengths = None, statistics: Statistics | None = None
    ) -> Frames:
        """`statistics` are those of the trends over the clip that `x` is a part of."""
        trends = self.trends(x, lengths)
        if self.statistics == "clip":
            found = statistics or [ops.clip_statistics(trend, lengths) for trend in trends]
            means, variances = ([one[:, None] for one in kind] for kind in zip(*found, strict=True))
        elif self.statistics == "running":
            real = jnp.ones(x.shape[:2], bool)  # nobody sees what comes after the clip
            past = ops.no_past(len(x), len(trends))
            _, means, variances = self._running(trends, real, past)
        else:
            means = variances = None
        return self._scaled(x, trends, means, variances)

    def _running(
        self, trends: list[Signal], real: Array, past: ops.Past
    ) -> tuple[ops.Past, list[Signal], list[Signal]]:
        past, *both = ops.running_statistics(jnp.stack(trends, axis=-1), real, self.memory, past)
        means, variances = ([one[..., k] for k in range(len(trends))] for one in both)
        return past, means, variances

    def _scaled(
        self,
        x: Frames,
        trends: list[Signal],
        means: list[PerFrame] | None,
        variances: list[PerFrame] | None,
    ) -> Frames:
        gain = self.merge(self.norm(trends, means, variances).astype(x.dtype))
        return x + x * gain

    def trends(self, x: Frames, lengths: Lengths = None) -> list[Signal]:
        """The trends of channel 0, before the norm."""
        leader = ops.at_least_float32(x[..., 0])
        return [branch(leader, lengths)[..., 0] for branch in self.branch]

    def fold(self, params: dict[str, Any]) -> dict[str, Any]:
        folded = dict(params)
        return folded | {"merge": absorb(folded["merge"], **folded.pop("norm"))}

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
        past = ops.no_past(flow.batch, len(self.branch)) if self.statistics == "running" else None
        given = statistics if self.statistics == "clip" else None
        return EnhanceState(state, past, given), flow._replace(lag=lag)

    def step(self, state: EnhanceState, stream: Stream) -> tuple[EnhanceState, Stream]:
        leader = ops.at_least_float32(stream.frames[..., 0])
        aligned, views, stream = step_aligned(self.branch, state.branches, stream, leader)
        trends, past = [view[..., 0] for view in views], state.past
        if state.given is not None:
            means, variances = ([one[:, None] for one in k] for k in zip(*state.given, strict=True))
        elif past is not None:
            past, means, variances = self._running(trends, stream.real, past)
        else:
            means = variances = None
        frames = self._scaled(stream.frames, trends, means, variances)
        return EnhanceState(aligned, past, state.given), Stream(frames, stream.real)


class TrendNorm(Layer):
    """The InstanceNorm of an EnhanceBlock: each trend to zero mean and unit variance."""

    kinds = AFFINE
    folded: bool = False

    @nn.compact
    def __call__(
        self,
        trends: list[Signal],
        means: list[PerFrame] | None,
        variances: list[PerFrame] | None,
    ) -> Float[Array, "b t k"]:
        """Without means and variances, the trends as they are."""
        if means is not None and variances is not None:
            known = zip(trends, means, variances, strict=True)
            trends = [ops.standardize(*each) for each in known]
        x = jnp.stack(trends, axis=-1)
        return x if self.folded else affine(self, x)
