"""The user's cache: downloads and compiled programs."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """$L3AC_JAX_CACHE, else l3ac-jax in $XDG_CACHE_HOME or ~/.cache. It need not exist."""
    if chosen := os.environ.get("L3AC_JAX_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "l3ac-jax"
