"""The comparison of tokens itself: what it lets pass, and what it does not."""

import numpy as np
import pytest

from tests.rounding import _scaled, assert_same_tokens


def test_only_a_token_on_a_boundary_may_differ(small_codec):
    audio = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 600)).astype(np.float32)
    tokens = np.asarray(small_codec.encode(audio))
    scaled, levels = _scaled(small_codec, audio), small_codec.levels(tokens)
    np.testing.assert_array_equal(np.round(scaled), levels)  # or the tokens are not these values'
    distance = np.abs(scaled - np.floor(scaled) - 0.5).min(axis=-1)[0]
    nearest, farthest = distance.argmin(), distance.argmax()
    margin = (distance.min() + distance.max()) / 2
    for place, is_allowed in ((nearest, True), (farthest, False)):
        other = tokens.copy()
        other[0, place] = (other[0, place] + 1) % small_codec.codebook_size
        if is_allowed:
            assert_same_tokens(small_codec, audio, other, tokens, margin)
        else:
            with pytest.raises(AssertionError):
                assert_same_tokens(small_codec, audio, other, tokens, margin)
