"""The transformer over tokens: probabilities that are some, steps that are the whole."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from l3ac_jax.errors import ConfigError
from l3ac_jax.generation.config import NetworkConfig
from l3ac_jax.generation.network import LanguageModel, _turned, draw, empty_cache
from l3ac_jax.model.levels import tokens_to_levels

LEVELS = (3, 2, 4)
SIZE = 24
CONTEXT = 6
DRAWS = 4000


def config(**changes) -> NetworkConfig:
    return NetworkConfig(width=64, depth=2, context=CONTEXT, **changes)


@pytest.fixture(scope="module", params=["levels", "softmax"])
def model(request):
    network = LanguageModel(config(head=request.param), LEVELS)
    params = network.init(jax.random.key(0), jnp.zeros((1, 3), jnp.int32))
    return network, params


def tokens(count: int, rows: int = 2) -> np.ndarray:
    return np.random.default_rng(0).integers(0, SIZE, (rows, count)).astype(np.int32)


def test_probabilities_of_all_tokens_come_to_one(model):
    network, params = model
    given = np.repeat(tokens(4, 1), SIZE, axis=0)
    each = np.concatenate([given, np.arange(SIZE, dtype=np.int32)[:, None]], axis=1)
    logs = jax.jit(network.apply)(params, each)
    assert np.exp(logs[:, -1]).sum() == pytest.approx(1, abs=1e-5)


def test_a_token_depends_on_those_before_it_within_the_context(model):
    network, params = model
    row = tokens(4 * CONTEXT, 1)
    apply = jax.jit(network.apply)
    before = np.asarray(apply(params, row))
    place = CONTEXT
    row[:, place] = (row[:, place] + 1) % SIZE
    changed = np.abs(np.asarray(apply(params, row)) - before)[0] > 1e-7
    assert not changed[:place].any() and changed[place : place + 2].all()
    # Two layers see twice the context, and a token goes in one place later.
    assert not changed[place + 2 * CONTEXT :].any()


@pytest.mark.parametrize("start", [0, 10**6, 2**31 - 100])
def test_attention_of_steps_depends_on_distances_however_late_they_are(start):
    """Angles of float32 would be wrong by a tenth of a turn after an hour."""
    random = np.random.default_rng(0)
    query, key = (random.normal(size=(1, 1, 64)).astype(np.float32) for _ in range(2))
    for distance in (0, 1, 50):
        turned = [
            _turned(x, jnp.int32(start + place)) for x, place in ((query, distance), (key, 0))
        ]
        angles = distance * 10000.0 ** (-np.arange(32) / 32)
        first, second = (np.complex128(x[0, 0, :32] + 1j * x[0, 0, 32:]) for x in (query, key))
        expected = (first * np.exp(1j * angles) * second.conj()).real.sum()
        # of 64 products of about 1
        assert float((turned[0] * turned[1]).sum()) == pytest.approx(expected, abs=1e-4)


def test_steps_draw_from_the_distributions_of_the_whole(model):
    """With the drawing replaced by what is known: each token's own chances, by steps."""
    network, params = model
    rows = tokens(3 * CONTEXT)
    expected = np.asarray(jax.jit(network.apply)(params, rows))

    def step(caches, token, position):
        return network.apply(params, caches, token, position, method="hidden")

    def chances(module, x, token):
        if module.config.head == "softmax":
            logs = jax.nn.log_softmax(module.output(module.norm(x)))[:, 0]
            return jnp.take_along_axis(logs, token[:, None], axis=1)[:, 0]
        levels, total, before = tokens_to_levels(token, LEVELS), 0.0, jnp.zeros((len(x), 64))
        for dimension in range(len(LEVELS)):
            logs = module.head.of_next(x, before, dimension)
            level = levels[:, dimension]
            total += jnp.take_along_axis(logs, level[:, None], axis=1)[:, 0]
            before += module.head.embedded(level, dimension)
        return total

    step = jax.jit(step)
    of_token = jax.jit(lambda x, token: network.apply(params, x, token, method=chances))
    caches, last = empty_cache(network.config, len(rows)), rows[:, 0]
    for position in range(rows.shape[1]):
        caches, x = step(caches, last, position)
        found = of_token(x, rows[:, position])
        # Sums of some hundred terms in another order.
        np.testing.assert_allclose(found, expected[:, position], atol=2e-5)
        last = rows[:, position]


def first_tokens(network, params, top_p) -> tuple[np.ndarray, np.ndarray]:
    """The chances of each token to be the first, and how often it was in so many draws."""
    _, x = network.apply(
        params, empty_cache(network.config, 1), jnp.zeros(1, jnp.int32), 0, method="hidden"
    )
    expected = np.exp(network.apply(params, np.arange(SIZE, dtype=np.int32)[:, None]))[:, 0]

    def one(key):
        return network.apply(params, x, key, jnp.float32(1), jnp.float32(top_p), method="sample")[0]

    drawn = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), DRAWS))
    return expected, np.bincount(np.asarray(drawn), minlength=SIZE) / DRAWS


def test_samples_have_the_chances_that_they_should(model):
    network, params = model
    expected, found = first_tokens(network, params, top_p=1)
    # Five standard deviations of a share.
    assert np.all(np.abs(found - expected) < 5 * np.sqrt(expected / DRAWS) + 1e-4)


def test_top_p_is_a_share_of_all_tokens():
    """Also by levels, of which the likeliest of each dimension has more, and of all have less."""
    network = LanguageModel(config(), LEVELS)
    params = network.init(jax.random.key(0), jnp.zeros((1, 3), jnp.int32))
    head = params["params"]["head"]
    chances = jnp.array([[0.65, 0.25, 0.1, 1], [0.7, 0.3, 1, 1], [0.65, 0.2, 0.1, 0.05]])
    head |= {"output": 0 * head["output"], "bias": jnp.log(chances)}
    expected, found = first_tokens(network, params, top_p=0.6)
    assert expected.max() == pytest.approx(0.65 * 0.7 * 0.65)
    # 0.6 ** (1 / 3) is 0.84: two levels of each dimension.
    assert (found > 0).sum() == 8
    assert expected[found > 0].sum() == pytest.approx(0.9 * 1 * 0.85)


def test_a_small_top_p_and_no_temperature_leave_the_likeliest():
    logs = jnp.log(jnp.array([[0.1, 0.6, 0.3], [0.5, 0.2, 0.3]]))
    keys = jax.random.split(jax.random.key(0), 300)

    def drawn(temperature, top_p):
        rows = jax.vmap(lambda key: draw(key, logs, jnp.float32(temperature), jnp.float32(top_p)))
        return np.asarray(jax.jit(rows)(keys))

    assert {tuple(row) for row in drawn(1, 0.05)} == {(1, 0)} == {tuple(row) for row in drawn(0, 1)}
    two = drawn(1, 0.75)
    assert set(two[:, 0]) == {1, 2} and set(two[:, 1]) == {0, 2}
    assert set(drawn(1, 1)[:, 0]) == {0, 1, 2}
    assert np.mean(drawn(0.3, 1)[:, 0] == 1) > 0.85


def test_a_large_codebook_is_no_softmax():
    network = LanguageModel(config(head="softmax"), (9, 9, 9, 7, 7, 7))
    with pytest.raises(ConfigError, match="of up to 65536 tokens, and this one has 250047"):
        jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 2), jnp.int32))


def test_dropout_is_of_training_alone():
    network = LanguageModel(config(dropout=0.5), LEVELS)
    rows = tokens(5)
    params = network.init(jax.random.key(0), rows)
    still = network.apply(params, rows)
    np.testing.assert_array_equal(still, network.apply(params, rows))
    key = {"dropout": jax.random.key(1)}
    assert np.abs(network.apply(params, rows, train=True, rngs=key) - still).max() > 1e-3
