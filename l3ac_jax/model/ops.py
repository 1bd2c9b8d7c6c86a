"""The array operations of the codec: pure functions, no parameters of their own, channels last.

Shapes: b batch, t time (frames at the layer's own rate), c channels, k kernel taps; u frames and d
channels of the output where they differ.

`lengths` counts the frames of each clip that are real; the rest is padding. A function that looks
at neighbouring frames first replaces padding by what the official code sees past the end of a clip
(zeros, or -inf for maxima), so whatever the padding holds, NaN included, never reaches a real
frame. `lengths=None` means that all frames are real.

Which lowering computes a convolution depends on the backend; that choice is made here alone.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

Frames = Float[Array, "b t c"]
Signal = Float[Array, "b t"]
Lengths = Int[Array, " b"] | None


def frame_mask(lengths: Int[Array, " b"], frames: int) -> Bool[Array, "b t"]:
    """True where a frame is real."""
    return jnp.arange(frames)[None] < lengths[:, None]


def mask_frames(x: Float[Array, "b t *c"], lengths: Lengths, fill: float = 0.0):
    """`x` with `fill` in place of padding frames."""
    if lengths is None:
        return x
    mask = frame_mask(lengths, x.shape[1])
    return jnp.where(mask.reshape(mask.shape + (1,) * (x.ndim - 2)), x, fill)


def at_least_float32(x: Array) -> Array:
    """`x` in float32 where it has less: for what does not bear 8 bits (norms, softmax, angles)."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def per_channel(values: Float[Array, " c"], x: Array) -> Array:
    """`values` with the axes that let it meet `x` channel by channel."""
    if jax.default_backend() != "cpu":
        return _with_axes(values, x)
    return _spread(values, x.shape)


def _with_axes(values: Float[Array, " c"], x: Array) -> Array:
    return values.reshape((1,) * (x.ndim - 1) + values.shape)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def _spread(values: Float[Array, " c"], shape: tuple[int, ...]) -> Array:
    return jnp.broadcast_to(values, shape)


_spread.defvjp(
    lambda values, shape: (_spread(values, shape), None),
    lambda shape, _, gradient: (channel_sums(gradient),),
)


def channel_sums(x: Float[Array, "*n c"]) -> Float[Array, " c"]:
    """Sums over all axes but the last."""
    rows = x.reshape(-1, x.shape[-1])
    if jax.default_backend() != "cpu":
        return rows.sum(axis=0)
    # As a product, which XLA computes in vectors and on all cores. Sums of columns it does not:
    # Snake with its gradients took 56 instead of 38 ms (2 x 56064 x 96), for one clip 510 ms.
    sums = jnp.matmul(jnp.ones_like(rows[:, 0]), rows, preferred_element_type=jnp.float32)
    return sums.astype(x.dtype)


def same_padding(width: int, dilation: int) -> int:
    """Frames of zero padding on either side that keep an odd convolution's output length."""
    return (width - 1) * dilation // 2


def pad_frames(x: Float[Array, "b t *c"], halo: int) -> Array:
    """`x` with `halo` zero frames on either side."""
    return jnp.pad(x, [(0, 0), (halo, halo)] + [(0, 0)] * (x.ndim - 2))


def _shifts(x: Float[Array, "b t *c"], width: int, dilation: int) -> list[Array]:
    """The `width` views of `x` that a convolution without padding multiplies with its taps."""
    frames = x.shape[1] - 2 * same_padding(width, dilation)
    return [x[:, i * dilation : i * dilation + frames] for i in range(width)]


@jax.custom_vjp
def dense(x: Float[Array, "*n c"], kernel: Float[Array, "c d"]) -> Float[Array, "*n d"]:
    """`x @ kernel`.

    With its own derivative: for JAX's, XLA writes transposed copies of `x` or the gradient, which
    took 10 % of a narrow ConvUnit's forward and backward pass on a CPU (up to 96 channels).
    """
    return x @ kernel


def _dense_backward(inputs, gradient):
    x, kernel = inputs
    rows, slopes = (a.reshape(-1, a.shape[-1]) for a in (x, gradient))
    return gradient @ kernel.T, jax.lax.dot_general(rows, slopes, (((0,), (0,)), ((), ())))


dense.defvjp(lambda x, kernel: (x @ kernel, (x, kernel)), _dense_backward)


def depthwise_conv(
    x: Frames, kernel: Float[Array, "k c"], dilation: int = 1
) -> Float[Array, "b u c"]:
    """Convolution of each channel with its own odd kernel, without padding."""
    if jax.default_backend() == "cpu":
        # A grouped convolution is several times slower than multiply-adds on a CPU.
        return _shifted_sum(x, kernel, dilation)
    return _lax_conv(x, kernel[:, None, :], dilation, groups=x.shape[-1])


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _shifted_sum(x: Frames, kernel: Float[Array, "k d"], dilation: int) -> Float[Array, "b u d"]:
    """Convolution of each channel, or of the only one with every kernel, as multiply-adds.

    JAX's derivative would write one padded copy of the gradient for each tap.
    """
    shifts = _shifts(x, len(kernel), dilation)
    return _sum([s * _with_axes(tap, s) for s, tap in zip(shifts, kernel, strict=True)])


def _shifted_sum_backward(dilation: int, inputs, gradient: Float[Array, "b u d"]):
    x, kernel = inputs
    padded = pad_frames(gradient, 2 * same_padding(len(kernel), dilation))
    slope: Array = _shifted_sum(padded, kernel[::-1], dilation)  # pyright: ignore
    if x.shape[-1] != gradient.shape[-1]:
        slope = slope.sum(axis=-1, keepdims=True)
    return slope, _sums_over_frames([s * gradient for s in _shifts(x, len(kernel), dilation)])


_shifted_sum.defvjp(
    lambda x, kernel, dilation: (_shifted_sum(x, kernel, dilation), (x, kernel)),
    _shifted_sum_backward,
)


def _sums_over_frames(terms: list[Frames]) -> Float[Array, "k d"]:
    if jax.default_backend() != "cpu":
        return jnp.stack([term.sum(axis=(0, 1)) for term in terms])
    # In one pass over what the terms are made of: 3 instead of 9 ms for 7 terms of 2 x 32064 x 24.
    zeros = [np.zeros((), terms[0].dtype)] * len(terms)

    def add(totals, values):
        return [total + value for total, value in zip(totals, values, strict=True)]

    return jnp.stack(jax.lax.reduce(terms, zeros, add, (1,))).sum(axis=1)


def conv(x: Frames, kernel: Float[Array, "k c d"], dilation: int = 1) -> Float[Array, "b u d"]:
    """Convolution with an odd kernel, without padding."""
    return dense(x, kernel[0]) if len(kernel) == 1 else _lax_conv(x, kernel, dilation)


def _lax_conv(x, kernel, dilation: int, groups: int = 1):
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(1,),
        padding="VALID",
        rhs_dilation=(dilation,),
        dimension_numbers=("NWC", "WIO", "NWC"),
        feature_group_count=groups,
    )


def strided_conv(x: Frames, kernel: Float[Array, "k c d"]) -> Float[Array, "b u d"]:
    """Convolution whose stride is its width: one matrix product over groups of `k` frames."""
    batch, frames, channels = x.shape
    width = len(kernel)
    groups = x.reshape(batch, frames // width, width * channels)
    return dense(groups, kernel.reshape(width * channels, -1))


def signal_conv(x: Signal, kernel: Float[Array, "k d"], dilation: int = 1) -> Float[Array, "b t d"]:
    """Convolution of a single-channel signal to `d` channels, zero-padded to the same length."""
    padded = pad_frames(x, same_padding(len(kernel), dilation))
    return _shifted_sum(padded[..., None], kernel, dilation)


def _sum(terms: list[Array]) -> Array:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def linear_upsample(x: Frames, factor: int, lengths: Lengths = None) -> Float[Array, "b u c"]:
    """Linear interpolation to `factor` times the rate, edge frames repeated (align_corners=False).

    Output `factor*i + p` lies at input position i + (p + 1/2)/factor - 1/2. These weights are
    exact; PyTorch's float32 positions lose accuracy as the index grows.
    """
    batch, frames, channels = x.shape
    if lengths is not None:
        last = jnp.maximum(lengths - 1, 0)[:, None, None]
        edge = jnp.take_along_axis(x, last, axis=1)
        x = jnp.where(frame_mask(lengths, frames)[..., None], x, edge)
    before = jnp.concatenate([x[:, :1], x[:, :-1]], axis=1)
    after = jnp.concatenate([x[:, 1:], x[:, -1:]], axis=1)
    # One phase after the other: sums over an axis of phases are slow in the backward pass.
    phases = [_between(before, x, after, (p + 0.5) / factor - 0.5) for p in range(factor)]
    return jnp.stack(phases, axis=2).reshape(batch, frames * factor, channels)


def _between(before: Array, x: Array, after: Array, offset: float) -> Array:
    """`x` moved by `offset` frames, less than one, towards its neighbours."""
    weights = (max(-offset, 0), 1 - abs(offset), max(offset, 0))
    return _sum(
        [
            frame * np.asarray(weight, x.dtype)
            for frame, weight in zip((before, x, after), weights, strict=True)
            if weight
        ]
    )


_SUM_BLOCK = 512


def time_sum(x: Float[Array, "b t *c"]) -> Float[Array, "b *c"]:
    """Sum over time in two levels, blocks first.

    Accurate in float32 for long clips, and independent of how many zeros pad the clip.
    """
    batch, frames, *rest = x.shape
    padded = jnp.pad(x, [(0, 0), (0, -frames % _SUM_BLOCK)] + [(0, 0)] * len(rest))
    blocks = padded.reshape(batch, -1, _SUM_BLOCK, *rest)
    return blocks.sum(axis=2).sum(axis=1)


def clip_statistics(x: Signal, lengths: Lengths) -> tuple[Float[Array, " b"], Float[Array, " b"]]:
    """Mean and (biased) variance of the real samples of each clip."""
    count = x.shape[1] if lengths is None else jnp.maximum(lengths, 1)
    mean = time_sum(mask_frames(x, lengths)) / count
    centred = mask_frames(x - mean[:, None], lengths)
    return mean, time_sum(jnp.square(centred)) / count


def standardize(
    x: Signal, mean: Float[Array, " b"], variance: Float[Array, " b"], eps: float = 1e-5
) -> Signal:
    """`x` less its clip's mean, over its deviation, as InstanceNorm1d does."""
    return (x - mean[:, None]) * jax.lax.rsqrt(variance + eps)[:, None]


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def standardize_channels(x: Frames, eps: float) -> Frames:
    """Zero mean and unit (biased) variance over the channels of each frame."""
    return _standardize_forward(x, eps)[0]


def _standardize_forward(x: Frames, eps: float):
    centred = x - x.mean(axis=-1, keepdims=True)
    factor = jax.lax.rsqrt(jnp.square(centred).mean(axis=-1, keepdims=True) + eps)
    result = centred * factor
    return result, (result, factor)


def _standardize_backward(eps: float, kept, gradient: Frames):
    # Two means over the channels, where differentiating the two of the forward pass takes four.
    result, factor = kept
    along = (gradient * result).mean(axis=-1, keepdims=True)
    return (factor * (gradient - gradient.mean(axis=-1, keepdims=True) - result * along),)


standardize_channels.defvjp(_standardize_forward, _standardize_backward)


def gelu(x: Array) -> Array:
    """Exact GELU; `jax.nn.gelu` goes through erfc, which is slower and rounds differently."""
    y = at_least_float32(x)
    return (0.5 * y * (1 + jax.lax.erf(y * float(np.sqrt(0.5))))).astype(x.dtype)
