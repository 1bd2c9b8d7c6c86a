"""The array operations of the codec: pure functions, no parameters of their own, channels last.

Shapes: b batch, t time (frames at the layer's own rate), c channels, k kernel taps; u frames and d
channels of the output where they differ.

`lengths` counts the frames of each clip that are real; the rest is padding. A function that looks
at neighbouring frames first replaces padding by what the official code sees past the end of a clip
(zeros, or -inf for maxima), so whatever the padding holds, NaN included, never reaches a real
frame. `lengths=None` means that all frames are real.

Which lowering computes a convolution depends on the backend; that choice is made in this package
alone.
"""

from l3ac_jax.model.ops.arithmetic import at_least_float32
from l3ac_jax.model.ops.channels import channel_sums, per_channel
from l3ac_jax.model.ops.convolution import (
    conv,
    dense,
    dense_by_rows,
    depthwise_conv,
    signal_conv,
    strided_conv,
)
from l3ac_jax.model.ops.exact_gelu import gelu
from l3ac_jax.model.ops.masks import (
    Dimension,
    Frames,
    Lengths,
    Signal,
    frame_mask,
    mask_frames,
    pad_frames,
    quotient,
)
from l3ac_jax.model.ops.statistics import (
    Past,
    clip_statistics,
    no_past,
    running_statistics,
    standardize,
    standardize_channels,
    time_sum,
)
from l3ac_jax.model.ops.upsampling import linear_upsample, upsample_between

__all__ = [
    "Dimension",
    "Frames",
    "Lengths",
    "Past",
    "Signal",
    "at_least_float32",
    "channel_sums",
    "clip_statistics",
    "conv",
    "dense",
    "dense_by_rows",
    "depthwise_conv",
    "frame_mask",
    "gelu",
    "linear_upsample",
    "mask_frames",
    "no_past",
    "pad_frames",
    "per_channel",
    "quotient",
    "running_statistics",
    "signal_conv",
    "standardize",
    "standardize_channels",
    "strided_conv",
    "time_sum",
    "upsample_between",
]
