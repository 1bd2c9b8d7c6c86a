"""What the system refuses to Orbax, told as everywhere else."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path

from l3ac_jax.errors import OutputError

__all__ = ["orbax_writes"]

# TensorStore's: the status says the same in other words, and depends on the version.
_REFUSED = re.compile(r"\[os_error_code='(\d+)'\]")


@contextlib.contextmanager
def orbax_writes(path: Path) -> Iterator[None]:
    """Orbax writes in this block: OutputError for a full disk and the like, with this path.

    TensorStore, with which it writes, raises them as ValueErrors.
    """
    absl = logging.getLogger("absl")
    level = absl.level
    absl.setLevel(logging.CRITICAL)  # its threads would print a traceback each
    try:
        yield
    except ValueError as error:
        if refused := _REFUSED.search(str(error)):
            reason = os.strerror(int(refused[1]))
            raise OutputError(f"{path}: cannot be written: {reason}") from error
        raise
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        absl.setLevel(level)
