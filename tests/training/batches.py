"""Batches of real speech for training steps."""

import jax.numpy as jnp
import numpy as np

from tests.quick import speech

SAMPLES = 1500


def batch(step: int, clips: int = 2) -> dict:
    """Speech in noise: pauses give equal tokens and a constant output, whose spectrum is empty but
    for rounding, and there the logarithm is all but arbitrary."""
    audio = [speech(SAMPLES, 6000 + 2000 * (clips * step + clip)) for clip in range(clips)]
    noise = np.random.default_rng(step).normal(0, 0.05, (clips, SAMPLES))
    audio = np.concatenate(audio) + noise.astype(np.float32)
    return {"audio": jnp.asarray(audio), "lengths": jnp.full(clips, SAMPLES)}
