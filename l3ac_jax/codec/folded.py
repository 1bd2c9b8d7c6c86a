"""The parameters as the programs for inference take them."""

from __future__ import annotations

import threading
from typing import Any

import jax

from l3ac_jax.config import CodecConfig
from l3ac_jax.model.folding import fold
from l3ac_jax.system.forks import require_no_fork

__all__ = ["FoldedParams"]


class FoldedParams:
    """A codec's parameters, folded and put on the device when they are first called for."""

    def __init__(self, config: CodecConfig, params: dict[str, Any]):
        self._config, self._params = config, params
        self._folded: dict[str, Any] | None = None
        self._folding = threading.Lock()

    def __call__(self) -> dict[str, Any]:
        """They are the same arrays each time. Raises ForkError."""
        require_no_fork()
        with self._folding:
            folded = self._folded
            if folded is None:
                folded = self._folded = jax.device_put(fold(self._params, self._config))
            return folded
