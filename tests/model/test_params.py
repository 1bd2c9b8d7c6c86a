"""What is known of a layer is said by it, for every parameter of every configuration."""

from functools import cache
from pathlib import Path

import jax
import numpy as np
import pytest

from l3ac_jax.config import CodecConfig, load_config
from l3ac_jax.model.decoder import Decoder, DecoderStage
from l3ac_jax.model.enhance import EnhanceBlock
from l3ac_jax.model.folding import folded_params
from l3ac_jax.model.layer import Kind
from l3ac_jax.model.network import abstract_params
from l3ac_jax.model.params import expected_params, flatten, layers_of, paths_of, unflatten
from l3ac_jax.model.units import ConvUnit
from l3ac_jax.official.names import official_places
from tests.small_configs import ABLATED_CONFIGS, SMALL_CONFIGS

CONFIGS = Path(__file__).parents[2] / "configs"
FILES = {
    path.relative_to(CONFIGS).with_suffix("").as_posix(): path
    for path in CONFIGS.rglob("*.toml")
    if path.parent.name != "recipes" and path.stem != "language"  # these have no codec
}
# Numbers that what is said of parameters does not depend on, alike, so that a network is traced
# once.
ALIKE = {"quantizer": {"noise_rate": 0.5}, "transformer": {"window_size": 10}}


@cache
def networks() -> dict[str, CodecConfig]:
    """The networks of all files in configs/, and small ones, each once."""
    configs = {name: load_config(path).model for name, path in sorted(FILES.items())}
    configs |= SMALL_CONFIGS | ABLATED_CONFIGS
    found = {}
    for name, config in configs.items():
        tables = {key: getattr(config, key).model_copy(update=ALIKE[key]) for key in ALIKE}
        look_ahead = {"look_ahead_ms": 0.0} if config.causal else {}
        found.setdefault(config.model_copy(update=tables | look_ahead), name)
    return {name: config for config, name in found.items()}


@pytest.fixture(params=networks(), scope="module")
def config(request) -> CodecConfig:
    return networks()[request.param]


def test_every_parameter_is_of_a_layer_that_says_what_it_is(config):
    layers = layers_of(config)
    for path, leaf in expected_params(config).items():
        layer, _, name = path.rpartition("/")
        kind = layers[layer].layer.kinds[name]
        one_axis = kind not in (Kind.MIXING, Kind.FILTERS)
        assert len(leaf.shape) == 1 if one_axis else len(leaf.shape) >= 2, path
        assert (kind is Kind.FILTERS) == (path in paths_of(config, Kind.FILTERS)), path


def test_layers_fold_to_the_parameters_of_the_folded_network(config):
    params = unflatten(expected_params(config))
    ours = flatten(jax.eval_shape(lambda params: folded_params(params, config), params))
    expected = flatten(abstract_params(config, folded=True))
    assert {path: leaf.shape for path, leaf in ours.items()} == {
        path: leaf.shape for path, leaf in expected.items()
    }


def test_every_parameter_has_its_own_place_in_the_official_files(config):
    places = official_places(config)
    assert places.keys() == expected_params(config).keys()
    assert len({(place.file, place.name) for place in places.values()}) == len(places)


def test_layers_give_the_frames_of_their_place():
    config = SMALL_CONFIGS["compress2"]  # strides 3 and 2, tokens of 2 frames
    layers = layers_of(config)
    for path, frames in {
        "encoder/front/merge": 12,
        "encoder/stage_0/unit_0/depthwise": 12,
        "encoder/stage_0/down": 4,
        "encoder/output": 2,
        "encoder_transformer/long/layer_0": 2,
        "encoder_transformer/down": 1,
        "quantizer/project_in": 1,
        "decoder_transformer/long/layer_1/qkv": 2,
        "decoder/stage_0/up": 2,
        "decoder/stage_1/up": 4,
        "decoder/output": 12,
        "encoder_transformer/long/position_bias/hidden_0": None,
    }.items():
        assert layers[path].frames == frames, path


def test_layers_know_what_they_are_a_part_of():
    layers = layers_of(SMALL_CONFIGS["baseline"])
    unit = layers["decoder/stage_1/unit_0/depthwise"]
    assert [type(parent) for parent in unit.parents] == [Decoder, DecoderStage, ConvUnit]
    assert unit.inside(DecoderStage) and not unit.inside(EnhanceBlock)


def test_filters_are_the_depthwise_convolutions():
    config = SMALL_CONFIGS["baseline"]
    kernels = {path for path in expected_params(config) if path.endswith("depthwise/kernel")}
    assert paths_of(config, Kind.FILTERS) == kernels
    assert len(kernels) == np.sum([*config.encoder.depths, *config.decoder.depths[:-1]])
