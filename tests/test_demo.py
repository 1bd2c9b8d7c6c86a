"""The demo, on a small network: it ends well if the two implementations agree, and only then."""

import jax
import pytest

from l3ac_jax.config import ExperimentConfig
from tests.small_configs import SMALL_CONFIGS

pytest.importorskip("l3ac")

from l3ac_jax import demo
from l3ac_jax.pretrained import get_model
from tests.model.oracle import quickly_compiled


@pytest.fixture(autouse=True)
def small_network(monkeypatch):
    small = ExperimentConfig(model=SMALL_CONFIGS["baseline"])
    monkeypatch.setattr(demo, "published_config", lambda name: small)
    monkeypatch.setattr(demo, "get_model", lambda folder: quickly_compiled(get_model(folder)))
    clip = demo._clip()[:, 16000:19000]
    monkeypatch.setattr(demo, "_clip", lambda: clip)


def test_the_demo_agrees_with_the_official_code(capsys):
    assert demo.run_demo() == 0
    assert "They agree." in capsys.readouterr().out


def test_the_demo_notices_wrong_weights(monkeypatch, capsys):
    convert = demo.from_torch

    def convert_badly(folder, config):
        return jax.tree.map(lambda leaf: leaf * 1.01, convert(folder, config))

    monkeypatch.setattr(demo, "from_torch", convert_badly)
    assert demo.run_demo() == 1
    assert "They do NOT agree." in capsys.readouterr().out


def test_without_the_official_code_the_demo_says_how_to_get_it(monkeypatch, capsys):
    def fail():
        raise ImportError("this needs the official PyTorch package: pip install 'l3ac-jax[torch]'")

    monkeypatch.setattr(demo, "import_official", fail)
    assert demo.run_demo() == 2
    assert "pip install 'l3ac-jax[torch]'" in capsys.readouterr().err
