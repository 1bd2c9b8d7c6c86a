"""Functions of the network, compiled for inference: once for all codecs of a configuration."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from functools import lru_cache, partial
from typing import Any

import jax

from l3ac_jax.codec.compiled import CompiledPrograms
from l3ac_jax.config import CodecConfig
from l3ac_jax.model.network import Network
from l3ac_jax.model.precision import PRODUCTS, Precision, Products, stated_products
from l3ac_jax.system.compilation import product_options
from l3ac_jax.system.forks import require_no_fork
from l3ac_jax.system.jax_settings import own_settings

__all__ = ["NetworkPrograms", "Program", "network_programs"]

# Configurations whose programs are kept when no codec has them any more: a process that makes its
# codec anew for each request compiles once.
KEPT_CONFIGURATIONS = 8


class Program:
    """A function compiled for each shape of its arguments, with products as `precision` says.

    JAX's settings of the process change nothing in it. `options` are the compiler's, by default
    those for products. The memory of the `donated` arguments is used again: they cannot be. Raises
    ForkError in a process that was forked from one that computed.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        precision: Precision,
        options: dict[str, Any] | None = None,
        donated: tuple[int, ...] = (),
    ):
        self.function = function
        self._products: Products = PRODUCTS[precision]
        self._options = options
        self._donated = donated
        self._jitted: Any = None

    def __call__(self, *arguments: Any) -> Any:
        require_no_fork()
        with own_settings():
            return self._compiled()(*arguments)

    def compiled(self, *arguments: Any) -> Callable[..., Any]:
        """The program for such arguments, which takes only those: the shortest way to it.

        A call looks at no setting and compiles nothing, which is half a millisecond.
        """
        require_no_fork()
        with own_settings():
            return self._compiled().lower(*arguments).compile()

    def lowered(self, *arguments: Any) -> str:
        """What would be compiled for such arguments, as StableHLO."""
        with own_settings():
            return self._compiled().lower(*arguments).as_text()

    def _compiled(self) -> Any:
        with _making:  # of two functions, each would be compiled
            if self._jitted is None:
                options = product_options() if self._options is None else self._options
                self._jitted = jax.jit(
                    self.stated, compiler_options=options, donate_argnums=self._donated
                )
            return self._jitted

    def stated(self, *arguments: Any) -> Any:
        """The function itself, to be compiled by others."""
        with stated_products(self._products):
            return self.function(*arguments)


_making = threading.Lock()


class NetworkPrograms:
    """The programs of a configuration, whatever the parameters are, and which are compiled."""

    def __init__(self, config: CodecConfig, precision: Precision):
        self.compiled = CompiledPrograms()
        self._network = Network(config, folded=True, blocked=True)
        self._precision: Precision = precision
        self._programs: dict[Hashable, Program] = {}

    def program(self, function: Callable[..., Any], *options: Hashable) -> Program:
        """`function(network, *options, folded parameters, ...)` of the network for inference."""
        with _making:
            key = (function, options)
            if key not in self._programs:
                bound = partial(function, self._network, *options)
                self._programs[key] = Program(bound, self._precision)
            return self._programs[key]


@lru_cache(KEPT_CONFIGURATIONS)
def _network_programs(config: CodecConfig, precision: Precision) -> NetworkPrograms:
    return NetworkPrograms(config, precision)


def network_programs(config: CodecConfig, precision: Precision) -> NetworkPrograms:
    """Those of this process: the same object for the same configuration and precision."""
    with _making:
        return _network_programs(config, precision)


def forget_programs() -> None:
    """Codecs made from now on compile anew."""
    _network_programs.cache_clear()
