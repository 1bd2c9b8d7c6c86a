"""The Snake activation, its sin² by one range reduction and a short polynomial.

`jnp.sin` carries the argument reduction of huge angles and costs 3 to 5 times as much on a CPU.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from l3ac_jax.model.ops.arithmetic import at_least_float32
from l3ac_jax.model.ops.backend import lowerings
from l3ac_jax.model.ops.channels import channel_sums


def _fit(function, degree: int) -> list[float]:
    """Chebyshev-node polynomial of `function` on [0, (pi/2)²], constant term first."""
    half = (np.pi / 2) ** 2 / 2
    nodes = half + half * np.cos(np.pi * (np.arange(64) + 0.5) / 64)
    series = np.polynomial.Chebyshev.fit(nodes, function(nodes), degree, domain=[0, 2 * half])
    return [float(c) for c in series.convert(kind=np.polynomial.Polynomial).coef]


# sin²(r) = u·P(u) and sin(2r) = r·Q(u) with u = r², both within 3e-7 on |r| <= pi/2.
_SIN_SQUARED = _fit(lambda u: np.sin(np.sqrt(u)) ** 2 / u, 5)
_SIN_DOUBLE = _fit(lambda u: np.sin(2 * np.sqrt(u)) / np.sqrt(u), 7)

# pi in two parts: a multiple of the first is exact in float32, the second carries the rest.
_PI_HIGH = np.float32(3.140625)
_PI_LOW = np.float32(np.pi - 3.140625)


def _reduce(x: Array) -> Array:
    """`x` minus the nearest multiple of pi."""
    turns = jnp.round(x * np.float32(1 / np.pi))
    return (x - turns * _PI_HIGH) - turns * _PI_LOW


def _horner(u: Array, coefficients: list[float]) -> Array:
    total = jnp.full_like(u, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total = total * u + np.float32(coefficient)
    return total


def sin_squared(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """sin(x)², absolute error below 5e-7 for |x| up to 1,000 (float64: `jnp.sin`)."""
    if x.dtype == jnp.float64 or lowerings().sine == "library":
        return jnp.square(jnp.sin(x))
    reduced = _reduce(x)
    square = reduced * reduced
    return square * _horner(square, _SIN_SQUARED)


def sin_of_double(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """sin(2x), the derivative of `sin_squared`, as exact."""
    if x.dtype == jnp.float64 or lowerings().sine == "library":
        return jnp.sin(2 * x)
    reduced = _reduce(x)
    return reduced * _horner(reduced * reduced, _SIN_DOUBLE)


@jax.custom_vjp
def snake(x: Float[Array, "... c"], alpha: Float[Array, " c"]) -> Float[Array, "... c"]:
    """x + sin²(alpha·x) / (alpha + 1e-8), alpha per channel (arXiv 2006.08195).

    With its own derivative, which keeps nothing but `x`.
    """
    scaled, inverse = _terms(x, alpha)
    return (at_least_float32(x) + sin_squared(scaled) * inverse).astype(x.dtype)


def _terms(x: Float[Array, "... c"], alpha: Float[Array, " c"]) -> tuple[Array, Array]:
    """The angle alpha·x, and 1 / (alpha + 1e-8) to multiply with."""
    alpha = alpha.reshape((1,) * (x.ndim - 1) + alpha.shape)
    return alpha * at_least_float32(x), 1 / (alpha + 1e-8)


def _snake_backward(inputs, gradient: Float[Array, "... c"]):
    x, alpha = inputs
    scaled, inverse = _terms(x, alpha)
    slope, gradient = sin_of_double(scaled), at_least_float32(gradient)
    ratio = (alpha / (alpha + 1e-8)).reshape(inverse.shape)
    by_x = gradient * (1 + slope * ratio)
    by_alpha = (x * slope - sin_squared(scaled) * inverse) * inverse * gradient
    return by_x.astype(x.dtype), channel_sums(by_alpha).astype(alpha.dtype)


snake.defvjp(lambda x, alpha: (snake(x, alpha), (x, alpha)), _snake_backward)
