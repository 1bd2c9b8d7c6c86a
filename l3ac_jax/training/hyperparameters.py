"""The numbers of a configuration that steps compute with: arguments of the compiled programs.

Another weighting, rate or length of a run compiles nothing. What a program computes at all is a
static fact of it, kept in `Steps` and `Objective` (step.py, objective.py): which terms the
objective has (a weight of zero leaves a term out), the methods of the optimizers, the number of
micro-batches, the precision, whether an average is kept.
"""

from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float

from l3ac_jax.config import CodecConfig
from l3ac_jax.config.training import TrainingConfig
from l3ac_jax.model.params import expected_params, unflatten
from l3ac_jax.training.objective import Weights, loss_weights, make_objective
from l3ac_jax.training.optimizer import OptimizerHyperparameters, optimizer_hyperparameters

Scalar = Float[Array | np.ndarray, ""]


class Hyperparameters(NamedTuple):
    """Float32, of NumPy until they are placed on devices."""

    loss: Weights
    noise_rate: Scalar
    optimizer: OptimizerHyperparameters
    discriminator_optimizer: OptimizerHyperparameters
    average_share: Scalar
    """1 - `average_decay`: the share of its distance from the parameters that the average goes"""


def make_hyperparameters(
    config: CodecConfig,
    training: TrainingConfig,
    steps: int,
    begin: int = 0,
    judged: int | None = None,
) -> Hyperparameters:
    """Those of `steps` steps from `begin` on.

    `judged` is the number of steps with discriminators in the whole run, which have one schedule;
    None where all steps are.

    Raises ConfigError where a rate is set for a layer that is not there.
    """
    judges = training.discriminator
    params = judge_params = None
    if training.optimizer.layers:
        params = unflatten(expected_params(config))
    if judges.optimizer.layers:
        objective = make_objective(config, training)
        judge_params = jax.eval_shape(objective.init_discriminators, jax.random.key(0))
    return Hyperparameters(
        loss_weights(training.loss),
        np.asarray(config.quantizer.noise_rate, np.float32),
        optimizer_hyperparameters(training.optimizer, steps, params, begin),
        optimizer_hyperparameters(
            judges.optimizer, -(-(judged or steps) // judges.every), judge_params
        ),
        np.asarray(1 - training.average_decay, np.float32),
    )
