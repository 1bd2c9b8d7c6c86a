"""The comparison with the official code notices what is wrong; the script says what is missing."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from l3ac_jax.audio.reading import read_audio
from l3ac_jax.config import ExperimentConfig
from tests.conftest import FIXTURES
from tests.small_configs import SMALL_CONFIGS

SCRIPT = Path(__file__).parents[2] / "experiments" / "parity.py"
SMALL = ExperimentConfig(model=SMALL_CONFIGS["baseline"])


@pytest.fixture(scope="module")
def official():
    pytest.importorskip("l3ac")
    from l3ac_jax.oracle.codec import seeded_codec

    return seeded_codec(SMALL.model)


@pytest.fixture(scope="module")
def ours(official):
    from l3ac_jax.oracle.parity import converted

    return converted(official, SMALL)


@pytest.fixture(scope="module")
def audio():
    return read_audio(FIXTURES / "librivox_sense_0870.wav").samples[:, 16000:19000]


def test_the_two_agree(official, ours, audio):
    from l3ac_jax.oracle.parity import compare

    parity = compare(audio, official, ours)
    assert parity.agrees
    assert parity.official.tokens.shape == (1, 500)
    assert parity.ours.audio.shape == parity.official.audio.shape == audio.shape


def test_wrong_weights_are_noticed(official, ours, audio):
    from l3ac_jax.codec.l3ac import L3AC
    from l3ac_jax.oracle.parity import compare

    wrong = jax.tree.map(lambda leaf: np.asarray(leaf) * np.float32(1.01), ours.params)
    assert not compare(audio, official, L3AC(ours.config, wrong)).agrees


def test_without_the_official_code_the_script_says_how_to_get_it(tmp_path):
    # A package that cannot be imported stands in front of the real one.
    (tmp_path / "l3ac.py").write_text("raise ImportError('not here')")
    done = subprocess.run(
        [sys.executable, SCRIPT],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )
    assert done.returncode == 2
    assert done.stderr.startswith("parity.py: error: ")
    assert "pip install 'l3ac-jax[torch]'" in done.stderr and done.stderr.count("\n") == 1
