"""The objective: what its configuration asks for is what is computed."""

from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from l3ac_jax.config.training import TrainingConfig
from l3ac_jax.model.network import Network, init_params
from l3ac_jax.training import losses
from l3ac_jax.training.objective import Batch, loss_weights, make_objective
from tests.quick import QUICK_COMPILE
from tests.training.batches import batch
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


def test_the_terms_of_the_quantizer_weigh_what_they_say_and_only_the_encoder():
    """Of clips of different lengths, the padding of one of them NaN."""
    loss = {**TRAINING["loss"], "waveform": 0.0, "adversarial": 0.0, "usage": 0.5}
    training = TrainingConfig.model_validate({**TRAINING, "loss": loss})
    objective, clips = make_objective(TINY, training), batch(0)
    clips["lengths"] = jnp.array([1500, 801])
    clips["audio"] = clips["audio"].at[1, 801:].set(np.nan)
    weights = loss_weights(training.loss)

    def values(key):
        params = init_params(TINY, key)
        squashed = Network(TINY).apply({"params": params}, clips["audio"], clips["lengths"],
                                       method="squash")  # fmt: skip
        _, evaluated = objective.of_evaluation(params, None, clips, weights)
        gradient = objective.gradient(objective.of_generator)
        return gradient(params, None, None, clips, weights), squashed, evaluated

    compiled = jax.jit(values, compiler_options=QUICK_COMPILE)
    ((total, terms), slope), squashed, evaluated = compiled(jax.random.key(0))
    tokens = jnp.array([375, 201])  # of 4 samples, the last one begun
    expected = losses.usage_loss(squashed, TINY.quantizer.levels, tokens)
    assert terms.keys() == {"usage"} and terms["usage"] == pytest.approx(float(expected), rel=1e-4)
    assert total == pytest.approx(0.5 * float(expected), rel=1e-4)
    moved = {
        name: max(np.abs(x).max() for x in jax.tree.leaves(part)) for name, part in slope.items()
    }
    assert all(np.isfinite(list(moved.values()))) and moved["encoder"] > 0
    assert moved["decoder"] == moved["decoder_transformer"] == 0
    assert evaluated == {"loss": 0.0}  # which says how audio sounds
