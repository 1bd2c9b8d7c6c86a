"""Exact GELU."""

import jax
import numpy as np
from jaxtyping import Array

from l3ac_jax.model.ops.arithmetic import at_least_float32


def gelu(x: Array) -> Array:
    """Exact GELU; `jax.nn.gelu` goes through erfc, which is slower and rounds differently."""
    y = at_least_float32(x)
    return (0.5 * y * (1 + jax.lax.erf(y * float(np.sqrt(0.5))))).astype(x.dtype)
