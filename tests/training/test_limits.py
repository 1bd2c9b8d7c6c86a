"""`..._maximum` of the objective's terms: a limit above which a term is scaled down, or none."""

import math
import tomllib
from typing import cast

import jax
import pytest

from l3ac_jax.config import dump_config, load_config
from l3ac_jax.config.training import TrainingConfig
from l3ac_jax.errors import ConfigError
from l3ac_jax.model.network import init_params
from l3ac_jax.training.objective import Batch, Objective, make_objective
from tests.quick import QUICK_COMPILE
from tests.training.small_run import TINY, TRAINING, small_experiment
from tests.training.test_step import batch

LIMIT = "--training.loss.adversarial-maximum"


def objective(maximum: float) -> Objective:
    loss = {**TRAINING["loss"], "adversarial_maximum": maximum}
    return make_objective(TINY, TrainingConfig.model_validate({**TRAINING, "loss": loss}))


def test_infinity_sets_no_limit():
    key, clip = jax.random.key(0), cast(Batch, batch(0))
    free, limited = objective(math.inf), objective(0.01)

    def losses(key):
        params = init_params(TINY, key)
        judges = free.discriminators.init(key, clip["audio"], clip["lengths"])["params"]
        found = [which.of_generator(params, judges, None, clip, None) for which in (free, limited)]
        return [total for total, _ in found], found[0][1]

    (of_free, of_limited), terms = jax.jit(losses, compiler_options=QUICK_COMPILE)(key)
    waveform = free.weights.waveform * terms["waveform"]
    both = terms["adversarial"] + free.weights.feature_matching * terms["features"]
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
