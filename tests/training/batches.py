"""Batches of real speech for training steps, and parameters that cost no compilation."""

import jax
import jax.numpy as jnp
import numpy as np

from l3ac_jax.config import CodecConfig
from l3ac_jax.model.network import abstract_params
from tests.quick import speech

SAMPLES = 1500


def batch(step: int, clips: int = 2) -> dict:
    """Speech in noise: pauses give equal tokens and a constant output, whose spectrum is empty but
    for rounding, and there the logarithm is all but arbitrary."""
    audio = [speech(SAMPLES, 6000 + 2000 * (clips * step + clip)) for clip in range(clips)]
    noise = np.random.default_rng(step).normal(0, 0.05, (clips, SAMPLES))
    audio = np.concatenate(audio) + noise.astype(np.float32)
    return {"audio": jnp.asarray(audio), "lengths": jnp.full(clips, SAMPLES)}


def random_params(config: CodecConfig, seed: int) -> dict:
    """Of a network that does something; not distributed as those that training begins with."""
    random = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: random.normal(0, 0.3, leaf.shape).astype(np.float32), abstract_params(config)
    )
