"""The objective: what its configuration asks for is what is computed."""

from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from l3ac_jax.codec.streaming.streams import OF_ENCODER
from l3ac_jax.config.training import TrainingConfig
from l3ac_jax.model.folding import folded_params
from l3ac_jax.model.network import Network, init_params
from l3ac_jax.model.ops.backend import CPU, use_lowerings
from l3ac_jax.training import losses
from l3ac_jax.training.objective import Batch, loss_weights, make_objective
from tests.quick import QUICK_COMPILE
from tests.training.batches import batch, random_params
from tests.training.small_run import TINY, TRAINING


def test_the_mel_term_has_the_floor_and_the_magnitudes_that_are_configured():
    weights = {"mel": 2.0, "mel_floor": 0.01, "mel_magnitude": 0.5, "adversarial": 0.0}
    loss = {**TRAINING["loss"], "waveform": 0.0, "stft": 0.0, **weights}
    training = TrainingConfig.model_validate({**TRAINING, "loss": loss})
    objective = make_objective(TINY, training)
    clip = cast(Batch, batch(0))

    def values(key):
        result, terms = objective.of_evaluation(
            init_params(TINY, key), None, clip, loss_weights(training.loss)
        )
        pair = (result.audio, clip["audio"], TINY.sample_rate, clip["lengths"])
        return terms, losses.mel_loss(*pair, 0.5, floor=0.01), losses.mel_loss(*pair)

    terms, expected, default = jax.jit(values, compiler_options=QUICK_COMPILE)(jax.random.key(0))
    assert terms["mel"] == pytest.approx(float(expected), rel=1e-6)
    assert terms["loss"] == pytest.approx(2 * float(expected), rel=1e-6)
    assert abs(default - expected) > 0.01 * expected


# Another network than TINY, with the same tokens.
TEACHER = TINY.model_copy(update={"feature_dim": 12, "activation": "gelu"})


def test_the_terms_of_the_quantizer_are_of_real_tokens_and_move_only_the_encoder():
    loss = {"waveform": 0.0, "adversarial": 0.0, "usage": 0.5, "distillation": 3.0}
    table = {**TRAINING, "loss": {**TRAINING["loss"], **loss}, "teacher": "another"}
    training = TrainingConfig.model_validate(table)
    objective, clips = make_objective(TINY, training, teacher=TEACHER), batch(0)
    clips["lengths"] = jnp.array([1500, 801])
    clips["audio"] = clips["audio"].at[1, 801:].set(jnp.nan)
    tokens = jnp.array([375, 201])  # of 4 samples, the last one begun
    weights = loss_weights(training.loss)

    def squash(config, params):
        variables, audio = {"params": params}, clips["audio"]
        return Network(config).apply(variables, audio, clips["lengths"], method="squash")

    def values(params, teacher):
        student = squash(TINY, params)
        expected = {
            "usage": losses.usage_loss(student, TINY.quantizer.levels, tokens),
            "distillation": losses.distillation_loss(student, squash(TEACHER, teacher), tokens),
        }
        _, evaluated = objective.of_evaluation(params, None, clips, weights)
        folded = folded_params({name: teacher[name] for name in OF_ENCODER}, TEACHER)
        gradient = objective.gradient(objective.of_generator)
        taken = gradient(params, None, None, clips, weights, None, folded)
        return taken, expected, evaluated

    compiled = jax.jit(values, compiler_options=QUICK_COMPILE)
    models = random_params(TINY, 0), random_params(TEACHER, 1)
    ((total, terms), slope), expected, evaluated = compiled(*models)
    assert terms.keys() == expected.keys() and min(terms.values()) > 1e-3
    for name, value in expected.items():
        assert terms[name] == pytest.approx(float(value), rel=1e-4), name
    weighed = 0.5 * float(terms["usage"]) + 3 * float(terms["distillation"])
    assert total == pytest.approx(weighed, rel=1e-5)
    largest = {
        part: max(np.abs(x).max() for x in jax.tree.leaves(tree)) for part, tree in slope.items()
    }
    assert all(np.isfinite(list(largest.values()))) and largest["encoder"] > 0
    assert largest["decoder"] == largest["decoder_transformer"] == 0
    assert evaluated == {"loss": 0.0}  # which is about audio


def test_pairs_are_judged_alike_apart_and_in_one_batch():
    training = TrainingConfig.model_validate(TRAINING)
    objective, clips = make_objective(TINY, training), batch(0)
    clips["lengths"] = jnp.array([1500, 801])
    judges = objective.init_discriminators(jax.random.key(0))
    params = random_params(TINY, 0)

    def values(chosen):
        with use_lowerings(chosen):
            gradient = objective.gradient(objective.of_discriminators)
            return jax.jit(gradient, compiler_options=QUICK_COMPILE)(judges, params, clips)

    results = [values(CPU._replace(judged_pairs=how)) for how in ("apart", "one batch")]
    leaves = list(zip(*map(jax.tree.leaves, results), strict=True))
    assert len(leaves) > 10
    for apart, together in leaves:  # sums of the same terms in another order
        np.testing.assert_allclose(apart, together, rtol=1e-4, atol=1e-4 * np.abs(apart).max())
