"""Each layer against the official one with the same weights, bottom up.

Tolerance: float32 sums of up to a few hundred terms of order 1, evaluated in another order.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from l3ac_jax.model import ops
from l3ac_jax.model.activations import Snake
from l3ac_jax.model.decoder import DecoderStage
from l3ac_jax.model.encoder import EncoderStage
from l3ac_jax.model.enhance import EnhanceBlock
from l3ac_jax.model.layers import BlockOptions, Conv
from l3ac_jax.model.norms import ChannelNorm
from l3ac_jax.model.tpooling import TConv, tpool
from l3ac_jax.model.transformer import LocalTransformer
from l3ac_jax.model.units import ConvUnit, LegacyUnit
from tests.model.oracle import pair
from tests.quick import QUICK_COMPILE

TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}


def noise(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape, np.float32))


def tensor(x) -> torch.Tensor:
    return torch.from_numpy(np.array(x))


def channels_first(module, x) -> np.ndarray:
    """The official module on (b, t, c) frames."""
    with torch.no_grad():
        return module(tensor(x).transpose(1, 2)).transpose(1, 2).numpy()


def run(layer, params, x, **options):
    apply = jax.jit(partial(layer.apply, **options), compiler_options=QUICK_COMPILE)
    return apply({"params": params}, x)


def assert_same(ours, official) -> None:
    np.testing.assert_allclose(np.asarray(ours), official, **TOLERANCE)


def options(config) -> BlockOptions:
    return BlockOptions(config.use_norm, config.activation)


@pytest.mark.parametrize("width", [1, 3, 5, 9, 11, 21, 45])
def test_tpooling(width):
    from l3ac.tconv.base import trend_pool

    x = noise(2, 100)
    expected = trend_pool(tensor(x)[:, None], width)[:, 0].numpy()
    assert_same(tpool(x, width), expected)


@pytest.mark.parametrize("width", [3, 5, 9, 21])
def test_tpooling_without_absolute_value_pads_maxima_with_minus_infinity(width):
    x = noise(2, 64) - 3
    pool = {"kernel_size": width, "stride": 1, "padding": width // 2}
    peaks = torch.nn.functional.max_pool1d(tensor(x), **pool)
    expected = torch.nn.functional.avg_pool1d(peaks, **pool).numpy()
    assert_same(tpool(x, width, absolute=False), expected)


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("frames", [1, 2, 7])
def test_linear_upsampling(factor, frames):
    x = noise(2, frames, 3)
    upsample = torch.nn.Upsample(scale_factor=factor, mode="linear", align_corners=False)
    assert_same(ops.linear_upsample(x, factor), channels_first(upsample, x))


def test_snake_and_channel_norm():
    from l3ac.layers import ChannelNorm as OfficialNorm
    from l3ac.layers import Snake1d

    x = 20 * noise(2, 50, 6)
    official = Snake1d(6)
    alpha = jnp.linspace(0.1, 3, 6)
    official.alpha.data = tensor(alpha).reshape(1, 6, 1)
    assert_same(Snake().apply({"params": {"alpha": alpha}}, x), channels_first(official, x))

    norm = OfficialNorm(6, data_format="channels_first")
    norm.weight.data, norm.bias.data = tensor(alpha), -tensor(alpha)
    ours = run(ChannelNorm(), {"scale": alpha, "bias": -alpha}, x)
    assert_same(ours, channels_first(norm, x))


@pytest.mark.parametrize("name", ["baseline", "norm_off", "gelu"])
def test_conv_unit(name):
    oracle = pair(name)
    x = noise(2, 40, 8)
    unit = ConvUnit(8, options(oracle.config))
    ours = run(unit, oracle.params["encoder"]["stage_0"]["unit_0"], x)
    assert_same(ours, channels_first(oracle.official.network.encoder.blocks[1][0], x))


@pytest.mark.parametrize(("index", "dilation"), [(0, 1), (1, 3), (2, 9)])
def test_dilated_units_of_the_last_block(index, dilation):
    for name, unit in (("baseline", LegacyUnit), ("last_dilation", ConvUnit)):
        oracle = pair(name)
        x = noise(2, 90, 8)
        params = oracle.params["decoder"]["final"][f"unit_{index}"]
        ours = run(unit(8, dilation=dilation, options=options(oracle.config)), params, x)
        official = oracle.official.network.decoder.blocks[-1].block[0][index]
        assert_same(ours, channels_first(official, x))


def test_front_end_of_the_encoder():
    oracle = pair("baseline")
    x = noise(2, 120)
    ours = run(TConv(8, oracle.config.tpooling), oracle.params["encoder"]["front"], x)
    assert_same(ours, channels_first(oracle.official.network.encoder.blocks[0], x[..., None]))


def test_enhance_block():
    oracle = pair("baseline")
    x = noise(2, 60, 24)
    params = oracle.params["decoder"]["stage_0"]["enhance"]
    ours = run(EnhanceBlock(24, oracle.config.tpooling), params, x)
    assert_same(ours, channels_first(oracle.official.network.decoder.blocks[2], x))


def test_encoder_stage():
    oracle = pair("baseline")
    x = noise(2, 60, 8)
    params = oracle.params["encoder"]["stage_0"]
    ours = run(EncoderStage(8, 1, 3, 12), params, x)
    assert_same(ours, channels_first(oracle.official.network.encoder.blocks[1:3], x))


def test_decoder_stage():
    oracle = pair("baseline")
    x = noise(2, 20, 24)
    params = oracle.params["decoder"]["stage_0"]
    ours = run(DecoderStage(24, 2, 2, 12, oracle.config.tpooling), params, x)
    assert_same(ours, channels_first(oracle.official.network.decoder.blocks[1:4], x))


def test_input_convolution():
    oracle = pair("baseline")
    x = noise(2, 20, 16)
    ours = run(Conv(24, 3), oracle.params["decoder"]["input"], x)
    assert_same(ours, channels_first(oracle.official.network.decoder.blocks[0], x))


@pytest.mark.parametrize("name", ["baseline", "rotary", "deep"])
@pytest.mark.parametrize("frames", [1, 5, 8, 9, 16, 29])
def test_local_transformer(name, frames):
    oracle = pair(name)
    transformer = oracle.config.transformer
    x = noise(2, frames, 16)
    layer = LocalTransformer(
        16, transformer.decoder_depth, transformer.window_size, transformer.position
    )
    ours = run(layer, oracle.params["decoder_transformer"]["transformer"], x)
    with torch.no_grad():
        official = oracle.official.network.en_decoder.local_trans(tensor(x)).numpy()
    assert_same(ours, official)


@pytest.mark.parametrize("name", ["compress2", "compress3", "compress2_rotary"])
def test_transformers_with_compression(name):
    from l3ac_jax.model.network import Network

    oracle = pair(name)
    rate = oracle.config.transformer.compress_rate
    official = oracle.official.network
    features = noise(2, 21 * rate, 16)
    tokens = noise(2, 21, 16)
    with torch.no_grad():
        encoded = official.en_encoder(tensor(features).transpose(1, 2)).numpy()
        decoded = official.en_decoder(tensor(tokens)).transpose(1, 2).numpy()
    network = Network(oracle.config)
    ours = run(network, oracle.params, features, method=lambda n, x: n.encoder_transformer(x))
    assert_same(ours, encoded)
    ours = run(network, oracle.params, tokens, method=lambda n, x: n.decoder_transformer(x))
    assert_same(ours, decoded)


def test_sin_squared_and_its_derivative():
    from l3ac_jax.model.ops.snake import sin_of_double, sin_squared

    x = np.random.default_rng(0).uniform(-1000, 1000, 100_000).astype(np.float32)
    exact = np.sin(x.astype(np.float64)) ** 2
    assert np.abs(sin_squared(jnp.asarray(x)) - exact).max() < 5e-7
    assert np.abs(sin_of_double(jnp.asarray(x)) - np.sin(2 * x.astype(np.float64))).max() < 1e-6


@pytest.mark.parametrize("batch", [1, 3])
def test_gradient_of_snake(batch):
    from l3ac_jax.model.ops.snake import snake

    x, weights = noise(batch, 500, 6), noise(batch, 500, 6, seed=1)
    alpha = np.random.default_rng(2).uniform(0.2, 3, 6).astype(np.float32)

    def loss(x, alpha):
        return jnp.sum(snake(x, alpha) * weights)

    ours = jax.grad(loss, argnums=(0, 1))(jnp.asarray(x), jnp.asarray(alpha))
    theirs = [tensor(value).double().requires_grad_() for value in (x, alpha)]
    official = theirs[0] + torch.sin(theirs[1] * theirs[0]) ** 2 / (theirs[1] + 1e-8)
    (official * tensor(weights)).sum().backward()
    for mine, exact in zip(ours, theirs, strict=True):
        # float32: of 1,500 terms for alpha, which partly cancel
        np.testing.assert_allclose(mine, exact.grad.numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(5,), (3, 5), (1, 700, 5), (2, 700, 5)])
def test_gradient_of_what_is_added_to_each_channel(shape):
    x, values = noise(*shape), noise(5, seed=1)
    weights = noise(*shape, seed=2)

    def loss(values):
        return jnp.sum((x * ops.per_channel(values, x) + ops.per_channel(values, x)) * weights)

    exact = np.sum(np.float64((x + 1.0) * weights).reshape(-1, 5), axis=0)
    np.testing.assert_allclose(jax.grad(loss)(values), exact, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("width", [3, 5, 9, 45])
def test_gradient_of_tpooling_with_ties(width):
    from l3ac.tconv.base import trend_pool

    # few different values, as in quiet 16-bit audio: windows with several equal maxima
    x = jnp.asarray(np.random.default_rng(0).integers(-4, 5, (2, 100)).astype(np.float32))
    weights = noise(2, 100, seed=1)
    theirs = tensor(x).requires_grad_()
    (trend_pool(theirs[:, None], width)[:, 0] * tensor(weights)).sum().backward()
    ours = jax.grad(lambda x: jnp.sum(tpool(x, width) * weights))(x)
    assert_same(ours, theirs.grad.numpy())
