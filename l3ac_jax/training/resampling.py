"""Differentiable conversion between sample rates, for models that hear one rate alone.

A windowed sinc for each place of an output sample between input samples, all in one product: `up`
output samples are made of the `down` input samples beside them and some before and after.
"""

from functools import cache
from math import gcd

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from l3ac_jax.model.ops import mask_frames, quotient
from l3ac_jax.training.stft import Lengths

CROSSINGS = 48  # of zero by the sinc, on either side of an output sample
PASSED = 0.95  # of the lower Nyquist frequency; above it the filter falls


def resampled(
    audio: Float[Array, "batch time"], from_rate: int, to_rate: int, lengths: Lengths = None
) -> tuple[Float[Array, "batch new_time"], Lengths]:
    """Clips at another rate (Hz), ceil(time * to_rate / from_rate) samples, and their lengths.

    What lies past `lengths` counts as silence. Components up to nine tenths of the lower Nyquist
    frequency keep their level within 0.1 %.
    """
    if from_rate == to_rate:
        return audio, lengths
    divisor = gcd(from_rate, to_rate)
    up, down = to_rate // divisor, from_rate // divisor
    kernel = _kernel(up, down)
    before = (len(kernel) - down) // 2
    samples = -(-audio.shape[1] * up // down)
    groups = -(-samples // up)
    after = (groups - 1) * down + len(kernel) - before - audio.shape[1]
    padded = jnp.pad(mask_frames(audio, lengths), [(0, 0), (before, max(0, after))])
    y = jax.lax.conv_general_dilated(
        padded[:, :, None],
        jnp.asarray(kernel, audio.dtype)[:, None],
        window_strides=(down,),
        padding="VALID",
        dimension_numbers=("NWC", "WIO", "NWC"),
        precision="highest",
    )
    if lengths is not None:
        lengths = quotient(lengths * up + down - 1, down)
    return y.reshape(len(audio), -1)[:, :samples], lengths


@cache
def _kernel(up: int, down: int) -> Float[np.ndarray, "taps up"]:
    """What each of `up` output samples takes of the input samples around a group of `down`."""
    cutoff = PASSED * min(1.0, up / down)  # of the input's Nyquist frequency
    half = CROSSINGS / cutoff  # of the window, in input samples
    before = int(np.ceil(half))
    places = np.arange(down + 2 * before)[:, None] - before
    distance = places - np.arange(up)[None] * (down / up)
    window = np.where(np.abs(distance) < half, np.cos(np.pi * distance / (2 * half)) ** 2, 0)
    kernel = cutoff * np.sinc(cutoff * distance) * window
    return kernel / kernel.sum(axis=0, keepdims=True)
