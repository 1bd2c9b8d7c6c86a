"""Processes that were forked after JAX had started its devices: there it waits for ever.

A fork copies one thread. JAX's own are not there in the new process, and what they are to compute
is never done.
"""

from __future__ import annotations

import os
import sys

from l3ac_jax.errors import ForkError

__all__ = ["jax_has_begun", "require_no_fork"]

_forked = False


def jax_has_begun() -> bool:
    """Whether JAX has started its devices. What asks JAX itself would start them."""
    bridge = sys.modules.get("jax._src.xla_bridge")
    begun = getattr(bridge, "backends_are_initialized", None)
    return begun is not None and begun()


def require_no_fork() -> None:
    """Raise ForkError in a process whose parent had used JAX before it was forked."""
    if _forked:
        raise ForkError(
            "this process was forked from one in which JAX was in use already, and here JAX would "
            'wait for ever: start workers with "spawn" or "forkserver" '
            '(multiprocessing.get_context("spawn"); for the num_proc of datasets, '
            'multiprocess.set_start_method("spawn")), or compute nothing before the fork'
        )


def _after_fork() -> None:
    global _forked
    _forked = _forked or jax_has_begun()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_after_fork)
