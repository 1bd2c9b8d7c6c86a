"""How exact matrix products and convolutions are, stated in each program that is compiled.

On a GPU, JAX's default rounds the factors of float32 products to TensorFloat-32, 10 bits, and a
setting of the process can change that for every program. Tokens then differ from the official
code's in 1.6 % of the frames (3kbps, seeded weights, 10 s of speech, H200). On a CPU float32
products are exact in either case.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Literal

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

__all__ = [
    "PRODUCTS",
    "Precision",
    "Products",
    "TrainingPrecision",
    "current_products",
    "network_dtype",
    "stated_products",
]

Products = Literal["float32", "tensorfloat32"]
"""Of float32 factors: exact, or rounded to TensorFloat-32 where the device is quicker with it."""

Precision = Literal["exact", "fast"]
"""Of a codec."""

TrainingPrecision = Literal["float32", "tf32", "bfloat16"]

PRODUCTS: dict[Precision | TrainingPrecision, Products] = {
    "exact": "float32",
    "fast": "tensorfloat32",
    "float32": "float32",
    "tf32": "tensorfloat32",
    "bfloat16": "tensorfloat32",
}


def network_dtype(precision: TrainingPrecision) -> DTypeLike:
    """The type of the factors of the network's large products."""
    return jnp.bfloat16 if precision == "bfloat16" else jnp.float32


_stated: ContextVar[Products | None] = ContextVar("products", default=None)


@contextlib.contextmanager
def stated_products(products: Products | None) -> Iterator[None]:
    """What is traced inside has these products, whatever the process' settings say.

    None changes nothing.
    """
    if products is None:
        yield
        return
    token = _stated.set(products)
    try:
        with jax.default_matmul_precision(products):
            yield
    finally:
        _stated.reset(token)


def current_products() -> Products | None:
    """What was stated around here: for derivatives, which JAX traces later and elsewhere."""
    return _stated.get()
