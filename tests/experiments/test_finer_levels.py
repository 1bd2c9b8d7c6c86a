"""experiments/finer_levels.py: the weights stay, the steps get smaller."""

import numpy as np
import pytest

from experiments.finer_levels import main
from l3ac_jax.codec.pretrained import get_model
from tests.quick import speech


def test_finer_levels_keep_the_weights_and_come_closer_to_the_features(
    model_folder, small_codec, tmp_path, capsys
):
    out = tmp_path / "finer.safetensors"
    assert main([str(model_folder), str(out), "--levels", "33"]) == 0
    assert "bit/s became" in capsys.readouterr().out
    finer = get_model(out)
    dimensions = len(small_codec.config.quantizer.levels)
    assert finer.config.quantizer.levels == (33,) * dimensions
    assert finer.bitrate > small_codec.bitrate
    tokens = [np.asarray(codec.encode(speech(4000))) for codec in (small_codec, finer)]
    assert tokens[0].shape == tokens[1].shape

    def steps(codec, tokens):
        """Where in -1..1 each dimension of each token is."""
        levels = np.array(codec.config.quantizer.levels)
        strides = np.cumprod([1, *levels[:-1]])
        return 2 * (tokens[..., None] // strides % levels) / (levels - 1) - 1

    coarse, fine = (steps(*pair) for pair in zip((small_codec, finer), tokens, strict=True))
    # Half a coarse step and half a fine one lie between them at most.
    least = np.array(small_codec.config.quantizer.levels)
    assert np.all(np.abs(coarse - fine) <= 1 / (least - 1) + 1 / 32 + 1e-6)
    assert not np.array_equal(coarse, fine)


@pytest.mark.parametrize(
    ("levels", "message"), [("3", "more than the model's"), ("100000", "at most")]
)
def test_levels_that_cannot_be_are_refused(model_folder, tmp_path, capsys, levels, message):
    assert main([str(model_folder), str(tmp_path / "x.safetensors"), "--levels", levels]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "x.safetensors").exists()
