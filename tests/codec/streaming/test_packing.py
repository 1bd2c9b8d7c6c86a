"""A state comes back from its few arrays as it was, on the host and in compiled code."""

import jax
import numpy as np
import pytest

from l3ac_jax.codec.streaming.packing import LARGE, pack, unpack
from l3ac_jax.codec.streaming.steps import Steps
from tests.small_configs import ABLATED_CONFIGS


def filled(state, seed: int):
    """The state with other values, each its own."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: rng.integers(0, 100, leaf.shape).astype(leaf.dtype), state)


STATES = {
    "encoder": lambda steps: steps.encoder_state(2),
    "decoder": lambda steps: steps.decoder_state(1),
    "large": lambda steps: {"ring": np.zeros((3, LARGE)), "none": (), "slot": np.zeros((), int)},
}


@pytest.mark.parametrize("name", STATES)
def test_what_is_unpacked_is_what_was_packed(name):
    state = filled(STATES[name](Steps(ABLATED_CONFIGS["causal_look_ahead"], "exact")), 1)
    packed = pack(state)
    again = [unpack(packed), unpack(jax.jit(lambda packed: pack(unpack(packed)))(packed))]
    for found in again:
        assert jax.tree.structure(found) == jax.tree.structure(state)
        for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(state), strict=True):
            assert one.shape == other.shape
            np.testing.assert_array_equal(one, other)
    types = {leaf.dtype for leaf in jax.tree.leaves(state) if leaf.size < LARGE}
    assert len(packed.vectors) == len(types)
    assert len(packed.large) == sum(leaf.size >= LARGE for leaf in jax.tree.leaves(state))
