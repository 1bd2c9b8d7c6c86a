"""All lowerings of an operation are the same function: values and derivatives, on any backend.

Tolerance: float32 sums of up to a few thousand terms of order 1, in another order.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from l3ac_jax.model import ops
from l3ac_jax.model.layers import BlockOptions
from l3ac_jax.model.ops.backend import ACCELERATOR, CPU, ONNX, lowerings, use_lowerings
from l3ac_jax.model.ops.blocks import HIDDEN_VALUES
from l3ac_jax.model.ops.snake import snake
from l3ac_jax.model.units import ConvUnit
from l3ac_jax.training.attention import attention
from l3ac_jax.training.discriminators import WeightNormConv


def noise(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape, np.float32))


def strided_spectra():
    conv = WeightNormConv(4, (3, 9), 2, jnp.float32)
    return lambda x, kernel: conv.apply(
        {"params": {"kernel": kernel, "bias": noise(4), "scale": jnp.ones(4)}}, x
    )


def heads():
    return lambda query, key: attention(query, key, query[:, ::-1], 2)


# The field that decides, the function, and its arguments.
OPERATIONS = {
    "channel_sums": (
        "channel_sums",
        lambda x, values: snake(x + ops.per_channel(values, x), jnp.square(values)),
        (noise(2, 300, 5), noise(5, seed=1)),
    ),
    "grouped": (
        "depthwise",
        lambda x, kernel: ops.depthwise_conv(x, kernel, 3),
        (noise(2, 300, 5), noise(7, 5, seed=1)),
    ),
    "sine": (
        "sine",
        lambda x, values: snake(x + ops.per_channel(values, x), jnp.square(values)),
        (noise(2, 300, 5), noise(5, seed=1)),
    ),
    "depthwise": (
        "tap_sums",
        lambda x, kernel: ops.depthwise_conv(x, kernel, 3),
        (noise(2, 300, 5), noise(7, 5, seed=1)),
    ),
    "trend": ("tap_sums", ops.signal_conv, (noise(2, 300), noise(7, 4, seed=1))),
    "dilated": (
        "dilated_kernel_gradient",
        lambda x, kernel: ops.conv(x, kernel, 9),
        (noise(2, 300, 5), noise(7, 5, 3, seed=1)),
    ),
    "spectra": (
        "strided_spectra",
        strided_spectra(),
        (noise(2, 6, 33, 3), noise(3, 9, 3, 4, seed=1)),
    ),
    "attention": ("attention_heads", heads(), (noise(1, 1000, 8), noise(1, 1000, 8, seed=1))),
}


def other_than_cpu(field: str) -> str:
    """Accelerators and graphs of ONNX choose differently; the former where both do."""
    chosen = getattr(ACCELERATOR, field)
    return getattr(ONNX, field) if chosen == getattr(CPU, field) else chosen


def value_and_gradients(function, arguments, chosen):
    def both(*arguments):
        value, pull = jax.vjp(function, *arguments)
        return value, pull(jnp.cos(value))

    with use_lowerings(chosen):
        return jax.jit(both)(*arguments)


@pytest.mark.parametrize("name", OPERATIONS)
def test_lowerings_agree_forward_and_backward(name):
    field, function, arguments = OPERATIONS[name]
    other = other_than_cpu(field)
    assert other != getattr(CPU, field)
    results = [
        value_and_gradients(function, arguments, chosen)
        for chosen in (CPU, CPU._replace(**{field: other}))
    ]
    for one, two in zip(*map(jax.tree.leaves, results), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-4 * float(jnp.abs(one).max()))


@pytest.mark.parametrize(
    "name", ["depthwise", "grouped", "sine", "dilated", "spectra", "attention"]
)
def test_lowerings_are_different_programs(name):
    field, function, arguments = OPERATIONS[name]

    def program(chosen):
        def gradients(*arguments):
            return jax.grad(lambda *a: function(*a).sum(), argnums=(0, 1))(*arguments)

        with use_lowerings(chosen):
            return jax.jit(gradients).lower(*arguments).as_text()

    assert program(CPU) != program(CPU._replace(**{field: other_than_cpu(field)}))


@pytest.mark.parametrize("name", ["depthwise", "trend", "channel_sums"])
def test_lowerings_for_interpreters_agree(name):
    _, function, arguments = OPERATIONS[name]
    results = [value_and_gradients(function, arguments, chosen)[0] for chosen in (CPU, ONNX)]
    np.testing.assert_allclose(*results, rtol=1e-5, atol=1e-5)


def test_wide_layers_in_blocks_and_whole_agree():
    channels = 8
    frames = HIDDEN_VALUES // (4 * channels) + 100  # a block and a bit
    unit = ConvUnit(channels, BlockOptions(blocked=True))
    x = noise(1, frames, channels)
    params = unit.init(jax.random.key(0), x[:, :50])
    results = []
    for chosen in (CPU, ACCELERATOR):
        with use_lowerings(chosen):
            results.append(jax.jit(lambda p, x: unit.apply(p, x))(params, x))
    np.testing.assert_allclose(*results, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("dense", "plain", "kernel"),
    [
        (ops.dense, lambda x, kernel: x @ kernel, noise(16, 64, seed=1)),
        (ops.dense_by_rows, lambda x, kernel: x @ kernel.T, noise(64, 16, seed=1)),
    ],
    ids=["dense", "dense_by_rows"],
)
def test_a_linear_layer_s_derivative_is_jax_s_without_transposed_frames(dense, plain, kernel):
    clips, frames = 2, 1024

    def gradients(product):
        def loss(kernel, x):
            return jnp.sum(jnp.sin(product(jnp.cos(x), kernel)) ** 2)

        return jax.jit(jax.grad(loss, (0, 1))).lower(kernel, x).compile()

    x = noise(clips, frames, 16)
    ours, theirs = gradients(dense), gradients(plain)
    for found, expected in zip(ours(kernel, x), theirs(kernel, x), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    if jax.default_backend() == "cpu":
        assert f",{clips * frames}]" not in ours.as_text()


def test_every_choice_has_a_test():
    tested = {field for field, *_ in OPERATIONS.values()} | {"wide_layers"}
    # how many clips of a folder go together is tested with the folders, pairs with the objective
    assert tested == set(CPU._fields) - {"rows", "long_clips", "judged_pairs"}


def test_a_choice_ends_with_its_block():
    before = lowerings()
    with use_lowerings(ACCELERATOR):
        assert lowerings() is ACCELERATOR
    assert lowerings() is before
