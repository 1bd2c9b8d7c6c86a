"""What may be claimed of tokens that two programs compute: equal, but where rounding decides."""

from functools import partial

import jax
import numpy as np

from l3ac_jax.codec.l3ac import L3AC
from l3ac_jax.model.fsq import squash
from l3ac_jax.model.network import Network

# In steps between two levels. Two float32 evaluations of a feature differ by some 1e-6, otherwise
# on each processor; a mistake moves values by far more.
ROUNDING_MARGIN = 1e-4


def assert_same_tokens(
    codec: L3AC,
    audio: np.ndarray,
    tokens: np.ndarray,
    expected: np.ndarray,
    margin: float = ROUNDING_MARGIN,
) -> None:
    """Fail where (b, n) tokens of (b, t) audio differ, unless a value there lies on a boundary.

    On the boundary between two levels, that is, within `margin`. Few do, so few may differ.
    """
    differs = np.asarray(tokens) != np.asarray(expected)
    assert np.shape(tokens) == np.shape(expected)
    if not differs.any():
        return
    scaled = _scaled(codec, audio)
    distance = np.abs(scaled - np.floor(scaled) - 0.5).min(axis=-1)
    assert not np.any(differs & (distance > margin)), np.argwhere(differs & (distance > margin))
    assert differs.sum() <= 1 + 0.01 * differs.size


def _scaled(codec: L3AC, audio: np.ndarray) -> np.ndarray:
    """Where each value that is rounded lies between 0 and its number of levels less one."""

    def latents(network: Network, audio: jax.Array) -> jax.Array:
        features, quantizer = network.analyze(audio), network.quantizer
        is_projected = quantizer.features != len(quantizer.levels)
        return quantizer.project_in(features) if is_projected else features

    compute = jax.jit(partial(Network(codec.config).apply, method=latents))
    found = compute({"params": codec.params}, audio)
    steps = np.asarray(codec.config.quantizer.levels) - 1
    return np.asarray(squash(found), np.float64) * steps
