import jax
import jax.numpy as jnp
import numpy as np
import pytest

from l3ac_jax.training.attention import attention

HEADS = 2


def plain(query, key, value):
    """Softmax attention as in the textbook, differentiated by JAX."""

    def split(x):
        return x.reshape(*x.shape[:2], HEADS, -1)

    query, key, value = split(query), split(key), split(value)
    scores = jnp.einsum("bihd,bjhd->bhij", query, key) * query.shape[-1] ** -0.5
    mixed = jnp.einsum("bhij,bjhd->bihd", jax.nn.softmax(scores, axis=-1), value)
    return mixed.reshape(*mixed.shape[:2], -1)


# 7 and 501 frames are one block, 1000 are two.
@pytest.mark.parametrize("frames", [7, 501, 1000])
def test_values_and_gradients_are_those_of_softmax_attention(frames):
    rng = np.random.default_rng(0)
    inputs = [jnp.asarray(3 * rng.standard_normal((2, frames, 16)), jnp.float32) for _ in range(3)]
    weights = jnp.asarray(rng.standard_normal((2, frames, 16)), jnp.float32)

    def value_and_slopes(function):
        def total(*arguments):
            result = function(*arguments)
            return (result * weights).sum(), result

        (_, result), slopes = jax.value_and_grad(total, (0, 1, 2), has_aux=True)(*inputs)
        return [result, *slopes]

    ours = value_and_slopes(lambda *x: attention(*x, HEADS))
    for actual, expected in zip(ours, value_and_slopes(plain), strict=True):
        # sums over `frames` products in another order
        scale = float(jnp.abs(expected).max())
        np.testing.assert_allclose(actual, expected, rtol=0, atol=3e-6 * scale)


def test_scores_beyond_the_range_of_the_exponential():
    x = jnp.full((1, 4, 8), 40.0)
    np.testing.assert_allclose(attention(x, x, x, HEADS), x, rtol=1e-6)
    slopes = jax.grad(lambda q: attention(q, x, x, HEADS).sum())(x)
    assert np.isfinite(slopes).all()
