"""Model folders: what is saved is loaded, on any device, and damage is an error."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from l3ac_jax.config import ExperimentConfig, dump_config
from l3ac_jax.errors import ConfigError, OutputError, WeightsError
from l3ac_jax.model.params import expected_params, flatten, unflatten
from l3ac_jax.weights.folder import load_model, save_model
from tests.small_configs import SMALL_CONFIGS

CONFIG = ExperimentConfig(model=SMALL_CONFIGS["baseline"])


def random_params(config: ExperimentConfig = CONFIG, seed: int = 0) -> dict:
    random = np.random.default_rng(seed)
    return unflatten(
        {
            path: random.normal(size=leaf.shape).astype(leaf.dtype)
            for path, leaf in expected_params(config.model).items()
        }
    )


def assert_same_trees(found: dict, expected: dict) -> None:
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert np.asarray(one).tobytes() == np.asarray(other).tobytes()


@pytest.mark.parametrize("name", ["baseline", "compress2_rotary", "identity_projection"])
@pytest.mark.parametrize("as_array", [np.asarray, jax.numpy.asarray])
def test_what_is_saved_is_loaded(name, as_array, tmp_path):
    config = ExperimentConfig(model=SMALL_CONFIGS[name])
    params = random_params(config)
    save_model(tmp_path / "model", config, jax.tree.map(as_array, params))
    found_config, found = load_model(tmp_path / "model")
    assert found_config == config
    assert_same_trees(found, params)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]


def test_a_model_saved_on_many_devices_is_loaded_on_one(tmp_path):
    """Devices that this process does not have: a checkpoint that named them would not load."""
    program = f"""
import jax
from l3ac_jax.weights.folder import save_model
from tests.weights.test_folder import CONFIG, random_params
assert jax.device_count() == 4
devices = jax.devices()
mesh = jax.sharding.Mesh(devices, "x")
everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
params = jax.device_put(random_params(), everywhere)
params["encoder"] = jax.device_put(params["encoder"], devices[3])
save_model({str(tmp_path / "model")!r}, CONFIG, params)
"""
    root = Path(__file__).parents[2]
    flags = {"JAX_NUM_CPU_DEVICES": "4", "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", program], check=True, cwd=root, env=flags)
    assert jax.device_count() == 1
    assert_same_trees(load_model(tmp_path / "model")[1], random_params())


def test_a_moved_folder_is_loaded(tmp_path):
    save_model(tmp_path / "model", CONFIG, random_params())
    (tmp_path / "model").rename(tmp_path / "elsewhere")
    assert_same_trees(load_model(tmp_path / "elsewhere")[1], random_params())


def test_parameters_that_do_not_fit_are_not_saved(tmp_path):
    leaves = flatten(random_params())
    del leaves["encoder/output/bias"]
    leaves["encoder/extra"] = np.zeros(1, np.float32)
    leaves["decoder/input/bias"] = np.zeros((24, 1), np.float32)
    with pytest.raises(WeightsError) as error:
        save_model(tmp_path / "model", CONFIG, unflatten(leaves))
    assert str(error.value) == (
        "parameters do not fit the configuration:"
        "\n  missing: encoder/output/bias"
        "\n  unexpected: encoder/extra"
        "\n  decoder/input/bias: shape (24, 1), not (24,)"
    )
    assert not list(tmp_path.iterdir())


def test_a_configuration_of_another_model_is_one_error(tmp_path):
    save_model(tmp_path / "model", CONFIG, random_params())
    other = ExperimentConfig(model=SMALL_CONFIGS["compress2"])
    (tmp_path / "model" / "config.toml").write_text(dump_config(other))
    with pytest.raises(WeightsError) as error:
        load_model(tmp_path / "model")
    lines = str(error.value).splitlines()
    assert lines[0] == f"{tmp_path / 'model' / 'params'}: does not fit the configuration:"
    assert "  missing: encoder_transformer/down/kernel" in lines
    assert "  unexpected: encoder_transformer/transformer/layer_0/qkv/kernel" in lines


def test_existing_folders_are_kept_unless_asked(tmp_path):
    folder = tmp_path / "model"
    save_model(folder, CONFIG, random_params(seed=0))
    with pytest.raises(OutputError, match="exists already"):
        save_model(folder, CONFIG, random_params(seed=1))
    assert_same_trees(load_model(folder)[1], random_params(seed=0))
    save_model(folder, CONFIG, random_params(seed=1), overwrite=True)
    assert_same_trees(load_model(folder)[1], random_params(seed=1))
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"also holds notes\.txt"):
        save_model(folder, CONFIG, random_params(seed=0), overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_failure_while_saving_leaves_what_was_there(tmp_path, monkeypatch):
    folder = tmp_path / "model"

    def fail(path, arrays):
        (path / "half").mkdir(parents=True)
        raise OSError(28, "No space left on device")

    save_model(folder, CONFIG, random_params())
    monkeypatch.setattr("l3ac_jax.weights.folder._save_arrays", fail)
    for target in (folder, tmp_path / "new"):
        with pytest.raises(OutputError, match="No space left"):
            save_model(target, CONFIG, random_params(seed=1), overwrite=True)
    assert_same_trees(load_model(folder)[1], random_params())
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("damage", ["remove", "truncate", "flip"])
def test_all_damaged_files_are_named(tmp_path, damage):
    folder = tmp_path / "model"
    save_model(folder, CONFIG, random_params())
    files = sorted(path for path in (folder / "params").rglob("*") if path.is_file())
    harmed = [path for path in files if path.name == "_METADATA" or path.parent.name == "d"]
    for path in harmed:
        content = bytearray(path.read_bytes())
        match damage:
            case "remove":
                path.unlink()
            case "truncate":
                path.write_bytes(content[:-1])
            case "flip":
                content[len(content) // 2] ^= 1
                path.write_bytes(content)
    with pytest.raises(WeightsError) as error:
        load_model(folder)
    assert str(error.value).splitlines() == [
        f"{folder}: not as it was saved:",
        *(
            f"  {path.relative_to(folder)}: {'missing' if damage == 'remove' else 'damaged'}"
            for path in harmed
        ),
    ]


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="sha256sum is not installed")
def test_the_checksums_are_those_of_sha256sum(tmp_path):
    save_model(tmp_path / "model", CONFIG, random_params())
    command = ["sha256sum", "--check", "--quiet", "--strict", "params.sha256"]
    subprocess.run(command, check=True, cwd=tmp_path / "model")


def test_a_folder_without_checksums_is_loaded(tmp_path):
    save_model(tmp_path / "model", CONFIG, random_params())
    (tmp_path / "model" / "params.sha256").unlink()
    assert_same_trees(load_model(tmp_path / "model")[1], random_params())
    (tmp_path / "model" / "params" / "_METADATA").unlink()
    with pytest.raises(WeightsError, match="params: not a complete checkpoint: what it holds"):
        load_model(tmp_path / "model")


def test_what_is_no_model_folder_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"config\.toml"):
        load_model(tmp_path)
    (tmp_path / "config.toml").write_text(dump_config(CONFIG))
    with pytest.raises(WeightsError, match=r"params: no such folder"):
        load_model(tmp_path)
