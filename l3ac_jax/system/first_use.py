"""The first use of libraries that compile themselves with numba: one process at a time.

numba keeps what it compiled in files beside the library, for all processes, and locks none of them.
Two that compile a function at once can leave halves of both there, which do not fit: every process
that reads them from then on crashes (librosa's beat tracker, after three began together).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from l3ac_jax.errors import PlatformError
from l3ac_jax.system.locks import exclusive

__all__ = ["alone_at_first", "lock_file"]

_used: set[str] = set()
_alone = False


@contextmanager
def alone_at_first(what: str) -> Iterator[None]:
    """The first time that this process comes here with `what`, it waits until no other is here.

    On a system without locks of files it does not wait.
    """
    global _alone
    if what in _used or _alone:  # what is used inside of it is used alone too
        yield
        return
    with ExitStack() as stack:
        with suppress(PlatformError):
            stack.enter_context(exclusive(lock_file(), wait=True))
        _alone = True
        stack.callback(_done)
        yield
        _used.add(what)


def lock_file() -> Path:
    """That of this user: others have caches of their own, or cannot write to this one's."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    return Path(tempfile.gettempdir(), f"l3ac_jax_first_use_{user}")


def _done() -> None:
    global _alone
    _alone = False
