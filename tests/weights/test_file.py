"""Models in one file: what is written comes back, and what does not belong is named."""

import json

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save, save_file

from l3ac_jax.codec.pretrained import get_model
from l3ac_jax.errors import ConfigError, OutputError, WeightsError
from l3ac_jax.weights.file import load_model_file, save_model_file
from l3ac_jax.weights.folder import load_model


@pytest.fixture
def model(model_folder):
    experiment, params = load_model(model_folder)
    return experiment.model, params


@pytest.fixture
def path(model, tmp_path):
    save_model_file(tmp_path / "model.safetensors", *model)
    return tmp_path / "model.safetensors"


def test_a_file_gives_back_the_network_rounded_to_half_precision(model, path):
    config, params = model
    found, stored = load_model_file(path)
    assert found == config
    rounded = jax.tree.map(lambda leaf: np.float16(leaf).astype(np.float32), params)
    assert jax.tree.all(jax.tree.map(np.array_equal, stored, rounded))
    assert {leaf.dtype for leaf in jax.tree.leaves(stored)} == {np.dtype(np.float32)}
    leaves = sum(leaf.size for leaf in jax.tree.leaves(params))
    assert path.stat().st_size < 2 * leaves + 40_000  # names, shapes and the configuration


def test_single_precision_keeps_every_bit(model, tmp_path):
    config, params = model
    save_model_file(tmp_path / "model.safetensors", config, params, "float32")
    _, stored = load_model_file(tmp_path / "model.safetensors")
    assert jax.tree.all(jax.tree.map(np.array_equal, stored, params))


def test_a_codec_comes_from_a_file(path, model):
    codec = get_model(path)
    assert (codec.name, codec.config) == (str(path), model[0])
    assert codec.encode(np.zeros((1, 20), np.float32)).shape == (1, 4)


def test_parameters_that_half_precision_cannot_hold_are_refused(model, tmp_path):
    config, params = model
    for value in (1e5, np.nan):
        wrong = jax.tree.map(lambda leaf, value=value: np.full_like(leaf, value), params)
        with pytest.raises(WeightsError, match="cannot be written as float16"):
            save_model_file(tmp_path / "model.safetensors", config, wrong)
    assert not any(tmp_path.iterdir())


def test_parameters_of_another_network_are_refused(model, tmp_path):
    config, params = model
    wrong = {name: part for name, part in params.items() if name != "decoder"}
    with pytest.raises(WeightsError, match="missing: decoder/"):
        save_model_file(tmp_path / "model.safetensors", config, wrong)


def test_an_existing_file_and_another_ending_are_refused(model, path):
    with pytest.raises(OutputError, match="already exists"):
        save_model_file(path, *model)
    save_model_file(path, *model, overwrite=True)
    with pytest.raises(OutputError, match=r"ends with \.safetensors"):
        save_model_file(path.with_suffix(".bin"), *model)


def metadata_of(path):
    data = path.read_bytes()
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]


def test_each_truncation_is_one_clear_error(path):
    data = path.read_bytes()
    for length in (0, 7, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(WeightsError, match="not a complete safetensors file"):
            load_model_file(path)


def test_files_of_others_are_named(path, tmp_path):
    foreign = tmp_path / "foreign.safetensors"
    foreign.write_bytes(save({"weight": np.zeros(3, np.float32)}))
    with pytest.raises(ConfigError, match="is no model file of l3ac-jax"):
        load_model_file(foreign)
    with pytest.raises(WeightsError, match="no such file"):
        load_model_file(tmp_path / "nowhere.safetensors")

    arrays, metadata = load_file(path), metadata_of(path)
    config = json.loads(metadata["l3ac_jax"])
    config["feature_dim"] = "wide"
    save_file(arrays, foreign, {"l3ac_jax": json.dumps(config)})
    with pytest.raises(ConfigError, match="its configuration: feature_dim: "):
        load_model_file(foreign)

    name = next(iter(arrays))
    earlier = {"l3ac_jax": metadata["l3ac_jax"]}  # without a check sum
    save_file(arrays | {name: np.zeros(1, np.int32)}, foreign, earlier)
    with pytest.raises(WeightsError, match=f"{name}: I32, not a floating-point type"):
        load_model_file(foreign)


def test_every_changed_value_is_found(path):
    """Of parameters and of the configuration; in files that have a check sum."""
    data = path.read_bytes()
    config = data.index(b"sample_rate")
    for place in (config + data[config:].index(b"6000"), len(data) - 1, len(data) * 2 // 3):
        changed = bytearray(data)
        changed[place] ^= 1
        path.write_bytes(changed)
        with pytest.raises(WeightsError, match="not as it was saved"):
            load_model_file(path)
    path.write_bytes(data)
    expected = load_model_file(path)[0]
    save_file(load_file(path), path, {"l3ac_jax": metadata_of(path)["l3ac_jax"]})
    assert load_model_file(path)[0] == expected
