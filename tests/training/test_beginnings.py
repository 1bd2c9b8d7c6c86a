"""What a new run takes from another model."""

import jax
import numpy as np
import pytest

from l3ac_jax.config import ExperimentConfig
from l3ac_jax.config.training import TrainingConfig
from l3ac_jax.errors import WeightsError
from l3ac_jax.model.network import init_params
from l3ac_jax.model.params import flatten
from l3ac_jax.training.beginnings import all_params, fitting_params
from l3ac_jax.training.initialization import initial_params
from l3ac_jax.weights.folder import save_model
from tests.training.small_run import TINY, TRAINING


def experiment(**changes) -> ExperimentConfig:
    training = TrainingConfig.model_validate(TRAINING | {"initialization": "fan_in", "seed": 3})
    return ExperimentConfig(model=TINY.model_copy(update=changes), training=training)


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    params = init_params(TINY, jax.random.key(1))
    folder = tmp_path_factory.mktemp("models") / "other"
    save_model(folder, ExperimentConfig(model=TINY), params)
    return folder, flatten(params)


def test_the_same_network_is_taken_whole(other):
    folder, given = other
    params, misfits = fitting_params(folder, experiment())
    assert misfits == []
    jax.tree.map(np.testing.assert_array_equal, flatten(params), given)
    jax.tree.map(np.testing.assert_array_equal, params, all_params(folder, experiment()))


def test_a_layer_that_does_not_fit_is_random_as_a_whole(other):
    folder, given = other
    config = experiment(
        decoder=TINY.decoder.model_copy(update={"upsampling": "transposed"}),
        quantizer=TINY.quantizer.model_copy(update={"levels": (5, 4, 3, 3)}),
    )
    params, misfits = fitting_params(folder, config)
    assert misfits == ["decoder/stage_0/up", "quantizer/project_in", "quantizer/project_out"]
    random = flatten(initial_params(config.model, "fan_in", jax.random.key(3)))
    for name, found in flatten(params).items():
        anew = name.rpartition("/")[0] in misfits
        np.testing.assert_array_equal(found, (random if anew else given)[name], err_msg=name)
    with pytest.raises(WeightsError, match="does not fit the configuration"):
        all_params(folder, config)
