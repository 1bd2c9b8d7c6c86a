"""Evaluation clips: whole, in a fixed order."""

from itertools import groupby

import numpy as np
import pytest

from l3ac_jax.config.data import CorpusConfig, EvaluationDataConfig
from l3ac_jax.data.clip import normalize
from l3ac_jax.data.dataset import open_corpus
from l3ac_jax.data.evaluation import EvaluationClips
from l3ac_jax.data.prepare import prepare
from tests.data import trees
from tests.data.trees import CUT


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    root = tmp_path_factory.mktemp("evaluation")
    made = []
    for name, count in (("a", 20), ("b", 5)):
        prepare("folder", trees.folder(root / name, count), root / f"made-{name}", CUT, workers=1)
        made.append(CorpusConfig(corpus="folder", path=str(root / f"made-{name}")))
    return tuple(made)


def clips(corpora, **changes) -> EvaluationClips:
    fields = {"split": "train", "clips": 10} | changes
    return EvaluationClips(EvaluationDataConfig(corpora=corpora, **fields), 16000)


def test_clips_are_whole_and_spread_evenly(corpora):
    chosen = clips(corpora, normalize=False)
    sources = [open_corpus(corpus, "train", 16000).clips for corpus in corpora]
    expected = [sources[0][i] for i in (0, 4, 8, 12, 16)] + [sources[1][i] for i in range(5)]
    assert [clip.info for clip in chosen] == [record.info for record in expected]
    for clip, record in zip(chosen, expected, strict=True):
        np.testing.assert_array_equal(clip.audio, record.audio())


def test_a_small_corpus_gives_all_it_has(corpora):
    assert len(clips(corpora, clips=20)) == 15
    assert len(clips(corpora, clips=1000)) == 25
    assert len(clips(corpora, clips=1)) == 1


def test_every_corpus_has_its_share(corpora):
    paths = [place[0].folder for place in clips(corpora * 2, clips=5)._places]
    assert [len(list(group)) for _, group in groupby(paths)] == [1, 1, 1, 2]


def test_long_clips_are_cut_and_normalized_as_a_whole(corpora):
    whole = clips(corpora[:1], clips=20, normalize=False)
    cut = clips(corpora[:1], clips=20, seconds=0.5)
    assert max(len(clip.audio) for clip in whole) > 8000
    for clip, original in zip(cut, whole, strict=True):
        expected = normalize(original.audio, original.info.level)[:8000]
        np.testing.assert_array_equal(clip.audio, expected)
        assert clip.info.samples == len(expected)
