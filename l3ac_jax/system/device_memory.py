"""How much of a GPU's memory JAX takes.

Left alone, JAX takes three quarters of the card when it first computes, whatever it needs. That is
right for a training run, which has the card to itself: nothing is allocated twice. A codec is used
beside other programs, so here memory is taken as it is needed, and kept.
"""

from __future__ import annotations

import os
import warnings

from l3ac_jax.errors import UserError
from l3ac_jax.system.forks import jax_has_begun

__all__ = ["DeviceMemoryWarning", "take_memory_as_needed"]

_AS_NEEDED = "XLA_PYTHON_CLIENT_PREALLOCATE"
_SHARE = "XLA_PYTHON_CLIENT_MEM_FRACTION"


class DeviceMemoryWarning(UserWarning):
    """A wish that comes too late."""


def take_memory_as_needed(share: float | None = None) -> None:
    """Let JAX take a GPU's memory as it needs it, up to `share` of it (of the card: 0 to 1).

    To be called before anything is computed; later it changes nothing, and a `share` is warned
    about. JAX's own variables ($XLA_PYTHON_CLIENT_PREALLOCATE, $XLA_PYTHON_CLIENT_MEM_FRACTION,
    $XLA_PYTHON_CLIENT_ALLOCATOR) have precedence where they are set, but for a `share` that is
    given here.

    Raises UserError for a share that is not in 0 to 1.
    """
    if share is not None and not 0 < share <= 1:
        raise UserError(f"the share of the GPU's memory must be above 0 and at most 1, got {share}")
    if jax_has_begun():
        if share is not None:
            warnings.warn(
                "JAX has begun to compute, and has taken its memory: its share of the GPU is set "
                "before the first computation of the process",
                DeviceMemoryWarning,
                stacklevel=2,
            )
        return
    os.environ.setdefault(_AS_NEEDED, "false")
    if share is not None:
        os.environ[_SHARE] = f"{share:g}"
