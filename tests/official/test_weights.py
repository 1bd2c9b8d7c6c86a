"""Official weights go in and come out bit for bit, and everything wrong is said at once."""

from __future__ import annotations

import signal
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from l3ac_jax.config import PUBLISHED, CodecConfig, published_config
from l3ac_jax.errors import ConfigError, OutputError, WeightsError
from l3ac_jax.model.params import expected_params, flatten, unflatten
from l3ac_jax.official.names import FILES, official_places
from l3ac_jax.official.weights import from_torch, to_torch
from l3ac_jax.oracle.codec import OfficialCodec, seeded_codec
from tests.small_configs import SMALL_CONFIGS

CONFIGS = {name: published_config(name).model for name in PUBLISHED} | SMALL_CONFIGS
BASELINE = SMALL_CONFIGS["baseline"]


@cache
def random_params(config: CodecConfig) -> dict:
    random = np.random.default_rng(0)
    return unflatten(
        {
            path: random.normal(size=leaf.shape).astype(leaf.dtype)
            for path, leaf in expected_params(config).items()
        }
    )


def state_dicts(folder: Path) -> dict[str, dict[str, torch.Tensor]]:
    return {file: torch.load(folder / file, weights_only=True) for file in FILES.values()}


def assert_same_trees(found: dict, expected: dict) -> None:
    found, expected = flatten(found), flatten(expected)
    assert found.keys() == expected.keys()
    for path, leaf in expected.items():
        assert found[path].dtype == leaf.dtype
        assert found[path].shape == leaf.shape
        assert found[path].tobytes() == leaf.tobytes(), path


@pytest.mark.parametrize("name", CONFIGS)
def test_official_weights_come_back_bit_for_bit(name, tmp_path):
    config = CONFIGS[name]
    official = seeded_codec(config, seed=1)
    official.save_checkpoint(tmp_path / "official")
    to_torch(from_torch(tmp_path / "official", config), config, tmp_path / "back")

    expected, found = state_dicts(tmp_path / "official"), state_dicts(tmp_path / "back")
    for file in FILES.values():
        assert found[file].keys() == expected[file].keys()
        for key, original in expected[file].items():
            tensor = found[file][key]
            assert tensor.dtype == torch.float32
            assert tensor.shape == original.shape
            assert torch.equal(tensor.view(torch.int32), original.view(torch.int32)), key


@pytest.mark.parametrize("name", CONFIGS)
def test_parameters_come_back_bit_for_bit_and_load_strictly(name, tmp_path):
    config = CONFIGS[name]
    params = random_params(config)
    to_torch(params, config, tmp_path / "torch")
    assert_same_trees(from_torch(tmp_path / "torch", config), params)

    network = OfficialCodec(config).network
    for file, state_dict in state_dicts(tmp_path / "torch").items():
        network.trainable_modules[file.removesuffix(".pt")].load_state_dict(state_dict, strict=True)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_official_tensor_has_one_place(name):
    places = official_places(CONFIGS[name]).values()
    names = [(place.file, place.name) for place in places]
    assert len(set(names)) == len(names)


def test_values_that_are_not_numbers_keep_their_bits(tmp_path):
    odd = np.array([np.nan, -np.nan, np.inf, -np.inf, -0.0, 1e-45, 3e38, 1], np.float32)
    odd.view(np.int32)[0] |= 12345
    params = unflatten(flatten(random_params(BASELINE)) | {"encoder/front/merge/scale": odd})
    to_torch(params, BASELINE, tmp_path / "torch")
    assert_same_trees(from_torch(tmp_path / "torch", BASELINE), params)


def test_the_official_package_reads_what_is_written(tmp_path):
    import l3ac

    config = SMALL_CONFIGS["compress2"]
    folder = tmp_path / "mine.v3"
    to_torch(random_params(config), config, folder)
    official = l3ac.L3AC(
        l3ac.L3ACConfig(config_file=folder / "config.toml", model_dir=folder.parent)
    )
    official.load_pretrained()  # downloads nothing, as all files are there
    expected = state_dicts(folder)
    for name, module in official.network.trainable_modules.items():
        for key, tensor in module.state_dict().items():
            assert torch.equal(tensor, expected[f"{name}.pt"][key])


def test_ablations_cannot_be_written_for_the_official_package(tmp_path):
    transformer = BASELINE.transformer.model_copy(update={"attention": "full", "encoder_depth": 2})
    pooling = BASELINE.tpooling.model_copy(update={"absolute": False})
    config = BASELINE.model_copy(update={"transformer": transformer, "tpooling": pooling})
    with pytest.raises(ConfigError, match=r"cannot express tpooling .*attention.*encoder_depth"):
        to_torch(random_params(config), config, tmp_path / "torch")
    assert not list(tmp_path.iterdir())


# --- what is wrong is listed, all of it


@pytest.fixture
def official_folder(tmp_path) -> Path:
    to_torch(random_params(BASELINE), BASELINE, tmp_path / "torch")
    return tmp_path / "torch"


def change(folder: Path, file: str, **tensors: torch.Tensor | None) -> None:
    """Replace tensors of a file; None takes one away."""
    state_dict = torch.load(folder / file, weights_only=True)
    for name, tensor in tensors.items():
        state_dict.pop(name, None)
        if tensor is not None:
            state_dict[name] = tensor
    torch.save(state_dict, folder / file)


def test_all_mismatches_in_all_files_are_one_error(official_folder):
    change(
        official_folder, "encoder.pt", **{"blocks.2.1.bias": None, "blocks.9.bias": torch.ones(2)}
    )
    change(official_folder, "quantizer.pt", **{"project_in.weight": torch.ones(16, 3)})
    change(official_folder, "decoder.pt", **{"blocks.0.bias": torch.ones(24).double()})
    (official_folder / "en_encoder.pt").write_bytes(b"this is text")
    (official_folder / "en_decoder.pt").unlink()
    with pytest.raises(WeightsError) as error:
        from_torch(official_folder, BASELINE)
    assert sorted(str(error.value).splitlines()) == sorted(
        [
            f"{official_folder}: not the weights of this configuration:",
            "  encoder.pt: missing: blocks.2.1.bias",
            "  encoder.pt: unexpected: blocks.9.bias",
            "  quantizer.pt: project_in.weight: shape (16, 3), not (3, 16)",
            "  decoder.pt: blocks.0.bias: float64, not float32",
            "  en_encoder.pt: not a file of torch.save (those are zip archives)",
            "  en_decoder.pt: No such file or directory",
        ]
    )


def test_a_huge_expanded_tensor_is_a_wrong_shape(official_folder):
    change(official_folder, "decoder.pt", **{"blocks.0.bias": torch.ones(1).expand(2**40)})
    with pytest.raises(WeightsError, match=r"blocks\.0\.bias: shape \(1099511627776,\)"):
        from_torch(official_folder, BASELINE)


def test_weights_of_another_model_are_refused(official_folder):
    with pytest.raises(WeightsError, match=r"en_encoder\.pt: missing: down_trans"):
        from_torch(official_folder, SMALL_CONFIGS["compress3"])
    with pytest.raises(WeightsError, match=r"unexpected: local_trans\.dynamic_pos_bias"):
        from_torch(official_folder, SMALL_CONFIGS["rotary"])


def test_other_rotary_frequencies_are_refused(tmp_path):
    config = SMALL_CONFIGS["rotary"]
    to_torch(random_params(config), config, tmp_path / "torch")
    name = "local_trans.layers.0.0.attn_fn.rel_pos.inv_freq"
    change(tmp_path / "torch", "en_decoder.pt", **{name: torch.tensor([1.0, 0.02])})
    with pytest.raises(WeightsError, match=rf"en_decoder\.pt: {name}: not the frequencies"):
        from_torch(tmp_path / "torch", config)


def test_parameters_that_do_not_fit_are_not_written(tmp_path):
    leaves = flatten(random_params(BASELINE))
    del leaves["encoder/output/bias"]
    leaves["encoder/extra"] = np.zeros(1, np.float32)
    leaves["decoder/input/bias"] = np.zeros(3)
    with pytest.raises(WeightsError) as error:
        to_torch(unflatten(leaves), BASELINE, tmp_path / "torch")
    for line in (
        "missing: encoder/output/bias",
        "unexpected: encoder/extra",
        "decoder/input/bias: shape (3,), not (24,)",
        "decoder/input/bias: float64, not float32",
    ):
        assert f"\n  {line}" in str(error.value)
    assert not list(tmp_path.iterdir())


# --- complete or not at all


def test_a_failure_between_files_leaves_nothing(tmp_path, monkeypatch):
    written = []

    def fail_on_the_third(value, path):
        if len(written) == 2:
            raise OSError(28, "No space left on device")
        written.append(path)
        Path(path).write_bytes(b"half")

    monkeypatch.setattr(torch, "save", fail_on_the_third)
    with pytest.raises(OutputError, match="No space left"):
        to_torch(random_params(BASELINE), BASELINE, tmp_path / "torch")
    assert len(written) == 2
    assert not list(tmp_path.iterdir())


def test_a_failure_while_overwriting_keeps_the_old_files(official_folder, monkeypatch):
    before = {path.name: path.read_bytes() for path in official_folder.iterdir()}

    def fail(value, path):
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(KeyboardInterrupt):
        to_torch(random_params(BASELINE), BASELINE, official_folder, overwrite=True)
    assert {path.name: path.read_bytes() for path in official_folder.iterdir()} == before
    assert list(official_folder.parent.iterdir()) == [official_folder]


def test_a_killed_process_leaves_nothing_at_the_target(tmp_path):
    program = f"""
import sys, time
from l3ac_jax.system.folders import complete_folder
with complete_folder({str(tmp_path / "torch")!r}) as new:
    (new / "encoder.pt").write_bytes(b"half")
    print("writing", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline() == b"writing\n"
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / "torch").exists()
    to_torch(random_params(BASELINE), BASELINE, tmp_path / "torch")


def test_existing_folders_are_kept_unless_asked(official_folder, tmp_path):
    params = random_params(BASELINE)
    with pytest.raises(OutputError, match="exists already"):
        to_torch(params, BASELINE, official_folder)
    to_torch(params, BASELINE, official_folder, overwrite=True)
    (official_folder / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"also holds notes\.txt"):
        to_torch(params, BASELINE, official_folder, overwrite=True)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="is not a folder"):
        to_torch(params, BASELINE, tmp_path / "file", overwrite=True)
    (tmp_path / "empty").mkdir()
    to_torch(params, BASELINE, tmp_path / "empty")


def test_writing_without_torch_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"pip install 'l3ac-jax\[torch\]'"):
        to_torch(random_params(BASELINE), BASELINE, tmp_path / "torch")
    assert not list(tmp_path.iterdir())
