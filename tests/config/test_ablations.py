"""The ablations, of the published recipe and of bundled models: a file changes what it says."""

import fnmatch
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from l3ac_jax.config import load_config
from l3ac_jax.model.params import expected_params

CONFIGS = Path(__file__).parents[2] / "configs"
BASELINE = CONFIGS / "0k75bps.toml"
SMALL = CONFIGS / "smoke.toml"
FILES = {path.stem: path for path in sorted(CONFIGS.glob("ablations/*.toml"))}
# In a folder of the model's name.
OF_MODELS = {
    f"{path.parent.name}/{path.stem}": path for path in sorted(CONFIGS.glob("ablations/*/*.toml"))
}
ALL = FILES | OF_MODELS

# Members of a series that have the published value.
AS_PUBLISHED = {"window_200", "noise_0.5"}


def leaves(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, tuple(value) if isinstance(value, list) else value


def settings(path: Path, base: Path | None = None) -> dict[str, Any]:
    return dict(leaves(load_config(path, base=base).model_dump()))


def named(path: Path) -> dict[str, Any]:
    table = tomllib.loads(path.read_text())
    model = path.parent.name
    assert table.pop("base") == (
        "../0k75bps.toml" if path in FILES.values() else f"../../{model}.toml"
    )
    return dict(leaves(table))


def test_the_set_is_complete():
    assert {name: list(named(path).values()) for name, path in ALL.items()} == {
        "tpooling_off": [False],
        "tpooling_signed": [False],
        "tpooling_single": [(11,), (5,)],
        "window_25": [25],
        "window_50": [50],
        "window_100": [100],
        "window_200": [200],
        "full_attention": ["full"],
        "perceptual_off": [0.0],
        "perceptual_constant": [float("inf")],
        "adversarial_constant": [float("inf")],
        "levels_8x6": [(8,) * 6],
        "levels_4x9": [(4,) * 9],
        "levels_64x3": [(64,) * 3],
        "levels_2x18": [(2,) * 18],
        "noise_0": [0.0],
        "noise_0.5": [0.5],
        "noise_1": [1.0],
        "convnext_grn": ["convnext_v2"],
        "causal": [True, "running"],
        "causal_20": [True, 20.0, "running"],
        "causal_40": [True, 40.0, "running"],
        "causal_no_norm": [True, "none"],
        "usage": [0.1],
        "music/adversarial": [1.0, 2, (8, 32, 128, 256, 256), 16],
        "music/levels": [(9, 9, 9, 7, 7, 7)],
        "music/linear": ["linear"],
        "music/linear_8x8": ["linear", (8,) * 8],
        "music/nearest": ["nearest"],
        "music/spectral": [10.0, 0.5, 5.0, 5.0],
        "music/tpooling_off": [False],
        "music/window_25": [25],
        "stream/1kbps": [(6, 5, 3), (5, 3, 3, 2), 2, 3, 71, 3, (7,) * 6],
        "stream/distilled": ["small", 100.0],
    }


@pytest.mark.parametrize("base", [BASELINE, SMALL], ids=["published", "small"])
@pytest.mark.parametrize("name", FILES)
def test_an_ablation_changes_exactly_the_keys_that_it_names(name, base):
    before, after = settings(base), settings(FILES[name], None if base == BASELINE else base)
    changes = named(FILES[name])
    assert {key: after[key] for key in changes} == changes
    different = {key for key in before if before[key] != after[key]}
    assert before.keys() == after.keys() and different <= changes.keys()
    if base == BASELINE:
        assert different == (set() if name in AS_PUBLISHED else changes.keys())


@pytest.mark.parametrize("name", OF_MODELS)
def test_one_of_a_bundled_model_changes_exactly_the_keys_that_it_names(name):
    path = OF_MODELS[name]
    before, after = settings(CONFIGS / f"{path.parent.name}.toml"), settings(path)
    changes = named(path)
    different = {key for key in before if before[key] != after[key]}
    assert different - {"training.stages"} == changes.keys()
    assert {key: after[key] for key in changes} == changes


@pytest.mark.parametrize("name", ALL)
def test_the_command_in_the_head_comment_names_the_file(name):
    head = ALL[name].read_text().split("\nbase", 1)[0]
    assert all(line.startswith("#") for line in head.split("\n") if line)
    (pattern,) = re.findall(r"configs/ablations/(\S+)\.toml", head)
    assert fnmatch.fnmatch(name, pattern)


def test_networks_have_the_parameters_of_the_published_one():
    def shapes(path: Path) -> dict[str, tuple[int, ...]]:
        return {name: leaf.shape for name, leaf in expected_params(load_config(path).model).items()}

    published = shapes(BASELINE)
    for name in (
        "tpooling_off",
        "full_attention",
        "convnext_grn",
        "causal",
        "causal_no_norm",
    ):
        assert shapes(FILES[name]) == published, name
    # Kernel, scale and bias of 4 of 5 branches in the encoder, of 3 of 4 in the decoder's 4 stages.
    assert len(published) - len(shapes(FILES["tpooling_single"])) == 3 * (4 + 4 * 3)
