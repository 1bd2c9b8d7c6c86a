"""Networks that the official package does not have: what an ablation changes, and nothing else."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from l3ac_jax.errors import ConfigError
from l3ac_jax.evaluation.random_params import random_params
from l3ac_jax.model.folding import fold
from l3ac_jax.model.network import Network
from l3ac_jax.model.norms import ResponseNorm
from l3ac_jax.official.config import to_official_config
from tests.quick import QUICK_COMPILE, speech
from tests.small_configs import ABLATED_CONFIGS

jit = partial(jax.jit, compiler_options=QUICK_COMPILE)


def noise(*shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).standard_normal(shape, np.float32))


@pytest.fixture(scope="module", params=ABLATED_CONFIGS)
def ablated(request):
    config = ABLATED_CONFIGS[request.param]
    return config, random_params(config, seed=0)


def test_response_norm_is_that_of_convnext_v2():
    x = noise(2, 70, 6) * jnp.arange(1.0, 7)[None, None]
    params = {"gamma": jnp.linspace(-1, 1, 6), "beta": jnp.linspace(0, 3, 6)}
    y = torch.from_numpy(np.array(x))
    # Section 3 of arXiv 2301.00808, and the residual connection at its end.
    norms = torch.linalg.vector_norm(y, dim=1, keepdim=True)
    response = norms / (norms.mean(dim=-1, keepdim=True) + 1e-6)
    gamma, beta = (torch.from_numpy(np.array(params[name])) for name in ("gamma", "beta"))
    expected = gamma * (y * response) + beta + y
    # Float32 sums of 70 terms in another order.
    np.testing.assert_allclose(
        ResponseNorm().apply({"params": params}, x), expected.numpy(), rtol=1e-5, atol=1e-5
    )


def test_silence_has_finite_gradients_in_response_norm():
    params = {"gamma": jnp.ones(4), "beta": jnp.zeros(4)}

    def total(params, x):
        return ResponseNorm().apply({"params": params}, x).sum()

    silent = jnp.zeros((1, 30, 4))
    one_silent = noise(1, 30, 4).at[..., 2].set(0)
    for x in (silent, one_silent):
        of_params, of_input = jit(jax.grad(total, argnums=(0, 1)))(params, x)
        assert all(np.isfinite(leaf).all() for leaf in (*of_params.values(), of_input))
        np.testing.assert_array_equal(of_params["beta"], 30)


def test_inference_computes_the_network_that_is_trained(ablated):
    # Long enough to be cut into blocks of frames, which statistics of a whole clip forbid.
    config, params = ablated
    frames = 6000
    inputs = {"analyze": speech(config.hop_length * frames), "decode": noise(1, frames, 16)}
    for method, x in inputs.items():
        trained, inference = (
            jit(partial(network.apply, method=method))
            for network in (Network(config), Network(config, folded=True, blocked=True))
        )
        expected = trained({"params": params}, x)
        assert expected.std(axis=1).max() > 0.05  # it varies, far above the tolerance
        result = inference({"params": fold(params, config)}, x)
        # Float32 through a dozen layers whose gains multiply.
        np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-4)


def test_a_clip_in_a_padded_batch_gives_what_it_gives_alone(ablated):
    config, params = ablated
    analyze = jit(partial(Network(config).apply, method="analyze"))
    short, long = speech(299), speech(600, offset=20_000)
    batch = np.concatenate([np.pad(short, [(0, 0), (0, 301)], constant_values=0.9), long])
    together = analyze({"params": params}, batch, np.array([299, 600]))
    alone = analyze({"params": params}, short, np.array([299]))
    count = -(-299 // config.hop_length)
    assert alone.shape[1] == count
    # The same sums, in another order.
    np.testing.assert_allclose(together[0, :count], alone[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("convnext_v2", "grn = 'convnext_v2'"),
        ("single_scale", "tpooling"),
        ("few_heads", "transformer.heads = 2; transformer.head_dim = 6"),
        ("causal", "causal = true; decoder.norm_statistics = 'running'"),
    ],
)
def test_the_official_package_cannot_express_them(name, reason):
    with pytest.raises(ConfigError, match=f"official package cannot express .*{reason}"):
        to_official_config(ABLATED_CONFIGS[name])
