"""The discriminators against PyTorch in double precision, with the same weights and real speech.

The oracle is built of torch.nn from the published architecture, its state dict has the published
names, and its spectra are made the published way: padded twice, four frames dropped.
"""

import re
from functools import cache
from itertools import chain

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax.traverse_util import flatten_dict, unflatten_dict
from torch.nn.functional import pad
from torch.nn.utils.parametrizations import weight_norm

from l3ac_jax.model.ops import frame_mask
from l3ac_jax.training.discriminators import (
    BANDS,
    FFT_SIZES,
    PERIOD_WIDTHS,
    PERIODS,
    Discriminators,
    WeightNormConv,
    _conv,
    aligned_stft,
    normalize,
)
from tests.model.oracle import QUICK_COMPILE, speech

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


def conv(inputs, outputs, window, stride=(1, 1)):
    padding = tuple(width // 2 for width in window)
    return weight_norm(torch.nn.Conv2d(inputs, outputs, window, stride, padding))


def stack(widths, windows, strides):
    layers = zip(widths[:-1], widths[1:], windows, strides, strict=True)
    return torch.nn.ModuleList(
        torch.nn.Sequential(conv(*layer), torch.nn.LeakyReLU(0.1)) for layer in layers
    )


class PeriodOracle(torch.nn.Module):
    def __init__(self, period, widths):
        super().__init__()
        self.period = period
        strides = [(3, 1)] * (len(widths) - 1) + [(1, 1)]
        self.convs = stack((1, *widths), [(5, 1)] * len(widths), strides)
        self.conv_post = conv(widths[-1], 1, (3, 1))

    def forward(self, x):
        x = pad(x[:, None], (0, self.period - x.shape[1] % self.period), mode="reflect")
        x = x.reshape(len(x), 1, -1, self.period)
        maps = []
        for layer in self.convs:
            x = layer(x)
            maps.append(x)
        return [*maps, self.conv_post(x)]


class SpectrumOracle(torch.nn.Module):
    def __init__(self, size, width):
        super().__init__()
        self.size = size
        windows, strides = [(3, 9)] * 4 + [(3, 3)], [(1, 1), (1, 2), (1, 2), (1, 2), (1, 1)]
        self.band_convs = torch.nn.ModuleList(
            stack((2, *[width] * 5), windows, strides) for _ in range(5)
        )
        self.conv_post = conv(width, 1, (3, 3))

    def forward(self, x):
        spectra = twice_padded_stft(x, self.size)
        parts = torch.view_as_real(spectra).permute(0, 3, 2, 1)
        bins = parts.shape[-1]
        maps, ends = [], []
        for band, layers in enumerate(self.band_convs):
            y = parts[..., int(BANDS[band] * bins) : int(BANDS[band + 1] * bins)]
            for layer in layers:
                y = layer(y)
                maps.append(y)
            ends.append(y)
        return [*maps, self.conv_post(torch.cat(ends, dim=-1))]


def twice_padded_stft(x, size):
    """As audiotools' AudioSignal.stft with match_stride: (batch, bins, frames)."""
    hop = size // 4
    side = (size - hop) // 2
    x = pad(x[:, None], (side, side - x.shape[1] % -hop), mode="reflect")[:, 0]
    window = torch.hann_window(size, dtype=x.dtype)
    return torch.stft(x, size, hop, window=window, return_complex=True)[..., 2:-2]


class Oracle(torch.nn.Module):
    """Its state dict has the names of the published one."""

    def __init__(self, periods, fft_sizes, period_widths, spectrum_width):
        super().__init__()
        self.discriminators = torch.nn.ModuleList(
            [PeriodOracle(period, period_widths) for period in periods]
            + [SpectrumOracle(size, spectrum_width) for size in fft_sizes]
        )

    def forward(self, x):
        x = x - x.mean(dim=-1, keepdim=True)
        x = 0.8 * x / (x.abs().max(dim=-1, keepdim=True)[0] + 1e-9)
        return [discriminator(x) for discriminator in self.discriminators]


LEAVES = {
    "kernel": "parametrizations.weight.original1",
    "scale": "parametrizations.weight.original0",
    "bias": "bias",
}


def torch_name(path: str, periods: int) -> str:
    """The published name of a parameter, by our path and the count of period discriminators."""
    kind, index, layer, leaf = re.fullmatch(r"(\w+)_(\d+)/(\w+)/(\w+)", path).groups()
    place = int(index) + (periods if kind == "spectrum" else 0)
    layer = re.sub(r"^conv_(\d+)", r"convs.\1.0", layer)
    layer = re.sub(r"^band_(\d+)_conv_(\d+)", r"band_convs.\1.\2.0", layer)
    return f"discriminators.{place}.{layer.replace('output', 'conv_post')}.{LEAVES[leaf]}"


def from_torch(tensors, discriminators: Discriminators) -> dict:
    """The parameter tree of a state dict (or of gradients under the same names)."""
    shapes = jax.eval_shape(discriminators.init, jax.random.key(0), jnp.zeros((1, SAMPLES)))[
        "params"
    ]
    tensors = dict(tensors)
    leaves = {}
    for path, leaf in flatten_dict(shapes, sep="/").items():
        array = tensors.pop(torch_name(path, len(discriminators.periods))).numpy()
        axes = (2, 3, 1, 0) if path.endswith("kernel") else range(array.ndim)
        leaves[path] = jnp.asarray(array.transpose(axes).reshape(leaf.shape), jnp.float32)
    assert not tensors
    return unflatten_dict(leaves, sep="/")


@cache
def pair(published: bool = False):
    torch.manual_seed(0)
    sizes = SMALL
    if published:
        sizes = {"periods": PERIODS, "fft_sizes": FFT_SIZES, "period_widths": PERIOD_WIDTHS}
        sizes["spectrum_width"] = 32
    oracle = Oracle(**sizes)
    ours = Discriminators(**sizes)
    return oracle.double(), ours, from_torch(oracle.state_dict(), ours)


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
    jax.tree.map(lambda a, b: assert_close(a, b, 1e-3), of_params, from_torch(gradients, ours))


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
