"""Optimizers from optax under the three-phase one-cycle schedule; AdamW as PyTorch has it."""

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from l3ac_jax.config.training import OptimizerConfig
from l3ac_jax.errors import ConfigError
from l3ac_jax.training.muon import muon

Schedule = Callable[[ArrayLike], Float[Array, ""]]

# PyTorch's OneCycleLR moves Adam's beta1 against the learning rate, between these.
BETA1_LOW, BETA1_HIGH = 0.85, 0.95
BETA2 = 0.999


@dataclass(frozen=True)
class OneCycle:
    """Learning rate and beta1 of each step, from 0 to `steps` - 1; then they stay.

    Three cosines: from `initial` to `peak` in the share `warmup` of the steps, back in the same
    time, on to `final` in the rest. As PyTorch's OneCycleLR(three_phase=True), whose phases end at
    steps that need not be whole.
    """

    steps: int
    initial: float
    peak: float
    final: float
    warmup: float

    def learning_rate(self, step: ArrayLike) -> Float[Array, ""]:
        return self._through(step, (self.initial, self.peak, self.initial, self.final))

    def beta1(self, step: ArrayLike) -> Float[Array, ""]:
        return self._through(step, (BETA1_HIGH, BETA1_LOW, BETA1_HIGH, BETA1_HIGH))

    def _through(self, step: ArrayLike, values: tuple[float, ...]) -> Float[Array, ""]:
        top = self.warmup * self.steps - 1
        ends = jnp.array([0.0, top, 2 * top, self.steps - 1])
        # In float32 the 262,500 steps of a long run are still exact.
        step = jnp.clip(jnp.asarray(step, jnp.float32), 0, self.steps - 1)
        phase = jnp.clip(jnp.searchsorted(ends[1:], step), 0, 2)
        begin, end = ends[phase], ends[phase + 1]
        share = jnp.clip((step - begin) / jnp.maximum(end - begin, 1e-9), 0, 1)
        first, last = jnp.asarray(values)[phase], jnp.asarray(values)[phase + 1]
        return last + (first - last) / 2 * (1 + jnp.cos(jnp.pi * share))


def one_cycle(config: OptimizerConfig, steps: int) -> OneCycle:
    """The schedule of a configuration, over `steps` of its optimizer."""
    return OneCycle(steps, config.initial_rate, config.peak_rate, config.final_rate, config.warmup)


def make_optimizer(
    config: OptimizerConfig, steps: int, params: Any, filters: Collection[str] = ()
) -> optax.GradientTransformation:
    """Clipping by the global norm, then the configuration's method on the schedule.

    It updates one vector, all parameters as `ravel_pytree` has them: one by one they are thousands
    of operations to compile. Of `params` only the shapes are looked at; `filters` as in `muon`. The
    schedule's values are in the state, as `hyperparams` of its second part.
    """
    schedule = one_cycle(config, steps)

    def method(learning_rate, b1) -> optax.GradientTransformation:
        if config.method == "muon":
            return muon(learning_rate, b1, params, config.eps, config.weight_decay, filters)
        return optax.adamw(
            learning_rate, b1, BETA2, eps=config.eps, weight_decay=config.weight_decay
        )

    scheduled = optax.inject_hyperparams(method)(
        learning_rate=schedule.learning_rate, b1=schedule.beta1
    )
    return optax.chain(optax.clip_by_global_norm(config.clip_norm), scheduled)


def rate_factors(config: OptimizerConfig, params: dict) -> Float[Array, " parameters"] | float:
    """What the learning rate of each parameter is multiplied by, in the order of one vector.

    Raises ConfigError for layers that are not there.
    """
    if not config.layers:
        return 1.0
    paths = [_dotted(path) for path, _ in jax.tree.leaves_with_path(params)]
    for rate in config.layers:
        if not any(_is_inside(path, rate.layer) for path in paths):
            first = ", ".join(dict.fromkeys(path.rsplit(".", 1)[0] for path in paths[:9]))
            raise ConfigError(
                f"training.optimizer.layers: there is no layer {rate.layer!r}; there are {first}..."
            )

    def factor(path, leaf):
        rates = [rate.factor for rate in config.layers if _is_inside(_dotted(path), rate.layer)]
        return jnp.full(leaf.shape, math.prod(rates), leaf.dtype)

    return ravel_pytree(jax.tree.map_with_path(factor, params))[0]


def _dotted(path: tuple) -> str:
    return ".".join(key.key for key in path)


def _is_inside(path: str, layer: str) -> bool:
    return path == layer or path.startswith(f"{layer}.")
