"""The official configuration files say what ours say, and what they cannot say is an error."""

from __future__ import annotations

import pytest
import tomli_w

from l3ac_jax.config import PUBLISHED, published_config
from l3ac_jax.errors import ConfigError
from l3ac_jax.official.config import from_official_config, to_official_config
from tests.small_configs import SMALL_CONFIGS


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_official_files_give_the_published_configurations(name):
    import l3ac

    config = published_config(name).model
    assert from_official_config(l3ac.CONFIG_DIR / f"{name}.toml") == config


@pytest.mark.parametrize("name", SMALL_CONFIGS)
def test_every_option_comes_back(name, tmp_path):
    config = SMALL_CONFIGS[name]
    official = to_official_config(config)
    assert from_official_config(official) == config
    (tmp_path / "config.toml").write_text(tomli_w.dumps(official))
    assert from_official_config(tmp_path / "config.toml") == config


def test_what_a_file_leaves_out_has_the_official_default():
    from l3ac.en_codec import ModelConfig

    written_out = to_official_config(from_official_config({"network_config": {}}))
    assert ModelConfig(**written_out["network_config"]) == ModelConfig()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({}, "network_config: missing"),
        ({"network_config": {"encoder_dim": [1]}}, "network_config.encoder_dim: unknown key"),
        ({"network_config": {"base_unit": "super"}}, "base_unit: 'super', not 'normal'"),
        ({"network_config": {"en_coder_cache_size": 3}}, "en_coder_cache_size: not 0"),
        ({"network_config": {"vq_config": {"name": "vq", "levels": [3]}}}, "not super_fsq"),
        ({"network_config": {"encoder_dims": [3]}}, "dims has 1 values, but 2 rates need 3"),
        ({"network_config": {}, "rate": 1}, "rate: unknown key"),
    ],
)
def test_other_official_configurations_are_refused(content, reason):
    with pytest.raises(ConfigError, match=f"official configuration: .*{reason}"):
        from_official_config(content)


def test_files_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "broken.toml").write_text("network_config = ")
    for name in ("broken.toml", "nowhere.toml"):
        with pytest.raises(ConfigError, match=name.replace(".", r"\.")):
            from_official_config(tmp_path / name)
