"""One step of training, as a pure function of state and batch."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Int, PyTree

from l3ac_jax.model.network import init_params
from l3ac_jax.training.objective import Batch, Objective, Terms
from l3ac_jax.training.optimizer import make_optimizer
from l3ac_jax.training_config import TrainingConfig


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
    """The steps of a run of `total` steps with one configuration."""

    objective: Objective
    config: TrainingConfig
    total: int

    def init(self, key: Array, params: dict | None = None) -> TrainState:
        """The state before the first step; `params` to go on from, or random ones."""
        init_key, judge_key, key = jax.random.split(key, 3)
        # Compiled, what init computes beside the parameters is left out: it takes half the time.
        params = params or jax.jit(partial(init_params, self.objective.config))(init_key)
        judges = judge_state = None
        if self.objective.adversarial:
            audio = jnp.zeros((1, self.objective.config.sample_rate))
            judges = dict(jax.jit(self.objective.discriminators.init)(judge_key, audio)["params"])
            judge_state = self._discriminator_optimizer.init(judges)
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            key=key,
            params=params,
            optimizer=self._optimizer.init(params),
            average=jax.tree.map(jnp.copy, params) if self.config.average_decay else None,
            discriminators=judges,
            discriminator_optimizer=judge_state,
            skipped=jnp.zeros((), jnp.int32),
            skipped_in_row=jnp.zeros((), jnp.int32),
        )

    def trains_discriminators(self, step: int) -> bool:
        """Whether the discriminators take this step too."""
        return self.objective.adversarial and step % self.config.discriminator.every == 0

    def take(
        self, state: TrainState, batch: Batch, whisper: dict | None, with_discriminators: bool
    ) -> tuple[TrainState, Terms]:
        """One step: the discriminators first where it is their turn, then the generator.

        Returns the new state, and the terms of the losses with `loss`, `gradient_norm`,
        `learning_rate`, and for the discriminators the same with a prefix. A step whose loss or
        gradient is not finite changes nothing but the counts.
        """
        metrics: Terms = {}
        finite = jnp.array(True)
        if with_discriminators:
            assert state.discriminators is not None and state.discriminator_optimizer is not None
            grad = jax.value_and_grad(self.objective.of_discriminators, has_aux=True)
            judges, judge_state, judged, finite = _update(
                lambda p, part, _: grad(p, state.params, part),
                self._discriminator_optimizer,
                state.discriminators,
                state.discriminator_optimizer,
                self._micro_batches(batch),
                None,
            )
            state = state.replace(discriminators=judges, discriminator_optimizer=judge_state)
            metrics |= {f"discriminator_{name}": value for name, value in judged.items()}

        grad = jax.value_and_grad(self.objective.of_generator, has_aux=True)
        keys = jax.random.split(
            jax.random.fold_in(state.key, state.step), self.config.micro_batches
        )
        params, optimizer, taken, generator_finite = _update(
            lambda p, part, key: grad(p, state.discriminators, whisper, part, key),
            self._optimizer,
            state.params,
            state.optimizer,
            self._micro_batches(batch),
            keys,
        )
        finite &= generator_finite
        average = state.average
        if average is not None:
            average = optax.incremental_update(params, average, 1 - self.config.average_decay)
        skipped = jnp.where(finite, 0, 1)
        return state.replace(
            step=state.step + 1,
            params=params,
            optimizer=optimizer,
            average=average,
            skipped=state.skipped + skipped,
            skipped_in_row=jnp.where(finite, 0, state.skipped_in_row + 1),
        ), metrics | taken

    @property
    def _optimizer(self) -> optax.GradientTransformation:
        return make_optimizer(self.config.optimizer, self.total)

    @property
    def _discriminator_optimizer(self) -> optax.GradientTransformation:
        discriminator = self.config.discriminator
        return make_optimizer(discriminator.optimizer, -(-self.total // discriminator.every))

    def _micro_batches(self, batch: Batch) -> PyTree:
        parts = self.config.micro_batches
        return jax.tree.map(lambda x: x.reshape(parts, -1, *x.shape[1:]), batch)


def _update(
    gradient: Callable,
    optimizer: optax.GradientTransformation,
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
    norm = optax.tree.norm(slope)
    finite = jnp.isfinite(terms["loss"]) & jnp.isfinite(norm)
    updates, new_state = optimizer.update(slope, state, params)
    new_params = optax.apply_updates(params, updates)
    chosen = jax.tree.map(partial(jnp.where, finite), (new_params, new_state), (params, state))
    rate = state[1].hyperparams["learning_rate"]  # type: ignore[index]
    terms = {**terms, "gradient_norm": norm, "learning_rate": rate}
    return chosen[0], chosen[1], terms, finite
