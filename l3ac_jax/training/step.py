"""One step of training, as pure functions of state and batch.

The discriminators' part, in the steps where it is their turn, and the generator's are compiled
apart: each once, where one function with a switch would compile the larger part twice.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import cast

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Int, PyTree

from l3ac_jax.config import CodecConfig
from l3ac_jax.config.training import Initialization, Method, TrainingConfig
from l3ac_jax.model.fsq import Noise
from l3ac_jax.model.layer import Kind
from l3ac_jax.model.params import paths_of
from l3ac_jax.model.precision import stated_products
from l3ac_jax.training.hyperparameters import Hyperparameters
from l3ac_jax.training.initialization import initial_params
from l3ac_jax.training.objective import Batch, Objective, Terms, make_objective
from l3ac_jax.training.optimizer import make_optimizer


class TrainState(flax.struct.PyTreeNode):
    """Everything that a step changes. Without discriminators both of their fields are None."""

    step: Int[Array, ""]
    key: Array
    params: dict
    optimizer: optax.OptState
    average: dict | None
    """exponential moving average of `params`, where the configuration wants one"""
    discriminators: dict | None
    discriminator_optimizer: optax.OptState | None
    skipped: Int[Array, ""]
    """steps whose loss or gradient was not finite, and which changed nothing"""
    skipped_in_row: Int[Array, ""]


@dataclass(frozen=True)
class Steps:
    """What makes a program of steps; the numbers it computes with are `Hyperparameters`.

    Configurations whose `Steps` are equal have the same compiled programs, as long as both or none
    of them have rates by layer.
    """

    objective: Objective
    initialization: Initialization
    micro_batches: int
    method: Method
    discriminator_method: Method
    averages: bool
    """whether an average of the parameters is kept"""

    def init(
        self, key: Array, hyperparameters: Hyperparameters, params: dict | None = None
    ) -> TrainState:
        """The state before the first step; `params` to go on from, or random ones.

        Compiled, what is computed beside the parameters is left out: it takes half the time.
        """
        init_key, judge_key, key = jax.random.split(key, 3)
        if params is None:
            params = initial_params(self.objective.config, self.initialization, init_key)
        judges = judge_state = None
        if self.objective.adversarial:
            judges = self.objective.init_discriminators(judge_key)
            optimizer = self._discriminator_optimizer(hyperparameters, judges)
            judge_state = optimizer.init(ravel_pytree(judges)[0])
        optimizer = self._optimizer(hyperparameters, params)
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            key=key,
            params=params,
            optimizer=optimizer.init(ravel_pytree(params)[0]),
            average=jax.tree.map(jnp.copy, params) if self.averages else None,
            discriminators=judges,
            discriminator_optimizer=judge_state,
            skipped=jnp.zeros((), jnp.int32),
            skipped_in_row=jnp.zeros((), jnp.int32),
        )

    def abstract(self, hyperparameters: Hyperparameters) -> dict[str, PyTree]:
        """Shapes and types of a state, field by field, without computing one."""

        def fields(key: Array) -> dict[str, PyTree]:
            state = self.init(key, hyperparameters)
            return {field.name: getattr(state, field.name) for field in dataclasses.fields(state)}

        return jax.eval_shape(fields, jax.random.key(0))

    def take(
        self,
        state: TrainState,
        batch: Batch,
        whisper: dict | None,
        hyperparameters: Hyperparameters,
        with_discriminators: bool,
        teacher: dict | None = None,
    ) -> tuple[TrainState, Terms]:
        """One step: the discriminators first where it is their turn, then the generator."""
        judged: Terms = {}
        if with_discriminators:
            state, judged = self.train_discriminators(state, batch, hyperparameters)
        state, metrics = self.train_generator(state, batch, whisper, hyperparameters, teacher)
        return state, judged | metrics

    def train_discriminators(
        self, state: TrainState, batch: Batch, hyperparameters: Hyperparameters
    ) -> tuple[TrainState, Terms]:
        """The discriminators' part of a step, which does not count it.

        Returns what `train_generator` does, the names with `discriminator_` before them.
        """
        assert state.discriminators is not None and state.discriminator_optimizer is not None
        grad = self.objective.gradient(self.objective.of_discriminators)
        judges, judge_state, metrics, finite = _update(
            lambda p, part, _: grad(p, state.params, part),
            self._discriminator_optimizer(hyperparameters, state.discriminators),
            hyperparameters.discriminator_optimizer.factors,
            state.discriminators,
            state.discriminator_optimizer,
            self._micro_batches(batch),
            None,
        )
        state = state.replace(
            discriminators=judges,
            discriminator_optimizer=judge_state,
            skipped=state.skipped + jnp.where(finite, 0, 1),
        )
        return state, {f"discriminator_{name}": value for name, value in metrics.items()}

    def train_generator(
        self,
        state: TrainState,
        batch: Batch,
        whisper: dict | None,
        hyperparameters: Hyperparameters,
        teacher: dict | None = None,
    ) -> tuple[TrainState, Terms]:
        """The generator's part of a step.

        Returns the new state, and the terms of the losses with `loss`, `gradient_norm` and
        `learning_rate`. A step whose loss or gradient is not finite changes nothing but the counts.
        """
        grad = self.objective.gradient(self.objective.of_generator)
        keys = jax.random.split(jax.random.fold_in(state.key, state.step), self.micro_batches)
        loss, rate = hyperparameters.loss, hyperparameters.noise_rate
        params, optimizer, metrics, finite = _update(
            lambda p, part, key: grad(
                p, state.discriminators, whisper, part, loss, Noise(key, rate), teacher
            ),
            self._optimizer(hyperparameters, state.params),
            hyperparameters.optimizer.factors,
            state.params,
            state.optimizer,
            self._micro_batches(batch),
            keys,
        )
        in_row = jnp.where(finite, 0, state.skipped_in_row + 1)
        return state.replace(
            step=state.step + 1,
            params=params,
            optimizer=optimizer,
            average=_averaged(state.average, params, finite, hyperparameters.average_share),
            skipped=state.skipped + jnp.where(finite, 0, 1),
            skipped_in_row=in_row,
        ), metrics | {"skipped_in_row": in_row}

    def _optimizer(
        self, hyperparameters: Hyperparameters, params: dict
    ) -> optax.GradientTransformation:
        filters = paths_of(self.objective.config, Kind.FILTERS)
        return make_optimizer(self.method, hyperparameters.optimizer, params, filters)

    def _discriminator_optimizer(
        self, hyperparameters: Hyperparameters, params: dict
    ) -> optax.GradientTransformation:
        values = hyperparameters.discriminator_optimizer
        return make_optimizer(self.discriminator_method, values, params)

    def _micro_batches(self, batch: Batch) -> PyTree:
        # Every n-th clip, not consecutive ones: on several devices each then keeps its own clips.
        parts = self.micro_batches
        return jax.tree.map(lambda x: x.reshape(-1, parts, *x.shape[1:]).swapaxes(0, 1), batch)


def make_steps(
    config: CodecConfig,
    training: TrainingConfig,
    terms: frozenset[str] | None = None,
    teacher: CodecConfig | None = None,
) -> Steps:
    """The steps of a configuration; `terms` and `teacher` as in `make_objective`."""
    return Steps(
        make_objective(config, training, terms, teacher),
        training.initialization,
        training.micro_batches,
        training.optimizer.method,
        training.discriminator.optimizer.method,
        training.average_decay > 0,
    )


def _averaged(
    average: dict | None, params: dict, finite: Bool[Array, ""], share: ArrayLike
) -> dict | None:
    if average is None:
        return None
    (old, unravel), (new, _) = ravel_pytree(average), ravel_pytree(params)
    return unravel(old + jnp.where(finite, share, 0.0) * (new - old))


def _update(
    gradient: Callable,
    optimizer: optax.GradientTransformation,
    factors: ArrayLike,
    params: dict,
    state: optax.OptState,
    parts: PyTree,
    keys: Array | None,
) -> tuple[dict, optax.OptState, Terms, Bool[Array, ""]]:
    """The mean gradient over micro-batches, applied if it is finite."""

    def one(part, key):
        (loss, terms), slope = gradient(params, part, key)
        return {"loss": loss, **terms}, slope

    def add(total, part_and_key):
        return jax.tree.map(jnp.add, total, one(*part_and_key)), None

    count = jax.tree.leaves(parts)[0].shape[0]
    if count == 1:
        terms, slope = one(*jax.tree.map(lambda x: x[0], (parts, keys)))
    else:
        shapes = jax.eval_shape(one, *jax.tree.map(lambda x: x[0], (parts, keys)))
        zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
        (terms, slope), _ = jax.lax.scan(add, zeros, (parts, keys))
        terms, slope = jax.tree.map(lambda x: x / count, (terms, slope))
    flat_params, unravel = ravel_pytree(params)
    # The barrier: a vector of so many parts is otherwise put together anew by all that reads it.
    flat_params, flat_slope = jax.lax.optimization_barrier((flat_params, ravel_pytree(slope)[0]))
    norm = jnp.linalg.norm(flat_slope)
    finite = jnp.isfinite(terms["loss"]) & jnp.isfinite(norm)
    with stated_products("float32"):
        updates, new_state = optimizer.update(flat_slope, state, flat_params)
    rate = new_state[1].hyperparams["learning_rate"]  # type: ignore[index]
    chosen, new_state = jax.tree.map(
        partial(jnp.where, finite),
        (flat_params + factors * cast(Array, updates), new_state),
        (flat_params, state),
    )
    # Otherwise the vector's formula, schedule and all, is written out for each parameter.
    chosen, new_state = jax.lax.optimization_barrier((chosen, new_state))
    return (
        unravel(chosen),
        new_state,
        {**terms, "gradient_norm": norm, "learning_rate": rate},
        finite,
    )
