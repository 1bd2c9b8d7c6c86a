"""The small configuration that a newcomer runs first, from recordings to a model."""

import re
from pathlib import Path

import numpy as np
import pytest

from l3ac_jax.audio.reading import read_audio
from l3ac_jax.codec.pretrained import get_model
from l3ac_jax.data.prepare import prepare
from l3ac_jax.training.logs import read_metrics
from tests.data.trees import CUT, FIXTURES
from tests.quick import LONG_RUN_FLAGS
from tests.training.small_run import ROOT, run_training

CONFIG = ROOT / "configs" / "smoke.toml"


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("smoke")
    prepare("folder", FIXTURES, folder / "data", CUT, workers=1)
    corpora = f'[{{corpus = "folder", path = "{folder / "data"}"}}]'
    words = ("--data.corpora", corpora, "--data.evaluation.corpora", corpora)
    flags = {"XLA_FLAGS": LONG_RUN_FLAGS}
    run_training(CONFIG, folder / "run", folder / "cache", *words, variables=flags)
    return folder / "run"


def expected_curve() -> dict[int, float]:
    """The loss of evaluation by step, as the head comment of the configuration says."""
    rows = re.findall(r"^# +step +(\d+): +loss ([\d.]+)", CONFIG.read_text(), re.MULTILINE)
    return {int(step): float(loss) for step, loss in rows}


def test_the_smoke_run_reaches_its_expected_loss(run):
    entries = read_metrics(run / "metrics.jsonl")
    found = {entry["step"]: entry["loss"] for entry in entries if entry["kind"] == "evaluation"}
    first = next(entry["stft"] for entry in entries if entry["kind"] == "train")
    expected = expected_curve()
    print(found)
    assert found.keys() == expected.keys() and len(expected) == 3
    # The curve of another machine is not the same: rounding decides on tokens, and these on more.
    last = max(expected)
    assert found[last] < 1.2 * expected[last]
    assert entries[-1]["stft"] < 0.7 * first


def test_the_trained_model_codes_audio(run):
    codec = get_model(run)
    clip = read_audio(FIXTURES / "librivox_sense_0870.wav").samples[:, 16000:32000]
    decoded = np.asarray(codec.reconstruct(clip))
    assert decoded.shape == clip.shape and np.isfinite(decoded).all()
    assert 0.1 < decoded.std() / clip.std() < 3
