"""The terms of the training objective: pure functions to one number, in float32 or more.

`lengths` counts the real samples of each clip. Padding, whatever it holds, NaN included, changes
neither a value nor a gradient, and its own gradient is zero: a batch has the mean of what its clips
have alone (`usage_loss` is of all clips together). Clips without samples do not count.
`lengths=None` means that everything is real.

Formulas are those of the official training code, or of DAC where the official code has none.
"""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from l3ac_jax.audio.mel import DAC_FLOOR, dac_bands, mel_filters
from l3ac_jax.audio.windows import window_at
from l3ac_jax.model.ops import mask_frames, time_sum
from l3ac_jax.training.stft import Lengths, frame_count, magnitude, power, root, stft

Audio = Float[Array, "batch time"]
Scalar = Float[Array, ""]

STFT_SIZES = (32, 64, 128, 256, 512, 1024)  # in samples at 16 kHz: 2 to 64 ms
STFT_FLOOR = 1e-8  # of magnitudes, in the logarithm
LEAST_FREQUENCY = 1e-6  # of a level, in the logarithm

# The feature maps of each discriminator, the last one being its score.
FeatureMaps = Sequence[Sequence[Float[Array, "batch _ ..."]]]
# How many entries of each map's time axis are real, for each clip.
MapLengths = Sequence[Sequence[Int[Array, " batch"] | None]]


def waveform_loss(generated: Audio, reference: Audio, lengths: Lengths = None) -> Scalar:
    """Mean absolute difference of samples."""
    return _mean_distance(generated, reference, lengths)


def stft_loss(
    generated: Audio,
    reference: Audio,
    sample_rate: int,
    lengths: Lengths = None,
    sizes: Sequence[int] | None = None,
    floor: ArrayLike = STFT_FLOOR,
) -> Scalar:
    """Distance of magnitude spectrograms, mean over FFT sizes; the hop is a quarter of the size.

    For each size (in samples; 2 to 64 ms where none are given), mean absolute difference of
    magnitudes plus that of log10 powers, magnitudes below `floor` counted as `floor`.
    """
    least = floor**2
    if sizes is None:
        sizes = [window_at(size, sample_rate) for size in STFT_SIZES]

    def one_size(size: int) -> Scalar:
        frames = _frame_lengths(lengths, size)
        a, b = (power(_spectra(audio, size, lengths)) for audio in (generated, reference))
        return _mean_distance(root(a), root(b), frames) + _mean_distance(
            _log10(a, least), _log10(b, least), frames
        )

    return sum(map(one_size, sizes), jnp.zeros(())) / len(sizes)


def mel_loss(
    generated: Audio,
    reference: Audio,
    sample_rate: int,
    lengths: Lengths = None,
    magnitude_weight: ArrayLike | None = None,
    bands: Mapping[int, int] | None = None,
    floor: ArrayLike = DAC_FLOOR,
) -> Scalar:
    """Distance of mel spectrograms, summed over window sizes, as in DAC (not in L3AC's recipe).

    For each size, mean absolute difference of log10 mel magnitudes, those below `floor` counted as
    `floor`, plus `magnitude_weight` times that of the mel magnitudes themselves. `bands` are those
    of each size, in samples; DAC's, 2 to 128 ms, where none are given.
    """
    bands = dac_bands(sample_rate) if bands is None else bands

    def one_size(size: int) -> Scalar:
        frames = _frame_lengths(lengths, size)
        filters = mel_filters(sample_rate, size, bands[size])

        def mel(audio):
            spectrogram = magnitude(_spectra(audio, size, lengths))
            # GPUs would otherwise round to TensorFloat-32.
            return jnp.matmul(spectrogram, filters, precision="highest")

        a, b = mel(generated), mel(reference)
        loss = _mean_distance(_log10(a, floor), _log10(b, floor), frames)
        if magnitude_weight is None:
            return loss
        return loss + magnitude_weight * _mean_distance(a, b, frames)

    return sum(map(one_size, bands), jnp.zeros(()))


def perceptual_loss(
    generated: Float[Array, "batch frames features"],
    reference: Float[Array, "batch frames features"],
    frame_lengths: Lengths = None,
) -> Scalar:
    """Squared distance of a network's features, summed over the features, mean over frames.

    The official code counts all 1500 frames that Whisper makes of 30 s, silence after the clip
    included.
    """
    difference = _real(generated, frame_lengths) - _real(reference, frame_lengths)
    return _mean(jnp.square(difference).sum(axis=2), frame_lengths)


def usage_loss(
    squashed: Float[Array, "batch frames dimensions"],
    levels: Sequence[int],
    frame_lengths: Lengths = None,
) -> Scalar:
    """What the levels' frequencies lack of the entropy of equal ones, in bits a token.

    Of the quantizer's values in [0, 1], summed over its dimensions, whose `levels` these are. A
    value between two levels counts for both, by linear interpolation. Frequencies are those of all
    real frames of the batch: one clip alone need not use every level.
    """
    steps = np.asarray(levels, np.float32)[None, None] - 1
    scaled = _real(squashed, frame_lengths) * steps
    below = jnp.clip(jnp.floor(jax.lax.stop_gradient(scaled)), 0, steps - 1)
    part = (scaled - below)[..., None]
    # Those that a dimension does not have stay at zero, where the entropy has nothing of them.
    index = below.astype(jnp.int32)
    lower, upper = (jax.nn.one_hot(index + k, max(levels), dtype=part.dtype) for k in (0, 1))
    counts = mask_frames(lower * (1 - part) + upper * part, frame_lengths)
    batch, frames = counts.shape[:2]
    total = batch * frames if frame_lengths is None else frame_lengths.sum()
    frequencies = time_sum(counts).sum(axis=0) / jnp.maximum(total, 1)
    # The derivative of p log p at 0 is infinite: rarer levels draw no more than this frequency.
    logarithms = jnp.log2(jnp.maximum(frequencies, LEAST_FREQUENCY))
    entropy = -(frequencies * logarithms).sum()
    return jnp.where(total > 0, np.log2(levels).sum() - entropy, 0.0)


def distillation_loss(
    squashed: Float[Array, "batch frames dimensions"],
    teacher: Float[Array, "batch frames dimensions"],
    frame_lengths: Lengths = None,
) -> Scalar:
    """Mean squared difference of the quantizer's values, in [0, 1], from those of a teacher.

    No gradient goes to the teacher.
    """
    target = jax.lax.stop_gradient(_real(teacher, frame_lengths))
    return _mean(jnp.square(_real(squashed, frame_lengths) - target), frame_lengths)


def discriminator_loss(
    generated: FeatureMaps, reference: FeatureMaps, lengths: MapLengths | None = None
) -> Scalar:
    """Least squares towards 0 for generated and 1 for real audio, summed over discriminators."""
    return _towards(0.0, generated, lengths) + _towards(1.0, reference, lengths)


def generator_loss(generated: FeatureMaps, lengths: MapLengths | None = None) -> Scalar:
    """Least squares of the scores towards 1, summed over discriminators."""
    return _towards(1.0, generated, lengths)


def feature_matching_loss(
    generated: FeatureMaps, reference: FeatureMaps, lengths: MapLengths | None = None
) -> Scalar:
    """Mean absolute difference of each feature map but the scores, summed over all maps.

    No gradient goes to `reference`.
    """
    pairs = zip(generated, reference, _map_lengths(generated, lengths), strict=True)
    distances = [
        _mean_distance(a, jax.lax.stop_gradient(b), count)
        for trio in pairs
        for a, b, count in list(zip(*trio, strict=True))[:-1]
    ]
    return sum(distances, jnp.zeros(()))


def scale_down(value: Scalar, maximum: ArrayLike) -> Scalar:
    """`value` where it is below `maximum` (> 0), else `maximum` with the gradient scaled alike.

    A maximum of infinity sets no limit.
    """
    size = jax.lax.stop_gradient(value)
    return value * jnp.where(size <= maximum, 1.0, maximum / size)


def _spectra(audio: Audio, size: int, lengths: Lengths):
    return stft(audio, size, size // 4, lengths=lengths)


def _frame_lengths(lengths: Lengths, size: int) -> Lengths:
    """Frames of each clip, none where it has no samples."""
    if lengths is None:
        return None
    return jnp.where(lengths > 0, frame_count(lengths, size, size // 4), 0)


def _log10(x: Array, floor: ArrayLike) -> Array:
    """Logarithm of `x`, or of `floor` where `x` is below it; NaN stays NaN."""
    return jnp.log10(jnp.where(x < floor, floor, x))


def _towards(target: float, outputs: FeatureMaps, lengths: MapLengths | None) -> Scalar:
    """Mean squared distance of each discriminator's score from `target`, summed."""
    total = jnp.zeros(())
    for maps, counts in zip(outputs, _map_lengths(outputs, lengths), strict=True):
        score = _real(maps[-1], counts[-1])
        total += _mean(jnp.square(target - score), counts[-1])
    return total


def _map_lengths(outputs: FeatureMaps, lengths: MapLengths | None) -> MapLengths:
    return [[None] * len(maps) for maps in outputs] if lengths is None else lengths


def _mean_distance(a: Array, b: Array, lengths: Lengths) -> Scalar:
    """Mean absolute difference; where there is none its derivative is zero, as in PyTorch."""
    difference = _real(a, lengths) - _real(b, lengths)
    # JAX's derivative of abs(0) is 1.
    return _mean(difference * jax.lax.stop_gradient(jnp.sign(difference)), lengths)


def _real(x: Float[Array, "batch time *rest"], lengths: Lengths) -> Array:
    """`x` with zeros as padding, in float32 where it was computed with less.

    Distances are taken of this: the derivative at NaN is NaN even where nothing depends on it.
    """
    return mask_frames(x.astype(jnp.promote_types(x.dtype, jnp.float32)), lengths)


def _mean(values: Float[Array, "batch time *rest"], lengths: Lengths) -> Scalar:
    """Mean over what is real of each clip, then over the clips that have anything."""
    batch, time = values.shape[:2]
    totals = time_sum(mask_frames(values, lengths).reshape(batch, time, -1).mean(axis=2))
    if lengths is None:
        return totals.sum() / (batch * time)
    clips = totals / jnp.maximum(lengths, 1)
    return clips.sum() / jnp.maximum((lengths > 0).sum(), 1)
