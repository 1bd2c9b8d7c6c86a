"""`..._maximum` of the objective's terms: a limit above which a term is scaled down, or none."""

import math
import tomllib
from functools import partial
from typing import cast

import jax
import pytest

from l3ac_jax.config import dump_config, load_config
from l3ac_jax.config.training import TrainingConfig
from l3ac_jax.errors import ConfigError
from l3ac_jax.model.network import init_params
from l3ac_jax.training.objective import Batch, loss_weights, make_objective
from tests.quick import QUICK_COMPILE
from tests.training.batches import batch
from tests.training.small_run import TINY, TRAINING, small_experiment

LIMIT = "--training.loss.adversarial-maximum"


def test_infinity_sets_no_limit():
    key, clip = jax.random.key(0), cast(Batch, batch(0))
    training = TrainingConfig.model_validate(TRAINING)
    objective, weights = make_objective(TINY, training), loss_weights(training.loss)
    judges = objective.init_discriminators(key)

    @partial(jax.jit, compiler_options=QUICK_COMPILE)
    def loss(maximum):
        limited = {**weights, "adversarial_maximum": maximum}
        return objective.of_generator(init_params(TINY, key), judges, None, clip, limited)

    (of_free, terms), (of_limited, _) = loss(math.inf), loss(0.01)
    waveform = training.loss.waveform * terms["waveform"]
    both = terms["adversarial"] + training.loss.feature_matching * terms["features"]
    assert both > 0.1
    assert of_free == pytest.approx(float(waveform + both), rel=1e-5)
    # The limited term is a thousandth of the sum.
    assert of_limited - waveform == pytest.approx(0.01, rel=1e-2)


def test_limits_are_numbers_above_zero_or_infinity(tmp_path):
    path = tmp_path / "experiment.toml"
    path.write_text(dump_config(small_experiment(tmp_path)))
    config = load_config(path, [LIMIT, "inf"])
    assert config.training is not None and math.isinf(config.training.loss.adversarial_maximum)
    path.write_text(dump_config(config))
    assert load_config(path) == config
    assert tomllib.loads(path.read_text())["training"]["loss"]["adversarial_maximum"] == math.inf
    for wrong in ("0.0", "-inf", "nan", '"none"'):
        with pytest.raises(ConfigError, match=r"training\.loss\.adversarial_maximum"):
            load_config(path, [LIMIT, wrong])
