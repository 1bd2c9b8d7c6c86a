"""The layers that encoder and decoder are made of, channels last (see layer.py).

With `folded`, a layer holds the parameters of inference (see folding.py): no weight norm, no
published GRN, no affine part in its norms.

A layer computes in the type of the frames that it gets, and gives that type; its parameters stay
what they are. In bfloat16, weight norm, norms and Snake are still computed in float32.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from l3ac_jax.model import ops
from l3ac_jax.model.layer import Kind, Layer, Role, Windowed
from l3ac_jax.model.ops import Frames, Lengths
from l3ac_jax.model.reach import Context, Span
from l3ac_jax.model.streams import Flow, State, Stream, delayed, recent

kernel_init = nn.initializers.truncated_normal(stddev=0.02, lower=-100.0, upper=100.0)


@dataclasses.dataclass(frozen=True)
class BlockOptions:
    """What is the same for all convolutional blocks of a model.

    `dtype` is the type to which the factors of matrix products and dense convolutions are rounded;
    None leaves them as they are. Frames between the layers keep theirs.
    """

    use_norm: bool = True
    activation: str = "snake"
    folded: bool = False
    blocked: bool = False
    dtype: DTypeLike | None = None
    grn: str = "published"
    look_ahead: int | float = math.inf
    """samples of the future that a layer may see; unbounded, as many as it sees of the past"""
    stride: int = 1
    """samples between frames"""

    def at_stride(self, stride: int) -> "BlockOptions":
        """Where there are so many samples between frames."""
        return dataclasses.replace(self, stride=stride)

    def frames_ahead(self, stride: int | None = None) -> int | float:
        """Frames of the future that a layer may see, here or at another stride."""
        unbounded = math.isinf(self.look_ahead)
        return self.look_ahead if unbounded else self.look_ahead // (stride or self.stride)


def normalized_kernel(kernel: Float[Array, "*k d"], scale: Float[Array, " d"]):
    """Weight norm: each output channel's kernel has the norm `scale`."""
    norm = jnp.sqrt(jnp.sum(jnp.square(kernel), axis=tuple(range(kernel.ndim - 1))))
    return kernel * ops.per_channel(scale / norm, kernel)


class WeightNormed(Layer, kw_only=True):
    """A layer whose kernel has weight norm, unless it is `folded`."""

    kinds: ClassVar[Mapping[str, Kind]] = {
        "kernel": Kind.MIXING,
        "scale": Kind.GAIN,
        "bias": Kind.OFFSET,
    }
    folded: bool = False
    role: Role = Role.OTHER
    dtype: DTypeLike | None = None

    def weights(self, shape: tuple[int, ...], dtype: DTypeLike) -> tuple[Array, Array]:
        """The kernel (weight norm applied) and the bias, the last axis the output."""
        kernel = self.param("kernel", kernel_init, shape)
        bias = self.param("bias", nn.initializers.zeros, shape[-1:])

        def initial_scale(_key):
            return jnp.sqrt(jnp.sum(jnp.square(kernel), axis=tuple(range(kernel.ndim - 1))))

        if not self.folded:
            kernel = normalized_kernel(kernel, self.param("scale", initial_scale))
        return kernel.astype(dtype), bias.astype(dtype)

    def fold(self, params: dict[str, Any]) -> dict[str, Any]:
        kernel = params["kernel"]
        norm = (kernel**2).sum(axis=tuple(range(kernel.ndim - 1))) ** 0.5
        scale = (params["scale"] / norm)[(None,) * (kernel.ndim - 1)]
        return {"kernel": kernel * scale, "bias": params["bias"]}


def rounded(dtype: DTypeLike | None, *factors: Array) -> tuple[Array, ...]:
    """The factors of a product in `dtype`, or as they are where it is None."""
    return factors if dtype is None else tuple(factor.astype(dtype) for factor in factors)


def by_rows(layer: dict[str, Any]) -> dict[str, Any]:
    """The parameters of a linear layer as inference has them: a row of the kernel an output."""
    return layer | {"kernel": layer["kernel"].T}


def absorb(layer: dict[str, Any], scale, bias) -> dict[str, Any]:
    """Parameters of the linear layer, `by_rows`, that computes layer(x · scale + bias)."""
    kernel = layer["kernel"]
    return {"kernel": kernel * scale[None], "bias": kernel @ bias + layer.get("bias", 0)}


def dense_by_rows(
    layer: Layer, x: Frames, features: int, dtype: DTypeLike | None, use_bias: bool = True
) -> Float[Array, "b t d"]:
    """What a linear layer computes with its parameters `by_rows`."""
    kernel = layer.param("kernel", kernel_init, (features, x.shape[-1])).astype(x.dtype)
    y = ops.dense_by_rows(*rounded(dtype, x, kernel)).astype(x.dtype)
    if not use_bias:
        return y
    bias = layer.param("bias", nn.initializers.zeros, (features,)).astype(x.dtype)
    return y + ops.per_channel(bias, y)


class Dense(WeightNormed):
    """Weight-normed linear layer on each frame (a convolution of width 1)."""

    features: int

    @nn.compact
    def __call__(self, x: Frames, lengths: Lengths = None) -> Float[Array, "b t d"]:
        if self.folded:
            return dense_by_rows(self, x, self.features, self.dtype)
        kernel, bias = self.weights((x.shape[-1], self.features), x.dtype)
        y = ops.dense(*rounded(self.dtype, x, kernel)).astype(x.dtype)
        return y + ops.per_channel(bias, y)

    def fold(self, params: dict[str, Any]) -> dict[str, Any]:
        return by_rows(super().fold(params))

    def channels_after(self, channels: int | None) -> int:
        return self.features


def torch_uniform(fan_in: int):
    """PyTorch's initial values for Linear and Conv1d: uniform within ±1/sqrt(fan_in)."""

    def init(key, shape, dtype=jnp.float32):
        bound = fan_in**-0.5
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


class PlainDense(Layer):
    """Linear layer without weight norm, initialized as PyTorch does; its parameters, if `folded`,
    are those that its owner put `by_rows`.
    """

    kinds: ClassVar[Mapping[str, Kind]] = {"kernel": Kind.MIXING, "bias": Kind.OFFSET}
    features: int
    use_bias: bool = True
    role: Role = Role.OTHER
    dtype: DTypeLike | None = None
    folded: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "*n c"]) -> Float[Array, "*n d"]:
        if self.folded:
            return dense_by_rows(self, x, self.features, self.dtype, self.use_bias)
        init = torch_uniform(x.shape[-1])
        kernel = self.param("kernel", init, (x.shape[-1], self.features))
        y = ops.dense(*rounded(self.dtype, x, kernel.astype(x.dtype))).astype(x.dtype)
        if not self.use_bias:
            return y
        bias = self.param("bias", init, (self.features,)).astype(x.dtype)
        return y + ops.per_channel(bias, y)


class Conv(WeightNormed, Windowed):
    """Weight-normed convolution of odd width, zero-padded to the same length."""

    features: int
    width: int
    dilation: int = 1
    look_ahead: int | float = math.inf

    @nn.compact
    def valid(self, x: Frames) -> Float[Array, "b u d"]:
        """The convolution of the frames that have all neighbours."""
        shape = (self.width, x.shape[-1], self.features)
        kernel, bias = self.weights(shape, x.dtype)
        y = ops.conv(*rounded(self.dtype, x, kernel), dilation=self.dilation).astype(x.dtype)
        return y + ops.per_channel(bias, y)

    @property
    def context(self) -> Context:
        return Context.around(self.width, self.dilation, self.look_ahead)

    def channels_after(self, channels: int | None) -> int:
        return self.features


class DepthwiseConv(WeightNormed, Windowed):
    """Weight-normed convolution of each channel by itself, zero-padded to the same length."""

    kinds: ClassVar[Mapping[str, Kind]] = {**WeightNormed.kinds, "kernel": Kind.FILTERS}
    width: int
    dilation: int = 1
    look_ahead: int | float = math.inf

    @nn.compact
    def valid(self, x: Frames) -> Float[Array, "b u c"]:
        """The convolution of the frames that have all neighbours."""
        kernel, bias = self.weights((self.width, x.shape[-1]), x.dtype)
        y = ops.depthwise_conv(x, kernel, self.dilation)
        return y + ops.per_channel(bias, y)

    @property
    def context(self) -> Context:
        return Context.around(self.width, self.dilation, self.look_ahead)


class StridedConv(WeightNormed):
    """Weight-normed convolution whose stride is its width; divides `t` and `lengths` by it."""

    features: int
    stride: int

    @nn.compact
    def __call__(self, x: Frames, lengths: Lengths = None) -> Float[Array, "b u d"]:
        shape = (self.stride, x.shape[-1], self.features)
        kernel, bias = self.weights(shape, x.dtype)
        y = ops.strided_conv(*rounded(self.dtype, x, kernel)).astype(x.dtype)
        return y + ops.per_channel(bias, y)

    def reach(self, span: Span) -> Span:
        return span.before_stride(self.stride)

    def lengths_after(self, lengths: Lengths) -> Lengths:
        return None if lengths is None else ops.quotient(lengths, self.stride)

    def channels_after(self, channels: int | None) -> int:
        return self.features

    def start(self, flow: Flow) -> tuple[State, Flow]:
        """With frames of delay where the clip would not begin with a group of `stride`."""
        missing = -flow.lag % self.stride
        after = Flow(flow.batch, self.features, (flow.lag + missing) // self.stride)
        return recent(flow, missing, missing), after

    def step(self, state: State, stream: Stream) -> tuple[State, Stream]:
        state, stream = delayed(state, stream)
        return state, Stream(self(stream.frames), stream.real[:, :: self.stride])
