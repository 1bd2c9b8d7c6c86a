"""The training objective against its formulas in PyTorch, and what padding must not do to it."""

from functools import cache, partial
from pathlib import Path

import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest
import torch

from l3ac_jax.audio.mel import DAC_BANDS, dac_bands, mel_filters
from l3ac_jax.audio.reading import read_audio
from l3ac_jax.audio.windows import window_at
from l3ac_jax.oracle import losses as official_losses
from l3ac_jax.training import losses
from tests.quick import QUICK_COMPILE

SPEECH = Path(__file__).parents[1] / "fixtures" / "librivox_sense_0870.wav"
RATE = 16000

# Little is computed here: quick compilation is worth more than quick code.
jit = partial(jax.jit, compiler_options=QUICK_COMPILE)

NAMES = ["waveform", "stft", "mel"]
SIZES = (32, 64, 128, 256, 512, 1024, 2048)  # of STFT windows; the last one of mel only
FEW = (32, 512)  # where all of them would only take longer


def torch_loss(name, a, b, sizes):
    if name == "waveform":
        return (a - b).abs().mean()
    if name == "stft":
        return official_losses.stft_loss(a, b, sizes)
    return official_losses.mel_loss(a, b, RATE, {size: size * 5 // 32 for size in sizes}, 0.5)


@pytest.fixture(scope="module")
def clips() -> tuple[np.ndarray, np.ndarray]:
    """Three clips of 0.25 s of speech, and the same with noise a tenth as loud."""
    samples = read_audio(SPEECH).samples[0]
    reference = np.stack([samples[i : i + 4000] for i in (8000, 16000, 24000)])
    noise = np.random.default_rng(0).normal(size=reference.shape) * reference.std() / 10
    return (reference + noise).astype(np.float32), reference.astype(np.float32)


def theirs(name, generated, reference, dtype=torch.float64, sizes=None):
    """PyTorch's value and derivative with respect to the generated audio."""
    generated = torch.tensor(generated, dtype=dtype, requires_grad=True)
    sizes = sizes or (SIZES if name == "mel" else SIZES[:-1])
    loss = torch_loss(name, generated, torch.tensor(reference, dtype=dtype), sizes)
    loss.backward()
    return loss.item(), generated.grad.numpy()


@cache
def compiled(name, few=False):
    """Our value and derivative with respect to the generated audio."""
    if name == "waveform":
        loss = losses.waveform_loss
    elif name == "stft":
        loss = partial(losses.stft_loss, sample_rate=RATE, sizes=FEW if few else None)
    else:
        bands = {size: DAC_BANDS[size] for size in (FEW if few else DAC_BANDS)}
        loss = partial(losses.mel_loss, sample_rate=RATE, magnitude_weight=0.5, bands=bands)
    return jit(jax.value_and_grad(lambda a, b, lengths=None: loss(a, b, lengths=lengths)))


def in_double(name, generated, reference, lengths):
    with jax.enable_x64():
        function = compiled(name, few=True)
        value, slope = function(generated.astype("f8"), reference.astype("f8"), lengths)
    return float(value), np.asarray(slope)


@pytest.mark.parametrize("name", NAMES)
def test_single_precision_is_as_close_to_the_formula_as_pytorch(name, clips):
    """Slopes of logarithms are ill-conditioned: those of PyTorch in float32 are 0.4 % off too."""
    exact, exact_slope = theirs(name, *clips)
    _, their_slope = theirs(name, *clips, torch.float32)
    value, slope = compiled(name)(*clips)
    np.testing.assert_allclose(value, exact, rtol=1e-5)

    def error(x):
        return np.linalg.norm(x - exact_slope) / np.linalg.norm(exact_slope)

    assert error(np.asarray(slope)) < 3 * error(their_slope) + 1e-5


@pytest.mark.parametrize("name", ["stft", "mel"])
def test_magnitudes_below_the_floor_count_as_the_floor(name, clips):
    floor = 0.05  # within the magnitudes of these clips
    generated, reference = (torch.tensor(x, dtype=torch.float64) for x in clips)
    generated.requires_grad_()
    if name == "stft":
        ours = partial(losses.stft_loss, sample_rate=RATE)
        loss = official_losses.stft_loss(generated, reference, floor=floor)
    else:
        ours = partial(losses.mel_loss, sample_rate=RATE)
        loss = official_losses.mel_loss(generated, reference, RATE, DAC_BANDS, floor=floor)
    loss.backward()
    with jax.enable_x64():
        doubles = [x.astype("f8") for x in clips]
        value, slope = jit(jax.value_and_grad(partial(ours, floor=floor)))(*doubles)
        without = jit(ours)(*doubles)
    np.testing.assert_allclose(value, loss.item(), rtol=1e-10)
    expected = generated.grad.numpy()
    np.testing.assert_allclose(slope, expected, atol=1e-8 * np.abs(expected).max())
    assert float(value) < 0.9 * float(without)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("lengths", [(4000, 4000, 4000), (4000, 2999, 1300), (3999, 257, 0)])
def test_padding_never_counts_and_a_batch_is_the_mean_of_its_clips(name, lengths, clips):
    alone = [
        theirs(name, *(clip[None, :length] for clip in pair), sizes=FEW)
        for pair, length in zip(zip(*clips, strict=True), lengths, strict=True)
        if length > 0  # a clip without samples does not count
    ]
    outside = np.arange(4000)[None] >= np.array(lengths)[:, None]
    for paddings in [(np.nan, np.nan), (1e30, -1e30), (0, np.nan)]:
        padded = [
            np.where(outside, padding, clip) for clip, padding in zip(clips, paddings, strict=True)
        ]
        value, slope = in_double(name, *padded, np.array(lengths, np.int32))
        np.testing.assert_allclose(value, np.mean([v for v, _ in alone]), rtol=1e-10)
        assert np.all(slope[outside] == 0)
        for ours, (_, expected) in zip(slope, alone, strict=False):
            expected = expected[0] / len(alone)
            scale = np.abs(expected).max()
            np.testing.assert_allclose(ours[: len(expected)], expected, atol=1e-8 * scale)


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_without_samples_has_no_loss(name, clips):
    nothing, slope = in_double(name, *clips, np.zeros(3, np.int32))
    assert nothing == 0 and np.all(slope == 0)


@pytest.mark.parametrize("name", NAMES)
def test_silence_has_finite_derivatives(name, clips):
    function, silence = compiled(name), np.zeros_like(clips[0])
    value, slope = function(silence, silence)
    assert value == 0 and np.all(np.asarray(slope) == 0)
    value, slope = function(silence, clips[1])
    assert value > 0 and np.all(np.isfinite(slope))
    expected, expected_slope = theirs(name, silence, clips[1])
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(slope, expected_slope, atol=1e-7)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_finite_shows(name, clips):
    broken = clips[0].copy()
    broken[1, 2000] = np.nan
    value, _ = compiled(name)(broken, clips[1])
    assert np.isnan(value)


def test_windows_are_as_long_in_time_at_every_rate(clips):
    sizes = (48, 96, 192, 384, 768, 1536, 3072)
    bands = dict(zip(sizes, DAC_BANDS.values(), strict=True))
    a, b = (torch.tensor(x, dtype=torch.float64) for x in clips)
    with jax.enable_x64():
        doubles = [x.astype("f8") for x in clips]
        stft = jit(partial(losses.stft_loss, sample_rate=24000))(*doubles)
        mel = jit(partial(losses.mel_loss, sample_rate=24000))(*doubles)
    expected = official_losses.stft_loss(a, b, sizes[:-1])
    np.testing.assert_allclose(stft, expected, rtol=1e-10)
    expected = official_losses.mel_loss(a, b, 24000, bands)
    np.testing.assert_allclose(mel, expected, rtol=1e-10)
    assert [window_at(size, 44100) for size in DAC_BANDS] == [88, 176, 352, 706, 1412, 2822, 5644]
    assert dac_bands(RATE) == DAC_BANDS


@pytest.mark.parametrize("rate", [16000, 22050, 24000, 32000, 44100, 48000])
def test_mel_filters_are_librosas_and_none_is_empty(rate):
    for size, bands in dac_bands(rate).items():
        filters = mel_filters(rate, size, bands)
        expected = librosa.filters.mel(sr=rate, n_fft=size, n_mels=bands)
        np.testing.assert_array_equal(filters, expected.T)
        assert np.all(filters.sum(axis=0) > 0)


def test_mel_spectrogram_is_librosas(clips):
    """The distance from silence is the log mel spectrogram's own mean, above the floor."""
    audio, expected = clips[1], 0
    for size, bands in DAC_BANDS.items():
        form = {"n_fft": size, "hop_length": size // 4, "n_mels": bands, "pad_mode": "reflect"}
        mel = librosa.feature.melspectrogram(y=audio, sr=RATE, power=1, **form)
        expected += np.mean(np.log10(np.maximum(mel, 1e-5)) + 5) + 0.5 * np.mean(mel)
    value, _ = compiled("mel")(np.zeros_like(audio), audio)
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_perceptual_loss_sums_features_and_averages_frames():
    a, b = np.random.default_rng(0).normal(size=(2, 3, 20, 8)).astype("f4")
    function = jit(jax.value_and_grad(losses.perceptual_loss))
    frames = np.square(a - b).sum(axis=2)
    np.testing.assert_allclose(function(a, b)[0], frames.mean(), rtol=1e-6)
    a[1, 7:], b[2] = np.nan, np.nan
    value, slope = function(a, b, np.array([20, 7, 0], np.int32))
    np.testing.assert_allclose(value, (frames[0].mean() + frames[1, :7].mean()) / 2, rtol=1e-6)
    expected = np.zeros_like(a)
    expected[0], expected[1, :7] = (a - b)[0] / 20, (a - b)[1, :7] / 7
    np.testing.assert_allclose(slope, expected, rtol=1e-5)


LEVELS = (5, 4, 2)


def squashed_values(seed: int = 0, frames: int = 40) -> np.ndarray:
    """In (0, 1), those of the first dimension below its uppermost level."""
    values = np.random.default_rng(seed).uniform(size=(3, frames, len(LEVELS)))
    values[..., 0] *= 0.7
    return values.astype("f4")


def lacking_bits(frames: np.ndarray) -> float:
    """The entropy that the levels of (frames, dimensions) lack, by np.interp."""
    bits = 0.0
    for values, count in zip(frames.T, LEVELS, strict=True):
        weights = [np.interp(values * (count - 1), range(count), row) for row in np.eye(count)]
        frequencies = np.mean(weights, axis=1)
        used = frequencies[frequencies > 0]
        bits += np.log2(count) + (used * np.log2(used)).sum()
    return float(bits)


@partial(jit, static_argnums=2)
def usage(values, lengths=None, levels=LEVELS):
    return jax.value_and_grad(losses.usage_loss)(values, levels, lengths)


def test_usage_is_the_entropy_that_the_levels_of_all_real_frames_lack():
    values, lengths = squashed_values(), np.array([40, 7, 0], np.int32)
    value, _ = usage(values)
    np.testing.assert_allclose(value, lacking_bits(values.reshape(-1, 3)), rtol=1e-5)
    real = np.concatenate([values[0], values[1, :7]])
    _, alone = usage(real[None])
    values[1, 7:], values[2] = np.nan, np.nan
    value, slope = usage(values, lengths)
    np.testing.assert_allclose(value, lacking_bits(real), rtol=1e-5)
    np.testing.assert_allclose(np.concatenate([slope[0], slope[1, :7]]), alone[0], rtol=1e-4)
    assert np.all(slope[1, 7:] == 0) and np.all(slope[2] == 0)
    nothing, slope = usage(values, np.zeros(3, np.int32))
    assert nothing == 0 and np.all(slope == 0)


def test_equal_frequencies_lack_nothing_and_a_single_level_lacks_all():
    equal = np.stack([np.arange(40) % count / (count - 1) for count in LEVELS], axis=1)
    assert abs(usage(equal[None].astype("f4"))[0]) < 1e-5
    value, slope = usage(np.ones((1, 40, 3), np.float32))  # the uppermost level, saturated
    np.testing.assert_allclose(value, np.log2(LEVELS).sum(), rtol=1e-6)
    assert np.all(np.isfinite(slope)) and np.all(np.asarray(slope) > 0)


def test_usage_draws_values_to_the_rarer_of_their_two_levels():
    counts = [5, 1, 3, 0, 2]
    centres = np.repeat(np.arange(5), counts) / 4
    moved = np.clip(centres + np.resize([0.05, -0.05], len(centres)), 0, 1)
    values = np.stack([moved, *[np.full_like(moved, 0.5)] * 2], axis=1)[None].astype("f4")
    _, slope = usage(values)
    # By the definition's own slope: between two levels it is that of their frequencies' logarithms.
    steps = moved * 4
    frequencies = np.mean([np.interp(steps, range(5), row) for row in np.eye(5)], axis=1)
    below = np.clip(np.floor(steps), 0, 3).astype(int)
    rarer = frequencies[below + 1] - frequencies[below]
    np.testing.assert_array_equal(np.sign(slope[0, :, 0]), np.sign(rarer))
    step = 1e-3
    closer, _ = usage((values - step * np.sign(slope)).astype("f4"))
    assert closer < usage(values)[0]


def test_distillation_is_the_mean_square_over_real_frames_and_moves_the_student_alone():
    a, b = squashed_values(0), squashed_values(1)
    a[1, 7:], b[1, 7:], b[2] = np.nan, np.nan, np.nan
    lengths = np.array([40, 7, 0], np.int32)
    function = jit(jax.value_and_grad(losses.distillation_loss, argnums=(0, 1)))
    value, (to_student, to_teacher) = function(a, b, lengths)
    difference = [(a - b)[0], (a - b)[1, :7]]
    expected = np.mean([np.square(part).mean() for part in difference])
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    slope = np.zeros_like(a)
    slope[0], slope[1, :7] = (part / part.size for part in difference)
    np.testing.assert_allclose(to_student, slope, rtol=1e-5)
    assert np.all(to_teacher == 0)


def feature_maps(seed: int) -> list[list[np.ndarray]]:
    """Two discriminators, the first with two feature maps, the second with one, and the scores."""
    random = np.random.default_rng(seed)
    shapes = [[(2, 9, 4, 3), (2, 5, 4, 6), (2, 5, 4, 1)], [(2, 6, 7), (2, 4)]]
    return [[random.normal(size=s).astype("f4") for s in maps] for maps in shapes]


def test_adversarial_losses():
    fake, real = feature_maps(0), feature_maps(1)
    np.testing.assert_allclose(
        jit(losses.discriminator_loss)(fake, real),
        sum(
            np.mean(f[-1] ** 2) + np.mean((1 - r[-1]) ** 2) for f, r in zip(fake, real, strict=True)
        ),
        rtol=1e-6,
    )
    np.testing.assert_allclose(
        jit(losses.generator_loss)(fake), sum(np.mean((1 - f[-1]) ** 2) for f in fake), rtol=1e-6
    )
    pairs = [(fake[0][0], real[0][0]), (fake[0][1], real[0][1]), (fake[1][0], real[1][0])]
    np.testing.assert_allclose(
        jit(losses.feature_matching_loss)(fake, real),
        sum(np.mean(np.abs(f - r)) for f, r in pairs),
        rtol=1e-6,
    )


def test_feature_matching_moves_the_generated_maps_only():
    fake, real = feature_maps(0), feature_maps(1)
    to_fake, to_real = jit(jax.grad(losses.feature_matching_loss, argnums=(0, 1)))(fake, real)
    assert all(np.all(leaf == 0) for leaf in jax.tree.leaves(to_real))
    np.testing.assert_allclose(to_fake[1][0], np.sign(fake[1][0] - real[1][0]) / 84, rtol=1e-6)
    assert not np.any(to_fake[0][-1]) and not np.any(to_fake[1][-1])  # scores are not features


def test_losses_of_bfloat16_feature_maps_are_float32():
    fake, real = (
        jax.tree.map(lambda x: jnp.asarray(x, jnp.bfloat16), feature_maps(seed)) for seed in (0, 1)
    )
    exact = [jax.tree.map(lambda x: x.astype(jnp.float32), maps) for maps in (fake, real)]
    for loss in (losses.discriminator_loss, losses.feature_matching_loss):
        value = jit(loss)(fake, real)
        assert value.dtype == jnp.float32
        np.testing.assert_allclose(value, jit(loss)(*exact), rtol=1e-6)


@pytest.mark.parametrize("loss", ["discriminator", "generator", "features"])
def test_padding_of_feature_maps_never_counts(loss):
    fake, real = feature_maps(0), feature_maps(1)
    counts = [[(9, 6), (5, 3), (5, 3)], [(6, 4), (4, 2)]]
    lengths = [[np.array(count, np.int32) for count in maps] for maps in counts]

    def total(a, b, lengths=None):
        if loss == "discriminator":
            return losses.discriminator_loss(a, b, lengths)
        if loss == "generator":
            return losses.generator_loss(a, lengths)
        return losses.feature_matching_loss(a, b, lengths)

    def clip(outputs, i):
        return [
            [x[i : i + 1, : count[i]] for x, count in zip(maps, row, strict=True)]
            for maps, row in zip(outputs, counts, strict=True)
        ]

    alone = [jit(total)(clip(fake, i), clip(real, i)) for i in range(2)]
    outside = [
        [
            np.arange(x.shape[1])[None] >= np.array(count)[:, None]
            for x, count in zip(*row, strict=True)
        ]
        for row in zip(fake, counts, strict=True)
    ]
    fake, real = (jax.tree.map(spoil, maps, outside) for maps in (fake, real))
    value, slope = jit(jax.value_and_grad(total))(fake, real, lengths)
    np.testing.assert_allclose(value, np.mean(alone), rtol=1e-6)
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(slope))
    jax.tree.map(
        lambda x, where: np.testing.assert_array_equal(np.asarray(x)[where], 0), slope, outside
    )


def spoil(x, where):
    return np.where(where.reshape(where.shape + (1,) * (x.ndim - 2)), np.float32(np.nan), x)


@pytest.mark.parametrize("value", [0.0, 0.3, 4.99, 5.0, 7.0, 1e6])
def test_scaling_down_keeps_the_direction_of_the_gradient(value):
    parts = jnp.array([0.25, 0.75]) * value

    def total(x):
        return losses.scale_down(jnp.sum(x), 5.0)

    scaled, slope = jax.value_and_grad(total)(parts)
    np.testing.assert_allclose(scaled, min(value, 5.0), rtol=1e-6)
    np.testing.assert_allclose(slope, 5.0 / max(value, 5.0), rtol=1e-6)
