"""Where codecs come from: the hub, the cache, a folder, and what is said when there is none."""

import jax
import numpy as np
import pytest

import l3ac_jax
from l3ac_jax.codec.l3ac import L3AC
from l3ac_jax.codec.pretrained import get_model
from l3ac_jax.config import BUNDLED, PUBLISHED, ExperimentConfig
from l3ac_jax.errors import ModelNotFoundError
from l3ac_jax.weights import sources
from l3ac_jax.weights.hub import WEIGHT_FILES, weights_folder
from l3ac_jax.weights.sources import list_models
from tests.small_configs import SMALL_CONFIGS


def test_bundled_and_published_models_are_listed(monkeypatch, tmp_path):
    monkeypatch.setenv("L3AC_JAX_CACHE", str(tmp_path))
    known = dict.fromkeys(BUNDLED, "bundled") | dict.fromkeys(PUBLISHED, "to be downloaded")
    assert list_models() == known
    folder = weights_folder("1kbps")
    folder.mkdir(parents=True)
    for file in WEIGHT_FILES:
        (folder / file).touch()
    assert list_models() == known | {"1kbps": "downloaded"}


def test_the_package_itself_offers_what_the_readme_uses():
    assert l3ac_jax.get_model is get_model
    assert l3ac_jax.list_models is list_models
    assert l3ac_jax.L3AC is L3AC
    assert {"L3AC", "get_model", "list_models"} <= set(dir(l3ac_jax))
    with pytest.raises(AttributeError, match="has no attribute 'get_modle'"):
        l3ac_jax.get_modle  # noqa: B018  # pyright: ignore


def test_a_model_folder_is_loaded(model_folder):
    codec = get_model(model_folder)
    assert codec.config == SMALL_CONFIGS["baseline"]
    assert codec.name == str(model_folder)
    tokens = codec.encode(np.zeros((1, 20), np.float32))
    assert tokens.shape == (1, 4)


def test_a_published_name_comes_from_the_hub_and_then_from_the_cache(hub, monkeypatch, tmp_path):
    """Published weights in small: the network of a test, under a published name."""
    pytest.importorskip("l3ac")
    from l3ac_jax.oracle.codec import seeded_codec

    config = SMALL_CONFIGS["baseline"]
    official = seeded_codec(config, seed=3)
    official.save_checkpoint(tmp_path / "official")
    hub.publish("1kbps", {f: (tmp_path / "official" / f).read_bytes() for f in WEIGHT_FILES})
    monkeypatch.setenv("L3AC_JAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sources, "published_config", lambda name: ExperimentConfig(model=config))

    codec = get_model("1kbps")
    assert codec.name == "1kbps"
    audio = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 60)).astype(np.float32)
    np.testing.assert_array_equal(codec.encode(audio), official.encode(audio)[1])

    assert sorted(hub.downloads) == sorted(WEIGHT_FILES)
    again = get_model("1kbps")
    assert len(hub.downloads) == len(WEIGHT_FILES)
    assert jax.tree.all(jax.tree.map(np.array_equal, codec.params, again.params))


def test_what_is_no_model_is_named(tmp_path):
    for name in ("2kbps", tmp_path / "nowhere"):
        with pytest.raises(ModelNotFoundError) as error:
            get_model(name)
        assert str(error.value) == (
            f"{name}: is neither a model ({', '.join(BUNDLED + PUBLISHED)}) nor a "
            "repository (hf://OWNER/NAME), a folder or a .safetensors file"
        )
    with pytest.raises(ModelNotFoundError, match=r"is not a model folder: it has no config\.toml"):
        get_model(tmp_path)


def test_a_folder_with_pytorch_weights_names_the_converter(tmp_path):
    (tmp_path / "encoder.pt").touch()
    (tmp_path / "config.toml").touch()
    with pytest.raises(ModelNotFoundError) as error:
        get_model(tmp_path)
    assert f"python convert_torch_weights.py {tmp_path} TARGET" in str(error.value)
