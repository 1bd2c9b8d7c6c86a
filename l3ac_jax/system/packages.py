"""Optional packages: those of the extras."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from l3ac_jax.errors import MissingPackageError

__all__ = ["needs_extra"]


@contextlib.contextmanager
def needs_extra(extra: str, what: str) -> Iterator[None]:
    """An import in this block that fails raises MissingPackageError: `what` needs the extra."""
    try:
        yield
    except ImportError as error:
        raise MissingPackageError(
            f"{what} needs a package that is not installed ({error}): "
            f"pip install 'l3ac-jax[{extra}]'"
        ) from error
