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
    return values.reshape((1,) * (x.ndim - 1) + values.shape)


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


def depthwise_conv(
    x: Frames, kernel: Float[Array, "k c"], dilation: int = 1
) -> Float[Array, "b u c"]:
    """Convolution of each channel with its own odd kernel, without padding."""
    if jax.default_backend() == "cpu":
        # A grouped convolution is several times slower than multiply-adds on a CPU.
        shifts = _shifts(x, len(kernel), dilation)
        return _sum([s * per_channel(tap, s) for s, tap in zip(shifts, kernel, strict=True)])
    return _lax_conv(x, kernel[:, None, :], dilation, groups=x.shape[-1])


def conv(x: Frames, kernel: Float[Array, "k c d"], dilation: int = 1) -> Float[Array, "b u d"]:
    """Convolution with an odd kernel, without padding."""
    return x @ kernel[0] if len(kernel) == 1 else _lax_conv(x, kernel, dilation)


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
    return groups @ kernel.reshape(width * channels, -1)


def signal_conv(x: Signal, kernel: Float[Array, "k d"], dilation: int = 1) -> Float[Array, "b t d"]:
    """Convolution of a single-channel signal to `d` channels, zero-padded to the same length."""
    padded = pad_frames(x, same_padding(len(kernel), dilation))
    shifts = [shift[..., None] for shift in _shifts(padded, len(kernel), dilation)]
    return _sum([s * per_channel(tap, s) for s, tap in zip(shifts, kernel, strict=True)])


def _sum(terms: list[Array]) -> Array:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def max_pool(x: Signal, width: int) -> Signal:
    """Maximum over the `width` (odd) samples around each one; nothing counts past the ends.

    Of equal maxima the first one gets the gradient, as in PyTorch.
    """
    half = width // 2
    window = jnp.pad(x, [(0, 0), (half, half)], constant_values=-jnp.inf)
    for step in _doubling_steps(width):
        window = jnp.maximum(window[:, :-step], window[:, step:])
    return window


def _doubling_steps(width: int) -> list[int]:
    """Shifts by which windows of 1 sample grow to `width`, each the union of two of the last."""
    steps, size = [], 1
    while size < width:
        steps.append(min(size, width - size))
        size += steps[-1]
    return steps


def _max_pool_forward(x: Signal, width: int):
    half = width // 2
    window = jnp.pad(x, [(0, 0), (half, half)], constant_values=-jnp.inf)
    place = jnp.broadcast_to(jnp.arange(-half, x.shape[1] + half)[None], window.shape)
    for step in _doubling_steps(width):
        left = window[:, :-step] >= window[:, step:]
        window = jnp.where(left, window[:, :-step], window[:, step:])
        place = jnp.where(left, place[:, :-step], place[:, step:])
    return window, place


def _max_pool_backward(width: int, place: Int[Array, "b t"], gradient: Signal):
    # A loop over the window instead of a scatter: the same sum in the same order on every backend.
    half, frames = width // 2, gradient.shape[1]
    sides = [(0, 0), (half, half)]
    gradient, place = jnp.pad(gradient, sides), jnp.pad(place, sides, constant_values=-width)
    here = jnp.arange(frames)[None]

    def add(shift, total):
        chosen = jax.lax.dynamic_slice_in_dim(place, shift, frames, 1) == here
        return total + jnp.where(
            chosen, jax.lax.dynamic_slice_in_dim(gradient, shift, frames, 1), 0
        )

    zeros = jnp.zeros((gradient.shape[0], frames), gradient.dtype)
    return (jax.lax.fori_loop(0, width, add, zeros),)


max_pool.defvjp(_max_pool_forward, _max_pool_backward)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def average_pool(x: Signal, width: int) -> Signal:
    """Sum over the `width` (odd) samples around each one, zeros past the ends, over `width`.

    Sums of 1, 2, 4... samples are built by doubling; those in the binary form of `width` are added.
    """
    frames = x.shape[1]
    half = width // 2
    window = jnp.pad(x, [(0, 0), (half, half)])
    total, covered, size = window[:, :frames], 1, 1  # an odd width has the bit of 1
    while 2 * size <= width:
        window = window[:, :-size] + window[:, size:]
        size *= 2
        if width & size:
            total = total + window[:, covered : covered + frames]
            covered += size
    return total / width


# The window is symmetric: average pooling is its own transpose.
average_pool.defvjp(
    lambda x, width: (average_pool(x, width), None),
    lambda width, _, gradient: (average_pool(gradient, width),),
)


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
    offset = (np.arange(factor) + 0.5) / factor - 0.5

    def weighted(neighbour, weight):
        return neighbour[:, :, None, :] * jnp.asarray(weight, x.dtype)[None, None, :, None]

    mixed = (
        weighted(before, np.maximum(-offset, 0))
        + weighted(x, 1 - np.abs(offset))
        + weighted(after, np.maximum(offset, 0))
    )
    return mixed.reshape(batch, frames * factor, channels)


_SUM_BLOCK = 512


def time_sum(x: Signal) -> Float[Array, "b"]:
    """Sum over time in two levels, blocks first.

    Accurate in float32 for long clips, and independent of how many zeros pad the clip.
    """
    batch, frames = x.shape
    blocks = jnp.pad(x, [(0, 0), (0, -frames % _SUM_BLOCK)]).reshape(batch, -1, _SUM_BLOCK)
    return blocks.sum(axis=2).sum(axis=1)


def standardize_clip(x: Signal, lengths: Lengths, eps: float = 1e-5) -> Signal:
    """Zero mean and unit (biased) variance over the whole clip, as InstanceNorm1d does."""
    count = x.shape[1] if lengths is None else jnp.maximum(lengths, 1)[:, None]
    mean = time_sum(mask_frames(x, lengths))[:, None] / count
    centred = mask_frames(x - mean, lengths)
    variance = time_sum(jnp.square(centred))[:, None] / count
    return centred * jax.lax.rsqrt(variance + eps)


def standardize_channels(x: Float[Array, "b t c"], eps: float) -> Float[Array, "b t c"]:
    """Zero mean and unit (biased) variance over the channels of each frame."""
    mean = x.mean(axis=-1, keepdims=True)
    centred = x - mean
    variance = jnp.square(centred).mean(axis=-1, keepdims=True)
    return centred * jax.lax.rsqrt(variance + eps)


def gelu(x: Array) -> Array:
    """Exact GELU; `jax.nn.gelu` goes through erfc, which is slower and rounds differently."""
    y = at_least_float32(x)
    return (0.5 * y * (1 + jax.lax.erf(y * float(np.sqrt(0.5))))).astype(x.dtype)
