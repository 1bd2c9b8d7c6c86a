"""Convolutions without parameters of their own; kernels are (taps, channels in, channels out)."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from l3ac_jax.model.ops.arithmetic import added
from l3ac_jax.model.ops.backend import lowerings
from l3ac_jax.model.ops.channels import with_axes
from l3ac_jax.model.ops.masks import Frames, Signal, pad_frames
from l3ac_jax.model.precision import Products, current_products, stated_products


def _shifts(x: Float[Array, "b t *c"], width: int, dilation: int) -> list[Array]:
    """The `width` views of `x` that a convolution without padding multiplies with its taps."""
    frames = x.shape[1] - (width - 1) * dilation
    return [x[:, i * dilation : i * dilation + frames] for i in range(width)]


def dense(x: Float[Array, "*n c"], kernel: Float[Array, "c d"]) -> Float[Array, "*n d"]:
    """`x @ kernel`.

    With its own derivative: for JAX's, XLA writes transposed copies of `x` or the gradient, and
    computes them again for it; with them the encoder's derivative takes 1.5 times as long on a CPU.
    """
    return _dense(x, kernel, current_products())


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _dense(x: Float[Array, "*n c"], kernel: Float[Array, "c d"], products: Products | None):
    return x @ kernel


def _dense_backward(products: Products | None, inputs, gradient):
    x, kernel = inputs
    rows, slopes = (a.reshape(-1, a.shape[-1]) for a in (x, gradient))
    with stated_products(products):
        by_x = gradient @ kernel.T
        return by_x, jax.lax.dot_general(rows, slopes, (((0,), (0,)), ((), ())))


_dense.defvjp(lambda x, kernel, products: (x @ kernel, (x, kernel)), _dense_backward)


def dense_by_rows(x: Float[Array, "*n c"], kernel: Float[Array, "d c"]) -> Float[Array, "*n d"]:
    """`x @ kernel.T`: a kernel with a row for each output, as inference keeps it.

    A CPU takes the rows as they lie; columns it would pack anew in each call, which for up to some
    16 frames, a step of a stream, took half of the time (4 to 32 frames of 512 x 2048).
    """
    return _dense_by_rows(x, kernel, current_products())


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _dense_by_rows(x: Float[Array, "*n c"], kernel: Float[Array, "d c"], products: Products | None):
    # Not x @ kernel.T, for which XLA transposes the kernel where there is one frame.
    return jax.lax.dot_general(x, kernel, (((x.ndim - 1,), (1,)), ((), ())))


def _dense_by_rows_backward(products: Products | None, inputs, gradient):
    x, kernel = inputs
    by_x, by_columns = _dense_backward(products, (x, kernel.T), gradient)
    return by_x, by_columns.T


_dense_by_rows.defvjp(
    lambda x, kernel, products: (_dense_by_rows(x, kernel, products), (x, kernel)),
    _dense_by_rows_backward,
)


def depthwise_conv(
    x: Frames, kernel: Float[Array, "k c"], dilation: int = 1
) -> Float[Array, "b u c"]:
    """Convolution of each channel with its own odd kernel, without padding.

    As multiply-adds: a grouped convolution is several times slower on a CPU, and on a GPU a
    training step with it did not finish compiling.
    """
    return _shifted_sum(x, kernel, dilation)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _shifted_sum(x: Frames, kernel: Float[Array, "k d"], dilation: int) -> Float[Array, "b u d"]:
    """Convolution of each channel, or of the only one with every kernel, as multiply-adds.

    JAX's derivative would write one padded copy of the gradient for each tap.
    """
    if lowerings().depthwise == "convolution":
        return _lax_conv(x, kernel[:, None], dilation, groups=x.shape[-1])
    shifts = _shifts(x, len(kernel), dilation)
    return added([s * with_axes(tap, s) for s, tap in zip(shifts, kernel, strict=True)])


def _shifted_sum_backward(dilation: int, inputs, gradient: Float[Array, "b u d"]):
    x, kernel = inputs
    others = (len(kernel) - 1) * dilation
    padded = pad_frames(gradient, others, others)
    slope: Array = _shifted_sum(padded, kernel[::-1], dilation)  # pyright: ignore
    if x.shape[-1] != gradient.shape[-1]:
        slope = slope.sum(axis=-1, keepdims=True)
    return slope, _sums_over_frames([s * gradient for s in _shifts(x, len(kernel), dilation)])


_shifted_sum.defvjp(
    lambda x, kernel, dilation: (_shifted_sum(x, kernel, dilation), (x, kernel)),
    _shifted_sum_backward,
)


def _sums_over_frames(terms: list[Frames]) -> Float[Array, "k d"]:
    if lowerings().tap_sums == "apart":
        return jnp.stack([term.sum(axis=(0, 1)) for term in terms])
    zeros = [np.zeros((), terms[0].dtype)] * len(terms)

    def add(totals, values):
        return [total + value for total, value in zip(totals, values, strict=True)]

    return jnp.stack(jax.lax.reduce(terms, zeros, add, (1,))).sum(axis=1)


def conv(x: Frames, kernel: Float[Array, "k c d"], dilation: int = 1) -> Float[Array, "b u d"]:
    """Convolution with an odd kernel, without padding."""
    if len(kernel) == 1:
        return dense(x, kernel[0])
    if dilation > 1 and lowerings().dilated_kernel_gradient == "columns":
        return _dilated_conv(x, kernel, dilation, current_products())
    return _lax_conv(x, kernel, dilation)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _dilated_conv(
    x: Frames, kernel: Float[Array, "k c d"], dilation: int, products: Products | None
):
    """`_lax_conv` whose kernel's gradient is one product with the shifted copies of `x`."""
    return _lax_conv(x, kernel, dilation)


def _dilated_conv_backward(
    dilation: int, products: Products | None, inputs, gradient: Float[Array, "b u d"]
):
    x, kernel = inputs
    others = (len(kernel) - 1) * dilation
    padded = pad_frames(gradient, others, others)
    columns = jnp.concatenate(_shifts(x, len(kernel), dilation), axis=-1)
    with stated_products(products):
        slope = _lax_conv(padded, kernel[::-1].swapaxes(1, 2), dilation)
        by_kernel = jax.lax.dot_general(columns, gradient, (((0, 1), (0, 1)), ((), ())))
    return slope, by_kernel.reshape(kernel.shape)


_dilated_conv.defvjp(
    lambda x, kernel, dilation, products: (_lax_conv(x, kernel, dilation), (x, kernel)),
    _dilated_conv_backward,
)


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


def signal_conv(x: Signal, kernel: Float[Array, "k d"], dilation: int = 1) -> Float[Array, "b u d"]:
    """Convolution of a single-channel signal to `d` channels, without padding."""
    return _shifted_sum(x[..., None], kernel, dilation)
