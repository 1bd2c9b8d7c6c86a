"""Tokens and the levels that they count: `codec.levels` and `codec.tokens`."""

import hypothesis.extra.numpy as arrays
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l3ac_jax.codec.l3ac import L3AC
from l3ac_jax.config import PUBLISHED, published_config
from tests.model.oracle import pair
from tests.small_configs import SMALL_CONFIGS

CONFIGS = {name: published_config(name).model for name in PUBLISHED} | SMALL_CONFIGS


def codec_without_parameters(name: str) -> L3AC:
    return L3AC(CONFIGS[name], {}, name)


@given(st.sampled_from(sorted(CONFIGS)), arrays.array_shapes(min_dims=0, min_side=0), st.data())
def test_levels_and_tokens_are_inverse_in_any_shape(name, shape, data):
    codec = codec_without_parameters(name)
    values = st.integers(0, codec.codebook_size - 1)
    tokens = data.draw(arrays.arrays(np.int64, shape, elements=values))
    levels = codec.levels(tokens)
    counts = codec.config.quantizer.levels
    assert levels.shape == (*shape, len(counts)) and levels.dtype == np.int32
    assert np.all((levels >= 0) & (levels < np.array(counts)))
    again = codec.tokens(levels)
    assert again.dtype == np.int32
    np.testing.assert_array_equal(again, tokens)


@pytest.mark.parametrize("name", ["baseline", "identity_projection"])
def test_levels_of_the_whole_codebook_are_the_official_ones(name):
    import torch

    codec = codec_without_parameters(name)
    official = pair(name).official.network.quantizer.vq
    tokens = np.arange(codec.codebook_size)
    expected = official.indices_to_level_indices(torch.from_numpy(tokens)).numpy()
    np.testing.assert_array_equal(codec.levels(tokens), expected)
    assert codec.tokens(expected).tolist() == tokens.tolist()


def test_the_first_dimension_varies_fastest():
    codec = codec_without_parameters("3kbps")  # 9, 9, 9, 7, 7, 7
    assert codec.levels([0, 1, 9, 9**3, 250046]).tolist() == [
        [0, 0, 0, 0, 0, 0],
        [1, 0, 0, 0, 0, 0],
        [0, 1, 0, 0, 0, 0],
        [0, 0, 0, 1, 0, 0],
        [8, 8, 8, 6, 6, 6],
    ]


def test_small_integers_do_not_overflow():
    codec = codec_without_parameters("3kbps")
    levels = np.array([[8, 8, 8, 6, 6, 6]], np.uint8)
    assert codec.tokens(levels).tolist() == [250046]
    assert codec.tokens(jnp.asarray(levels)).tolist() == [250046]


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ([0.5], "tokens must be integers, got float64"),
        ([[0, 250047]], r"tokens must be 0 to 250046, got 250047 in clip 0 at 1"),
        ([-1], "tokens must be 0 to 250046, got -1"),
    ],
)
def test_what_is_no_token_has_no_levels(tokens, message):
    with pytest.raises(ValueError, match=message):
        codec_without_parameters("3kbps").levels(tokens)


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ([[0.0] * 6], "levels must be integers, got float64"),
        ([[0] * 5], r"levels must have 6 columns, got shape \(1, 5\)"),
        (3, r"levels must have 6 columns, got shape \(\)"),
        ([[0, 0, 0, 7, 0, 0]], "levels of dimension 3 must be 0 to 6, got 7"),
        ([[9, 0, 0, 0, 0, 0]], "levels of dimension 0 must be 0 to 8, got 9"),
        ([[0, 0, 0, 0, 0, -1]], "levels of dimension 5 must be 0 to 6, got -1"),
    ],
)
def test_what_are_no_levels_are_no_token(levels, message):
    with pytest.raises(ValueError, match=message):
        codec_without_parameters("3kbps").tokens(levels)
