"""The objective: what its configuration asks for is what is computed."""

from typing import cast

import jax
import pytest

from l3ac_jax.config.training import TrainingConfig
from l3ac_jax.model.network import init_params
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
