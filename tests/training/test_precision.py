"""Training in bfloat16: products in bfloat16, everything that must stay exact in float32."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from l3ac_jax.config.training import TrainingConfig
from l3ac_jax.model.network import Network
from l3ac_jax.training.hyperparameters import make_hyperparameters
from l3ac_jax.training.step import TrainState, make_steps
from tests.model.oracle import pair
from tests.quick import QUICK_COMPILE, rms, speech

SAMPLES = 1500
NAMES = ["baseline", "compress2_rotary"]


def compiled(name: str, method: str, dtype):
    """A part of the network, with the weights of the official one."""
    network = Network(pair(name).config, dtype=dtype)

    def run(params, *arguments):
        return network.apply({"params": params}, *arguments, method=method)

    return jax.jit(run, compiler_options=QUICK_COMPILE)


@pytest.mark.parametrize("name", NAMES)
def test_both_halves_are_those_of_float32_but_for_rounding(name):
    """Between the halves lies the quantizer, where a rounding may cost a whole level."""
    params, audio = pair(name).params, jnp.asarray(speech(SAMPLES))
    exact = compiled(name, "analyze", None)(params, audio)
    rough = compiled(name, "analyze", jnp.bfloat16)(params, audio)
    # 8 bits, rounded in each of some twenty layers
    assert 1e-4 < rms(rough - exact) / rms(exact) < 0.05

    tokens = np.random.default_rng(0).integers(0, pair(name).config.codebook_size, (1, 60))
    exact = compiled(name, "decode_tokens", None)(params, jnp.asarray(tokens))
    rough = compiled(name, "decode_tokens", jnp.bfloat16)(params, jnp.asarray(tokens))
    assert rough.dtype == jnp.float32
    assert 1e-4 < rms(rough - exact) / rms(exact) < 0.2


@pytest.mark.parametrize("name", NAMES)
def test_convolutions_and_products_are_computed_in_bfloat16(name):
    """All but the quantizer's projections, bias MLPs, trends' gains, and the last convolution."""
    lowered = compiled(name, "__call__", jnp.bfloat16).lower(
        pair(name).params, jnp.asarray(speech(SAMPLES))
    )
    text = lowered.as_text()
    products = re.findall(r"stablehlo\.(?:dot_general|convolution).*?: \((.*?)\) ->", text)
    half = sum("bf16" in operands and "f32" not in operands for operands in products)
    mlps = 3 * (2 if name == "baseline" else 0)
    gains = len(pair(name).config.decoder.rates)
    assert len(products) > 30
    assert len(products) - half == 2 + mlps + gains + 1, [p for p in products if "f32" in p]


def test_what_upsampling_leaves_is_not_rounded():
    """A slow straight line with a small bend comes through a decoder's stage as in float32."""
    config = pair("baseline").config
    stages = [
        Network(config, dtype=dtype).bind({}).decoder.stage[0] for dtype in (None, jnp.bfloat16)
    ]
    line = jnp.linspace(1, 2, 40)[None, :, None] + jnp.zeros((1, 1, config.decoder.dims[1]))
    bent = line.at[:, 20:].add(1e-3)
    exact, rough = (stage.upsample(bent) for stage in stages)
    np.testing.assert_array_equal(exact, rough)
    assert rough.dtype == jnp.float32


def test_a_step_in_bfloat16_keeps_parameters_and_losses_in_float32():
    settings = TrainingConfig.model_validate(
        {
            "precision": "bfloat16",
            "loss": {"perceptual": 0.0, "stft": 0.0},
            "discriminator": {
                "every": 1,
                "periods": [3],
                "fft_sizes": [126],
                "period_widths": [4, 8],
                "spectrum_width": 4,
            },
        }
    )
    config = pair("baseline").config
    steps, values = make_steps(config, settings), make_hyperparameters(config, settings, 100)
    assert steps.objective.discriminators.dtype == jnp.bfloat16
    batch = {"audio": jnp.zeros((2, SAMPLES)), "lengths": jnp.full(2, SAMPLES)}

    def before_and_after(params):
        state = steps.init(jax.random.key(0), values, params)
        after, metrics = steps.take(state, batch, None, values, True)
        return jax.tree.leaves(state), jax.tree.leaves(after), metrics

    before, after, metrics = jax.eval_shape(before_and_after, pair("baseline").params)
    assert [leaf.dtype for leaf in after] == [leaf.dtype for leaf in before]
    assert not any(leaf.dtype == jnp.bfloat16 for leaf in after)
    assert all(value.dtype in (jnp.float32, jnp.int32) for value in metrics.values())


def test_the_gradient_points_where_that_of_float32_does():
    """Of the decoder: the same tokens, and so the same function."""
    config, params = pair("baseline").config, pair("baseline").params
    tokens = jnp.asarray(np.random.default_rng(1).integers(0, config.codebook_size, (1, 60)))

    def gradient(dtype):
        network = Network(config, dtype=dtype)

        def loss(params):
            audio = network.apply({"params": params}, tokens, method="decode_tokens")
            return jnp.square(audio).mean()

        slope = jax.jit(jax.grad(loss), compiler_options=QUICK_COMPILE)(params)
        return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(slope)])

    exact, rough = gradient(None), gradient(jnp.bfloat16)
    cosine = exact @ rough / np.linalg.norm(exact) / np.linalg.norm(rough)
    assert rough.dtype == np.float32
    assert cosine > 0.98


def lowered_step(precision: str) -> str:
    """A step on the bundled model's architecture, Muon included, as it goes to the compiler."""
    settings = TrainingConfig.model_validate(
        {
            "precision": precision,
            "loss": {"perceptual": 0.0, "adversarial": 0.0},
            "optimizer": {"method": "muon"},
            "discriminator": {"every": 1},
        }
    )
    config = pair("baseline").config
    steps, values = make_steps(config, settings), make_hyperparameters(config, settings, 100)
    batch = {
        "audio": jax.ShapeDtypeStruct((1, SAMPLES), jnp.float32),
        "lengths": jax.ShapeDtypeStruct((1,), jnp.int32),
    }

    def step(fields, batch, values):
        return steps.train_generator(TrainState(**fields), batch, None, values)

    return jax.jit(step).lower(steps.abstract(values), batch, values).as_text()


@pytest.mark.parametrize(
    ("precision", "expected"),
    [("float32", {"HIGHEST"}), ("tf32", {"HIGH", "HIGHEST"}), ("bfloat16", {"HIGH", "HIGHEST"})],
)
def test_every_product_of_a_step_is_stated(precision, expected):
    """Forward, backward and optimizer; derivatives have the products of their values."""
    lines = re.findall(r"stablehlo\.(?:dot_general|convolution).*", lowered_step(precision))
    stated = [
        re.search(r"precision(?:_config)? = \[(?:#stablehlo<precision )?(\w+)", x) for x in lines
    ]
    assert len(lines) > 100
    assert {match and match[1] for match in stated} == expected


def test_the_quantizers_derivatives_are_exact_in_any_precision():
    config = pair("baseline").config
    levels = len(config.quantizer.levels)
    pattern = rf"stablehlo\.dot_general.*tensor<(?:\d+x)*{levels}xf32>.*"
    for precision in ("tf32", "bfloat16"):
        lines = re.findall(pattern, lowered_step(precision))
        # projections in and out, forward, and two derivatives of each
        quantizer = [line for line in lines if f"{config.feature_dim}x{levels}xf32" in line
                     or f"{levels}x{config.feature_dim}xf32" in line]  # fmt: skip
        assert len(quantizer) >= 4
        assert all("HIGHEST" in line for line in quantizer)
