"""What one process at a time may use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from l3ac_jax.errors import PlatformError

__all__ = ["FolderInUseError", "exclusive", "shared"]


class FolderInUseError(RuntimeError):
    """A lock that another process holds."""


@contextmanager
def exclusive(lock: Path, wait: bool = False) -> Iterator[None]:
    """Holds a lock file; the system lets go of that of a killed process.

    Raises FolderInUseError if another process holds it, unless it is to `wait`, OSError if it
    cannot be written, PlatformError on a system without such locks.
    """
    with _held(lock, together=False, wait=wait):
        yield


@contextmanager
def shared(lock: Path) -> Iterator[None]:
    """Holds a lock file together with others that hold it so, and with none that is `exclusive`.

    Raises as `exclusive` does.
    """
    with _held(lock, together=True, wait=False):
        yield


@contextmanager
def _held(lock: Path, together: bool, wait: bool) -> Iterator[None]:
    try:
        import fcntl  # not on Windows, where files are encoded and decoded all the same
    except ImportError:
        raise PlatformError(
            f"{lock.parent}: work that can be interrupted and gone on with needs the file locks of "
            "Linux or macOS; coding files and folders does not"
        ) from None
    kind = fcntl.LOCK_SH if together else fcntl.LOCK_EX
    with lock.open("w") as file:
        try:
            fcntl.flock(file, kind | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise FolderInUseError(str(lock)) from None
        yield
