"""`..._maximum` of the objective's terms: a limit above which a term is scaled down, or none."""

import math
import tomllib
from functools import partial

import jax
import pytest

from l3ac_jax.config import ConfigError, dump_config, load_config
from l3ac_jax.model.network import init_params
from l3ac_jax.training.objective import Objective, make_objective
from l3ac_jax.training_config import TrainingConfig
from tests.model.oracle import QUICK_COMPILE
from tests.training.small_run import TINY, TRAINING, small_experiment
from tests.training.test_step import batch

LIMIT = "--training.loss.adversarial-maximum"


def objective(maximum: float) -> Objective:
    loss = {**TRAINING["loss"], "adversarial_maximum": maximum}
    return make_objective(TINY, TrainingConfig.model_validate({**TRAINING, "loss": loss}))


def test_infinity_sets_no_limit_and_a_number_limits_value_and_gradient():
    key, clip = jax.random.key(0), batch(0)
    free, limited = objective(math.inf), objective(0.01)
    jit = partial(jax.jit, compiler_options=QUICK_COMPILE)
    params = jit(partial(init_params, TINY))(key)
    judges = jit(free.discriminators.init)(key, clip["audio"], clip["lengths"])["params"]

    def of(which: Objective):
        def loss(scale):
            # The waveform term is the same in both, and is taken away.
            scaled = jax.tree.map(lambda leaf: leaf * scale, params)
            total, terms = which.of_generator(scaled, judges, None, clip, None)
            both = terms["adversarial"] + which.weights.feature_matching * terms["features"]
            return total - which.weights.waveform * terms["waveform"], both

        return jit(jax.value_and_grad(loss, has_aux=True))(1.0)

    ((value, both), slope), ((small, _), small_slope) = of(free), of(limited)
    assert value == pytest.approx(float(both), rel=1e-3) and both > 0.1
    # Float32 differences of terms that are a hundred times as large.
    assert small == pytest.approx(0.01, rel=1e-2)
    assert small_slope == pytest.approx(float(slope * 0.01 / both), rel=1e-2)


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
