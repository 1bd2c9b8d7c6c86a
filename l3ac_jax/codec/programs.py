"""Functions of the network, compiled for inference."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import jax

from l3ac_jax.model.precision import PRODUCTS, Precision, Products, stated_products
from l3ac_jax.system.compilation import product_options
from l3ac_jax.system.jax_settings import own_settings

__all__ = ["Program"]


class Program:
    """A function compiled for each shape of its arguments, with products as `precision` says.

    JAX's settings of the process change nothing in it. `options` are the compiler's, by default
    those for products.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        precision: Precision,
        options: dict[str, Any] | None = None,
    ):
        self.function = function
        self._products: Products = PRODUCTS[precision]
        self._options = options

    def __call__(self, *arguments: Any) -> Any:
        with own_settings():
            return self._jitted(*arguments)

    def lowered(self, *arguments: Any) -> str:
        """What would be compiled for such arguments, as StableHLO."""
        with own_settings():
            return self._jitted.lower(*arguments).as_text()

    @cached_property
    def _jitted(self) -> Any:
        def function(*arguments: Any) -> Any:
            with stated_products(self._products):
                return self.function(*arguments)

        options = product_options() if self._options is None else self._options
        return jax.jit(function, compiler_options=options)
