"""What a new run takes from another model."""

from functools import partial

import jax
import numpy as np
import pytest

from l3ac_jax.config import ExperimentConfig
from l3ac_jax.config.training import TrainingConfig
from l3ac_jax.errors import ConfigError, WeightsError
from l3ac_jax.model.network import Network, init_params
from l3ac_jax.model.params import flatten, unflatten
from l3ac_jax.system.compilation import quick_compilation
from l3ac_jax.training.beginnings import Beginning, all_params, fitting_params
from l3ac_jax.training.initialization import initial_params
from l3ac_jax.weights.folder import save_model
from tests.training.small_run import TINY, TRAINING


def experiment(**changes) -> ExperimentConfig:
    training = TrainingConfig.model_validate(TRAINING | {"initialization": "fan_in", "seed": 3})
    return ExperimentConfig(model=TINY.model_copy(update=changes), training=training)


def random_params(config: ExperimentConfig) -> dict:
    """What seed 3 gives, compiled as it is for a run: otherwise the last bit may be another."""
    initial = partial(initial_params, config.model, "fan_in")
    return flatten(jax.jit(initial, compiler_options=quick_compilation())(jax.random.key(3)))


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    init = jax.jit(partial(init_params, TINY), compiler_options=quick_compilation())
    params = init(jax.random.key(1))
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
    config = experiment(quantizer=TINY.quantizer.model_copy(update={"levels": (5, 4, 3, 3)}))
    params, misfits = fitting_params(folder, config)
    assert misfits == ["quantizer/project_in", "quantizer/project_out"]
    random = random_params(config)
    for name, found in flatten(params).items():
        anew = name.rpartition("/")[0] in misfits
        np.testing.assert_array_equal(found, (random if anew else given)[name], err_msg=name)
    with pytest.raises(WeightsError, match="does not fit the configuration"):
        all_params(folder, config)


def test_transposed_convolutions_begin_as_upsampling_of_the_nearest_frame(other):
    folder, given = other
    nearest, transposed = (
        experiment(decoder=TINY.decoder.model_copy(update={"upsampling": way}))
        for way in ("nearest", "transposed")
    )
    params, misfits = fitting_params(folder, transposed)
    assert misfits == []
    features = jax.random.normal(jax.random.key(0), (1, 9, TINY.feature_dim))
    expected, found = (
        Network(config.model).apply({"params": weights}, features, method="decode")
        for config, weights in ((nearest, unflatten(given)), (transposed, params))
    )
    # The same products, though a wider kernel may have them summed in another order.
    np.testing.assert_allclose(found, expected, atol=1e-6)
    save_model(folder.parent / "transposed", transposed, params)
    again, misfits = fitting_params(folder.parent / "transposed", transposed)
    assert misfits == []
    jax.tree.map(np.testing.assert_array_equal, again, params)


def test_layers_that_are_to_be_fresh_are_random_although_they_fit(other):
    folder, given = other
    config = experiment()
    params, words = Beginning(str(folder), fresh=("quantizer", "decoder.output")).params(config)
    random = random_params(config)
    fresh = ("decoder/output", "quantizer/project_in", "quantizer/project_out")
    assert words.endswith(f"but for random ones of {', '.join(fresh)}")
    for name, found in flatten(params).items():
        expected = random if name.startswith(fresh) else given
        np.testing.assert_array_equal(found, expected[name], err_msg=name)
    with pytest.raises(ConfigError, match="there is no layer 'quantiser'; there are decoder, "):
        Beginning(str(folder), fresh=("quantiser",)).params(config)


def test_what_does_not_fit_is_no_reason_to_begin_it_at_random_unasked(other):
    folder, _ = other
    config = experiment(quantizer=TINY.quantizer.model_copy(update={"levels": (5, 4, 3, 3)}))
    with pytest.raises(WeightsError, match="quantizer/project_in, quantizer/project_out; with"):
        Beginning(str(folder), fresh=("decoder.output",)).params(config)
    _, words = Beginning(str(folder), fresh=("quantizer",)).params(config)
    assert words.endswith("quantizer/project_in, quantizer/project_out")
