"""The short-time Fourier transform of losses, discriminators and Whisper's front end.

Everything is what `torch.stft` gives, frames before bins. With `lengths` (the samples of each clip
that are real), a clip inside a padded batch has the frames that it has alone: the reflection is at
its own end, and padding, whatever it holds, reaches neither values nor gradients.
"""

from functools import cache
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Int

from l3ac_jax.model.ops import mask_frames, quotient

Lengths = Int[Array, " batch"] | None
Samples = TypeVar("Samples", int, Int[Array, " batch"])


def stft(
    audio: Float[Array, "batch time"],
    n_fft: int,
    hop_length: int,
    window: Float[np.ndarray, " n_fft"] | None = None,
    center: bool = True,
    lengths: Lengths = None,
) -> Complex[Array, "batch frames bins"]:
    """Spectra of `n_fft` samples every `hop_length`, one-sided: n_fft // 2 + 1 bins.

    `window` is a periodic Hann window where none is given. With `center`, frame i is around sample
    i * hop_length of the clip reflected at its ends; clips of n_fft // 2 samples or fewer, which
    PyTorch refuses, are reflected to and fro as NumPy does. Without, it starts at that sample.
    Frames from `frame_count(lengths, ...)` on are not the clip's: finite, to be masked.
    """
    half = n_fft // 2 if center else 0
    signal = reflect_pad(audio, half, half, lengths)
    window = hann_window(n_fft) if window is None else window
    frames = _frames(signal, n_fft, hop_length) * jnp.asarray(window, audio.dtype)[None, None]
    # An FFT at every size. Measured on 2 CPU cores, magnitude loss of 4 x 2 s, forward + backward:
    # 2 to 3 ms a size from 32 to 1024, where products with a real DFT matrix take 3.4 ms at 32,
    # 6.5 ms at 256 and 22 ms at 1024. Sizes with large prime factors (542, 1418): 5 to 7 against 9
    # and 32 ms.
    return jnp.fft.rfft(frames)


def frame_count(samples: Samples, n_fft: int, hop_length: int, center: bool = True) -> Samples:
    """Frames that `stft` gives of a clip of `samples`; centred, one even where there are none."""
    padding = 2 * (n_fft // 2) if center else 0
    return quotient(samples + padding - n_fft + hop_length, hop_length)


def magnitude(spectrum: Complex[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Absolute value; its derivative at zero is zero, as in PyTorch."""
    return root(power(spectrum))


def power(spectrum: Complex[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Squared absolute value."""
    return jnp.square(spectrum.real) + jnp.square(spectrum.imag)


def root(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Square root of what is not negative; its derivative at zero is zero. NaN stays NaN."""
    zero = x <= 0
    return jnp.where(zero, 0, jnp.sqrt(jnp.where(zero, 1, x)))


@cache
def hann_window(size: int) -> Float[np.ndarray, " size"]:
    """Periodic Hann window."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)


def reflect_pad(
    audio: Float[Array, "batch time"], before: int, after: int, lengths: Lengths = None
) -> Float[Array, "batch padded"]:
    """Each clip with `before` and `after` samples mirrored at its ends, which are not repeated.

    What lies beyond in a padded batch is zero.
    """
    if lengths is None:
        return jnp.pad(audio, [(0, 0), (before, after)], mode="reflect")
    body = mask_frames(audio, lengths)
    head = _mirrored(body, jnp.arange(-before, 0)[None], lengths[:, None])
    tail = _mirrored(body, lengths[:, None] + jnp.arange(after)[None], lengths[:, None])
    # Only the edges are gathered: with the whole clip it takes four times as long on a CPU.
    padded = jnp.concatenate([head, body, jnp.zeros_like(tail)], axis=1)
    place = jax.vmap(lambda clip, edge, at: jax.lax.dynamic_update_slice(clip, edge, (at,)))
    return place(padded, tail, before + lengths)


def _mirrored(body, position, length):
    """Samples at positions outside the clip, which continues to and fro."""
    period = jnp.maximum(2 * (length - 1), 1)
    forth = position % period
    index = jnp.minimum(forth, period - forth)
    return jnp.take_along_axis(body, index, axis=1, mode="promise_in_bounds")


def _frames(signal, n_fft: int, hop_length: int) -> Float[Array, "batch frames n_fft"]:
    """Overlapping frames, from shifted views of hops."""
    # A gather is as fast on a CPU, but its derivative adds up in no fixed order on a GPU.
    batch, samples = signal.shape
    count = frame_count(samples, n_fft, hop_length, center=False)
    if count < 1:
        raise ValueError(f"a frame needs {n_fft} samples, got {samples}")
    parts = -(-n_fft // hop_length)
    needed = (count - 1 + parts) * hop_length
    signal = jnp.pad(signal[:, :needed], [(0, 0), (0, max(needed - samples, 0))])
    hops = signal.reshape(batch, count - 1 + parts, hop_length)
    return jnp.concatenate([hops[:, i : i + count] for i in range(parts)], axis=2)[..., :n_fft]
