"""The discriminators against PyTorch in double precision, with the same weights and real speech.

The oracle's spectra are made the published way: padded twice, four frames dropped.
"""

from functools import cache
from itertools import chain

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from l3ac_jax.model.ops import frame_mask
from l3ac_jax.oracle.discriminators import (
    OfficialDiscriminators,
    discriminator_params,
    twice_padded_stft,
)
from l3ac_jax.training.discriminators import (
    FFT_SIZES,
    Discriminators,
    WeightNormConv,
    _conv,
    aligned_stft,
    normalize,
)
from tests.quick import QUICK_COMPILE, speech

# float32 sums of up to 5120 products, a few layers deep, against float64; relative to the largest
# value, because sums that cancel keep the error of their terms.
TOLERANCE = 2e-5

# Everything the published ones have, but narrow: what compiles and runs in a second.
SMALL = {
    "periods": (3,),
    "fft_sizes": (542,),
    "period_widths": (4, 6, 8),
    "spectrum_width": 4,
}
SAMPLES = 3001  # a multiple of no period and no hop


@cache
def pair(published: bool = False):
    torch.manual_seed(0)
    sizes = {} if published else SMALL  # the published ones are what both have by default
    oracle, ours = OfficialDiscriminators(**sizes), Discriminators(**sizes)
    params = jax.tree.map(jnp.asarray, discriminator_params(oracle.state_dict(), ours))
    return oracle.double(), ours, params


def clips(samples: int = SAMPLES) -> np.ndarray:
    return np.concatenate([speech(samples), speech(samples, 30000) + 0.01])


def flat(rows) -> list:
    return list(chain.from_iterable(rows))


def run(discriminators, params, *arguments):
    apply = jax.jit(discriminators.apply, compiler_options=QUICK_COMPILE)
    return apply({"params": params}, *arguments)


def assert_close(ours, expected, tolerance=TOLERANCE):
    expected = np.asarray(expected)
    assert ours.shape == expected.shape
    scale = np.abs(expected).max()
    np.testing.assert_allclose(np.asarray(ours), expected, rtol=0, atol=tolerance * scale)


def test_feature_maps_and_scores_of_the_published_sizes():
    oracle, ours, params = pair(published=True)
    audio = clips()
    with torch.no_grad():
        expected = oracle(torch.from_numpy(audio).double())
    found = run(ours, params, jnp.asarray(audio))
    assert list(map(len, found)) == list(map(len, expected))
    for map_, expected_map in zip(flat(found), flat(expected), strict=True):
        assert_close(map_, expected_map.permute(0, 2, 3, 1))


def test_gradients_of_audio_and_parameters():
    oracle, ours, params = pair()
    audio = clips()
    # Of the losses of training: towards 1 for scores, absolute values for features.
    theirs = torch.from_numpy(audio).double().requires_grad_()
    maps = oracle(theirs)
    loss = sum((1 - score).square().mean() for *_, score in maps)
    loss = loss + 2 * sum(x.abs().mean() for *features, _ in maps for x in features)
    oracle.zero_grad()
    loss.backward()

    def our_loss(params, audio):
        maps = ours.apply({"params": params}, audio)
        loss = sum(jnp.square(1 - score).mean() for *_, score in maps)
        return loss + 2 * sum(jnp.abs(x).mean() for *features, _ in maps for x in features)

    step = jax.jit(jax.value_and_grad(our_loss, (0, 1)), compiler_options=QUICK_COMPILE)
    value, (of_params, of_audio) = step(params, jnp.asarray(audio))
    np.testing.assert_allclose(value, loss.item(), rtol=1e-5)
    # The derivative of |x| jumps: an entry within rounding of 0 may fall on the other side.
    assert_close(of_audio, theirs.grad, 1e-3)
    gradients = {name: tensor.grad for name, tensor in oracle.named_parameters()}
    expected = discriminator_params(gradients, ours)
    jax.tree.map(lambda a, b: assert_close(a, b, 1e-3), of_params, expected)


def test_a_state_dict_of_other_discriminators_is_refused():
    oracle, ours, _ = pair()
    more = oracle.state_dict() | {"discriminators.9.bias": torch.zeros(1)}
    with pytest.raises(ValueError, match=r"discriminators\.9\.bias"):
        discriminator_params(more, ours)
    with pytest.raises(KeyError, match="band_convs"):
        discriminator_params({}, ours.clone(periods=()))


@pytest.mark.parametrize("size", FFT_SIZES)
def test_spectra_are_those_of_a_clip_padded_twice(size):
    hop = size // 4
    for samples in (size, 4 * hop, 10 * hop - 1, 10 * hop + 1):
        audio = speech(samples)
        expected = twice_padded_stft(torch.from_numpy(audio).double(), size).mT.numpy()
        assert_close(aligned_stft(jnp.asarray(audio), size), expected)


def test_a_clip_in_a_padded_batch_has_the_maps_it_has_alone():
    _, ours, params = pair()
    audio = clips()
    lengths = np.array([SAMPLES - 701, SAMPLES])
    padded = np.where(np.arange(SAMPLES) < lengths[:, None], audio, np.nan)
    alone = run(ours, params, jnp.asarray(audio[:1, : lengths[0]]))
    together = run(ours, params, jnp.asarray(padded), jnp.asarray(lengths))
    counts = ours.map_lengths(jnp.asarray(lengths))
    assert [[len(np.shape(c)) for c in row] for row in counts] == [[1] * len(row) for row in alone]
    for expected, found, count in zip(flat(alone), flat(together), flat(counts), strict=True):
        assert count.tolist() == [expected.shape[1], found.shape[1]]
        assert_close(found[:1, : count[0]], expected)
        assert np.isfinite(found).all()


def test_padding_gets_no_gradient_and_gives_none():
    _, ours, params = pair()
    lengths = jnp.array([SAMPLES - 701, SAMPLES])
    real = frame_mask(lengths, SAMPLES)

    def loss(audio, lengths):
        maps = ours.apply({"params": params}, audio, lengths)
        counts = ours.map_lengths(lengths)
        return sum(
            jnp.where(frame_mask(count, x.shape[1])[..., None, None], jnp.square(x), 0).sum()
            for x, count in zip(flat(maps), flat(counts), strict=True)
        )

    gradient = jax.jit(jax.grad(loss), compiler_options=QUICK_COMPILE)
    audio = jnp.asarray(clips())
    together = gradient(jnp.where(real, audio, jnp.nan), lengths)
    assert not np.asarray(together)[~np.asarray(real)].any()
    alone = gradient(audio[:1, : lengths[0]], lengths[:1])
    assert_close(together[:1, : lengths[0]], alone, 1e-4)


def test_silence_has_finite_gradients():
    _, ours, params = pair()

    def loss(params, audio):
        return sum(
            jnp.square(1 - maps[-1]).mean() for maps in ours.apply({"params": params}, audio)
        )

    gradients = jax.jit(jax.grad(loss, (0, 1)), compiler_options=QUICK_COMPILE)(
        params, jnp.zeros((1, SAMPLES))
    )
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    assert not normalize(jnp.zeros((1, 10))).any()


@pytest.mark.parametrize("bins", [6, 27, 64])
@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_strided_convolution_as_each_backend_computes_it(bins, backend, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    random = np.random.default_rng(0)
    x = jnp.asarray(random.standard_normal((2, 5, bins, 3)), jnp.float32)
    kernel = jnp.asarray(random.standard_normal((3, 9, 3, 4)), jnp.float32)
    x64, kernel64 = (torch.from_numpy(np.array(array)).double() for array in (x, kernel))
    expected = torch.nn.functional.conv2d(
        x64.permute(0, 3, 1, 2), kernel64.permute(3, 2, 0, 1), stride=(1, 2), padding=(1, 4)
    ).permute(0, 2, 3, 1)
    assert_close(_conv(x, kernel, 2), expected)


def test_bfloat16_computes_in_bfloat16_and_returns_float32():
    _, ours, params = pair()
    audio = jnp.asarray(clips())
    exact = flat(run(ours, params, audio))
    half = flat(run(ours.clone(dtype=jnp.bfloat16), params, audio))
    for a, b in zip(half, exact, strict=True):
        assert a.dtype == jnp.float32
        assert_close(a, b, 0.05)  # 8 bits, rounded in each of up to 6 layers
    assert any((a != b).any() for a, b in zip(half, exact, strict=True))


def test_initial_values_are_those_of_pytorch():
    conv = WeightNormConv(64, (5,), 1, jnp.float32)
    params = conv.init(jax.random.key(0), jnp.zeros((1, 8, 32)))["params"]
    bound = (5 * 32) ** -0.5
    for leaf in (params["kernel"], params["bias"]):
        assert 0.9 * bound < np.abs(leaf).max() <= bound
    norm = np.linalg.norm(np.reshape(params["kernel"], (-1, 64)), axis=0)
    np.testing.assert_allclose(params["scale"], norm, rtol=1e-6)
