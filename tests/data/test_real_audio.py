"""A whole collection of real recordings, where it is at hand; and the data of smoke.toml."""

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from l3ac_jax.config import load_config
from l3ac_jax.data.dataset import ClipSource
from l3ac_jax.data.evaluation import EvaluationClips
from l3ac_jax.data.loader import BatchLoader
from l3ac_jax.data.prepare import prepare
from l3ac_jax.data.recordings import Cut
from tests.data.trees import FIXTURES

ROOT = Path(__file__).parents[2]
AUDIO = ROOT.parent / "shared" / "audio"
CUT = Cut(16000, 0.1, 1e-3, 30.0)


@pytest.mark.skipif(not AUDIO.is_dir(), reason="../shared/audio is not here")
def test_a_collection_of_recordings_comes_out_whole(tmp_path):
    info, skipped = prepare("folder", AUDIO, tmp_path / "made", CUT)
    with (AUDIO / "manifest.csv").open(newline="") as lines:
        listed = {row["path"]: float(row["seconds"]) for row in csv.DictReader(lines)}
    assert not skipped
    assert info.splits["train"].seconds == pytest.approx(sum(listed.values()), rel=1e-4)
    source = ClipSource(tmp_path / "made", info, "train")
    assert {source[i].info.source for i in range(len(source))} == set(listed)
    for i in range(0, len(source), 40):
        record = source[i]
        name, _, part = record.info.id.partition("#")
        whole, rate = sf.read(AUDIO / name, dtype="int16")
        start = int(part or 0) * 30 * 16000
        assert rate == 16000
        np.testing.assert_array_equal(
            record.audio() * 32768, whole[start : start + record.info.samples]
        )


def test_the_smoke_configuration_has_its_data(tmp_path):
    config = load_config(ROOT / "configs" / "smoke.toml")
    assert config.data.corpora[0].path == str(ROOT / "runs" / "smoke-data")
    prepare("folder", FIXTURES, tmp_path / "made", CUT, workers=1)
    moved = config.data.corpora[0].model_copy(update={"path": str(tmp_path / "made")})
    evaluation = config.data.evaluation.model_copy(update={"corpora": (moved,)})
    data = config.data.model_copy(update={"corpora": (moved,), "evaluation": evaluation})
    with BatchLoader(data, config.model.sample_rate, workers=0) as loader:
        batch = next(loader)
    assert batch["audio"].shape == (4, 15360)
    assert len(EvaluationClips(evaluation, config.model.sample_rate)) == 3
