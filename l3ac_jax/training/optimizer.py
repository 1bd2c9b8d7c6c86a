"""Optimizers from optax under the one-cycle schedule; AdamW as PyTorch has it."""

import math
from collections.abc import Collection
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from l3ac_jax.config.training import Method, OptimizerConfig
from l3ac_jax.errors import ConfigError
from l3ac_jax.training.muon import muon

Scalar = Float[Array | np.ndarray, ""]

# PyTorch's OneCycleLR moves Adam's beta1 against the learning rate, between these.
BETA1_LOW, BETA1_HIGH = 0.85, 0.95
BETA2 = 0.999


class OneCycle(NamedTuple):
    """Learning rate and beta1 of each step, from the first to the last; before and after they stay.

    Three cosines between the four `rates`, reached at the four steps `ends`; of two phases the
    third has no length. As PyTorch's OneCycleLR, whose phases end at steps that need not be whole.
    """

    ends: Float[Array | np.ndarray, "4"]
    rates: Float[Array | np.ndarray, "4"]

    def learning_rate(self, step: ArrayLike) -> Float[Array, ""]:
        return self._through(step, self.rates)

    def beta1(self, step: ArrayLike) -> Float[Array, ""]:
        return self._through(step, (BETA1_HIGH, BETA1_LOW, BETA1_HIGH, BETA1_HIGH))

    def _through(self, step: ArrayLike, values: Any) -> Float[Array, ""]:
        ends = jnp.asarray(self.ends)
        # In float32 the 262,500 steps of a long run are still exact.
        step = jnp.clip(jnp.asarray(step, jnp.float32), ends[0], ends[-1])
        phase = jnp.clip(jnp.searchsorted(ends[1:], step), 0, 2)
        begin, end = ends[phase], ends[phase + 1]
        share = jnp.clip((step - begin) / jnp.maximum(end - begin, 1e-9), 0, 1)
        values = jnp.asarray(values, jnp.float32)
        first, last = values[phase], values[phase + 1]
        return last + (first - last) / 2 * (1 + jnp.cos(jnp.pi * share))


def one_cycle(config: OptimizerConfig, steps: int, begin: int = 0) -> OneCycle:
    """The schedule of a configuration, over `steps` of its optimizer from `begin` on.

    From `initial_rate` to `peak_rate` in the share `warmup` of the steps, back in the same time, on
    to `final_rate` in the rest; or, without `three_phase`, from the peak to `final_rate`.
    """
    top, end = config.warmup * steps - 1, steps - 1
    after, back = (2 * top, config.initial_rate) if config.three_phase else (end, config.final_rate)
    return OneCycle(
        begin + np.asarray([0.0, top, after, end], np.float32),
        np.asarray((config.initial_rate, config.peak_rate, back, config.final_rate), np.float32),
    )


class OptimizerHyperparameters(NamedTuple):
    """The numbers of an optimizer, which are arguments of the compiled step."""

    schedule: OneCycle
    eps: Scalar
    weight_decay: Scalar
    clip_norm: Scalar
    factors: Scalar | Float[Array | np.ndarray, " parameters"]
    """of the learning rate, for all parameters or for each: see `rate_factors`"""


def optimizer_hyperparameters(
    config: OptimizerConfig, steps: int, params: Any, begin: int = 0
) -> OptimizerHyperparameters:
    """Those of a configuration, over `steps` of its optimizer from `begin` on.

    `params` need only shapes, and may be None where `config` has no `layers`.

    Raises ConfigError for `layers` that are not there.
    """
    return OptimizerHyperparameters(
        one_cycle(config, steps, begin),
        np.asarray(config.eps, np.float32),
        np.asarray(config.weight_decay, np.float32),
        np.asarray(config.clip_norm, np.float32),
        rate_factors(config, params),
    )


def make_optimizer(
    method: Method,
    values: OptimizerHyperparameters,
    params: Any,
    filters: Collection[str] = (),
) -> optax.GradientTransformation:
    """Clipping by the global norm, then the method on the schedule.

    It updates one vector, all parameters as `ravel_pytree` has them: one by one they are thousands
    of operations to compile. Of `params` only the shapes are looked at; `filters` as in `muon`. The
    schedule's values are in the state, as `hyperparams` of its second part.
    """

    def at(learning_rate, b1) -> optax.GradientTransformation:
        if method == "muon":
            return muon(learning_rate, b1, params, values.eps, values.weight_decay, filters)
        decay: Any = values.weight_decay  # optax says Array, and means what can be traced
        return optax.adamw(learning_rate, b1, BETA2, eps=values.eps, weight_decay=decay)

    scheduled = optax.inject_hyperparams(at)(
        learning_rate=values.schedule.learning_rate, b1=values.schedule.beta1
    )
    return optax.chain(optax.clip_by_global_norm(values.clip_norm), scheduled)


def rate_factors(config: OptimizerConfig, params: Any) -> np.ndarray:
    """What the learning rate of each parameter is multiplied by, in the order of one vector.

    Without `layers` one number for all.

    Raises ConfigError for layers that are not there.
    """
    if not config.layers:
        return np.ones((), np.float32)
    paths = [_dotted(path) for path, _ in jax.tree.leaves_with_path(params)]
    for rate in config.layers:
        if not any(is_inside(path, rate.layer) for path in paths):
            first = ", ".join(dict.fromkeys(path.rsplit(".", 1)[0] for path in paths[:9]))
            raise ConfigError(
                f"training.optimizer.layers: there is no layer {rate.layer!r}; there are {first}..."
            )

    def factor(path, leaf):
        rates = [rate.factor for rate in config.layers if is_inside(_dotted(path), rate.layer)]
        return np.full(math.prod(leaf.shape), math.prod(rates), np.float32)

    return np.concatenate(jax.tree.leaves(jax.tree.map_with_path(factor, params)))


def _dotted(path: tuple) -> str:
    return ".".join(key.key for key in path)


def is_inside(path: str, layer: str) -> bool:
    """Whether a dotted path is that of a layer, or of something in it."""
    return path == layer or path.startswith(f"{layer}.")
