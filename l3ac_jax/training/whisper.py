"""Whisper tiny.en's encoder as a frozen feature extractor: what the perceptual loss compares.

The official loss pads clips with silence to 30 s, takes the log-mel spectrogram, runs the encoder
in float32 and compares its output (after the last layer norm) at all 1500 frames of 20 ms, those of
silence after the clip included. `perceptual_features` gives exactly these features.

Reference: Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision" (2022), and
its published code.
"""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from l3ac_jax.audio.mel import mel_filters
from l3ac_jax.model.layers import torch_uniform
from l3ac_jax.model.norms import affine
from l3ac_jax.model.ops import gelu, mask_frames, per_channel, standardize_channels
from l3ac_jax.training.attention import attention
from l3ac_jax.training.stft import Lengths, power, stft

__all__ = ["FRAMES", "WhisperEncoder", "frames_of", "log_mel", "perceptual_features"]

SAMPLE_RATE = 16000
N_FFT = 400
HOP_LENGTH = 160
MEL_BANDS = 80
FRAMES = 1500
"""Frames of 20 ms that the encoder makes of 30 s."""

MEL_FRAMES = 2 * FRAMES
SAMPLES = MEL_FRAMES * HOP_LENGTH
MEL_FLOOR = 1e-10  # of mel powers, in the logarithm
# With so many mel frames of silence, the last frame but one after both convolutions sees nothing
# else, and not the edge either.
_SILENCE_SHOWN = 6
DYNAMIC_RANGE = 8.0  # powers of ten below the loudest band that are told apart
NORM_EPS = 1e-5

Audio = Float[Array, "batch time"]
Mel = Float[Array, "batch mel_frames bands"]
Frames = Float[Array, "batch frames features"]


def perceptual_features(
    params: dict,
    audio: Audio,
    lengths: Lengths = None,
    frames: int = FRAMES,
    floor_per_clip: bool = False,
    dtype: DTypeLike = jnp.float32,
) -> Frames:
    """The encoder's output, (batch, frames, 384) in float32, for audio at 16 kHz.

    `params` are the encoder's weights, as `load_whisper_encoder` gives them. Audio beyond 30 s is
    not heard, nor is what lies past `lengths`.

    As in the official code, bands are cut off 80 dB below the loudest one of the whole batch, so
    that a clip's features depend on the clips beside it; with `floor_per_clip` they do not.

    Fewer `frames` than 1500 are quicker but not the same, because every frame attends to all of
    them, and 7 to 60 % of the official loss comes from those of silence. With the frames that the
    clip fills alone, `frames_of(audio.shape[1])`, the loss of noisy and low-passed clips of 2 and
    7 s was 0.4 to 1.15 times the official one (as a sum over frames), and the cosine of the two
    gradients with respect to the audio 0.1 to 0.9. A second of silence more changes that little.
    """
    heard = _heard(audio.shape[1])
    shown = min(heard + heard % 2 + _SILENCE_SHOWN, 2 * frames)
    mel = log_mel(audio, lengths, shown, floor_per_clip)
    features = WhisperEncoder(dtype=dtype).apply({"params": params}, mel, frames)
    return jnp.asarray(features)


def frames_of(samples: int) -> int:
    """The encoder's frames that a clip of `samples` fills, none of them all silence."""
    return min(-(-samples // (2 * HOP_LENGTH)), FRAMES)


def log_mel(
    audio: Audio,
    lengths: Lengths = None,
    frames: int = MEL_FRAMES,
    floor_per_clip: bool = False,
) -> Mel:
    """Whisper's normalized log-mel spectrogram of clips with silence after them, up to 30 s.

    Silence is not transformed: spectra are computed of the frames that the audio reaches.
    """
    audio = mask_frames(audio, lengths)[:, :SAMPLES]
    # With half a window of silence behind the clip, nothing is mirrored at its end; at 30 s, where
    # Whisper's own padding ends, its last samples are.
    heard = _heard(audio.shape[1])
    silence = min(audio.shape[1] + N_FFT, SAMPLES) - audio.shape[1]
    audio = jnp.pad(audio, [(0, 0), (0, silence)])
    powers = power(stft(audio, N_FFT, HOP_LENGTH)[:, : min(heard, frames)])
    # In full precision: GPUs would otherwise round to TensorFloat-32.
    filters = jnp.asarray(mel_filters(SAMPLE_RATE, N_FFT, MEL_BANDS), jnp.float32)
    bands = jnp.matmul(powers, filters, precision="highest")
    bands = jnp.pad(bands, [(0, 0), (0, frames - bands.shape[1]), (0, 0)])
    levels = jnp.log10(jnp.where(bands < MEL_FLOOR, MEL_FLOOR, bands))
    loudest = levels.max(axis=(1, 2) if floor_per_clip else None, keepdims=True)
    return (jnp.maximum(levels, loudest - DYNAMIC_RANGE) + 4) / 4


def _heard(samples: int) -> int:
    """Mel frames that the audio reaches."""
    return min((samples + N_FFT // 2) // HOP_LENGTH + 1, MEL_FRAMES)


class WhisperEncoder(nn.Module):
    """Log-mel spectrogram to features, at half the rate; sizes are those of tiny.en.

    Where more `frames` are wanted than the spectrogram has, silence follows it, of which it must
    end in `_SILENCE_SHOWN` frames. Products run in `dtype`; parameters, residual stream and output
    are float32.
    """

    layers: int = 4
    width: int = 384
    heads: int = 6
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, mel: Mel, frames: int | None = None) -> Frames:
        x = gelu(_Conv(self.width, 1, self.dtype, name="conv_1")(mel))
        x = gelu(_Conv(self.width, 2, self.dtype, name="conv_2")(x))
        if frames is not None and frames > x.shape[1]:
            x = _with_silence(x, frames)
        # A constant, but a parameter here: the published values are rounded to half precision.
        positions = self.param("positions", lambda _: _sinusoids(FRAMES, self.width))
        x = x + positions[None, : x.shape[1]]
        for i in range(self.layers):
            x = _Block(self.heads, self.dtype, name=f"block_{i}")(x)
        return _Norm(name="output_norm")(x)


def _with_silence(x: Frames, frames: int) -> Float[Array, "batch longer features"]:
    """`x` made longer by its last frame but one: that of silence, before the edge of the clip."""
    shape = (x.shape[0], frames - x.shape[1], x.shape[2])
    return jnp.concatenate([x[:, :-1], jnp.broadcast_to(x[:, -2:-1], shape), x[:, -1:]], axis=1)


def _sinusoids(length: int, channels: int) -> Float[Array, "length channels"]:
    """Sines, then cosines, of wavelengths from 2π to 2π·10000 frames."""
    rates = 10000 ** -np.linspace(0, 1, channels // 2)
    angles = np.arange(length)[:, None] * rates[None]
    return jnp.asarray(np.concatenate([np.sin(angles), np.cos(angles)], axis=1), jnp.float32)


class _Block(nn.Module):
    """Transformer layer with the norms before attention and feed-forward."""

    heads: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Frames) -> Frames:
        width = x.shape[-1]
        dense = partial(_Dense, dtype=self.dtype)
        h = _Norm(name="attention_norm")(x)
        query = dense(width, name="query")(h)
        key = dense(width, use_bias=False, name="key")(h)
        value = dense(width, name="value")(h)
        x = x + dense(width, name="out")(attention(query, key, value, self.heads))
        h = gelu(dense(4 * width, name="expand")(_Norm(name="feed_forward_norm")(x)))
        return x + dense(width, name="project")(h)


class _Norm(nn.Module):
    @nn.compact
    def __call__(self, x: Frames) -> Frames:
        return affine(self, standardize_channels(x, NORM_EPS))


class _Dense(nn.Module):
    features: int
    use_bias: bool = True
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Frames) -> Float[Array, "batch frames d"]:
        init = torch_uniform(x.shape[-1])
        kernel = self.param("kernel", init, (x.shape[-1], self.features))
        y = x.astype(self.dtype) @ kernel.astype(self.dtype)
        if not self.use_bias:
            return y
        bias = self.param("bias", init, (self.features,))
        return y + per_channel(bias.astype(self.dtype), y)


class _Conv(nn.Module):
    """Convolution over three frames, zero-padded."""

    features: int
    stride: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Frames) -> Float[Array, "batch strided d"]:
        init = torch_uniform(3 * x.shape[-1])
        kernel = self.param("kernel", init, (3, x.shape[-1], self.features))
        bias = self.param("bias", init, (self.features,))
        y = jax.lax.conv_general_dilated(
            x.astype(self.dtype),
            kernel.astype(self.dtype),
            window_strides=(self.stride,),
            padding=[(1, 1)],
            dimension_numbers=("NWC", "WIO", "NWC"),
        )
        return y + per_channel(bias.astype(self.dtype), y)
