"""What changes do to tokens, on codecs whose tokens are known."""

import json

import numpy as np
import pytest
import soundfile as sf

from l3ac_jax.codec.l3ac import L3AC
from l3ac_jax.config import ExperimentConfig
from l3ac_jax.errors import SourceError
from l3ac_jax.evaluation.random_params import random_params
from l3ac_jax.evaluation.stability import CUT_TOKENS, changes_of, generations, stability
from l3ac_jax.evaluation.tokenizers import Levels
from l3ac_jax.model.levels import tokens_to_levels
from l3ac_jax.weights.folder import save_model
from tests.quick import speech
from tests.small_configs import SMALL_CONFIGS

HOP, RATE = 8, 16000
# A NumPy file of one array, no archive.
NUMBERS = b"\x93NUMPY\1\0v\0{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}".ljust(
    128
) + bytes(4)


class SignAndSize:
    """Codes the sign and the size (against 0.1) of the mean of each hop."""

    sample_rate, hop_length, ordered = RATE, HOP, True

    def tokens(self, audio):
        means = np.pad(audio, (0, -len(audio) % HOP)).reshape(-1, HOP).mean(axis=1)
        return np.stack([np.sign(np.round(means, 3)) + 1, np.abs(means) > 0.1], axis=-1).astype(int)

    def coded(self, audio):
        tokens = self.tokens(audio)
        decoded = np.repeat((tokens[:, 0] - 1) * np.where(tokens[:, 1], 0.3, 0.05), HOP)
        return tokens, decoded.astype(np.float32)[: len(audio)]


def test_changes_are_what_their_names_say():
    clip = speech(4000)[0]
    random = np.random.default_rng(0)
    done = {name: change(clip, random) for name, change in changes_of(RATE, HOP).items()}
    assert list(done)[1:6] == [
        "shift of 1 sample",
        "shift of 2 samples",
        "shift of 4 samples",
        "shift of 7 samples",
        f"cut off: {CUT_TOKENS} tokens",
    ]
    np.testing.assert_array_equal(done["shift of 4 samples"].audio, clip[4:])
    np.testing.assert_array_equal(done["cut off: 37 tokens"].audio, clip[37 * HOP :])
    assert np.abs(done["16 bits"].audio - clip).max() <= 0.5 / 32767 + 1e-9
    np.testing.assert_allclose(done["+6 dB"].audio, 1.99526 * clip, rtol=1e-5)
    noise = done["noise at -40 dB"].audio - clip
    assert 20 * np.log10(noise.std() / np.sqrt(np.mean(clip**2))) == pytest.approx(-40, abs=0.5)
    resampled = done["to 44.1 kHz and back"].audio
    assert len(resampled) == len(clip) and 0 < np.abs(resampled - clip).max() < 0.02


def test_shares_and_distances_are_those_of_the_tokens():
    """A square wave of 0.09, whose half is two hops long."""
    wave = np.tile(np.repeat(np.float32([0.09, -0.09]), 2 * HOP), 50)
    rows = {row.name: row for row in stability(SignAndSize(), [wave, wave[: 40 * HOP]])}
    tokens = len(wave) // HOP + 40
    assert rows["16 bits"].equal == 1 and rows["16 bits"].tokens == tokens
    assert rows["-6 dB"].equal == rows["-1 dB"].equal == 1
    # 0.09 becomes more than 0.1: the second of two dimensions goes up by one.
    assert rows["+6 dB"].equal == 0 and rows["+6 dB"].distance == pytest.approx(0.5)
    # Half a hop earlier, each second hop holds both halves: a mean of 0, one level away.
    assert rows["shift of 4 samples"].equal == pytest.approx(0.5, abs=0.02)
    assert rows["shift of 4 samples"].distance == pytest.approx(0.25, abs=0.02)
    cut = rows["cut off: 37 tokens"]
    assert cut.equal == 1 and cut.tokens == tokens - 2 * CUT_TOKENS


def test_a_codec_that_gives_its_own_tokens_again_is_stable():
    clip = speech(16000)[0]
    rows = list(generations(SignAndSize(), [clip], 3))
    assert [row.number for row in rows] == [1, 2, 3]
    assert {row.equal for row in rows} == {1.0} and {row.distance for row in rows} == {0.0}
    assert len({row.stoi for row in rows}) == 1 and 0 < rows[0].stoi < 1


def test_tokens_from_elsewhere_come_first():
    wave = np.tile(np.repeat(np.float32([0.09, -0.09]), 2 * HOP), 50)
    tokens = SignAndSize().tokens(wave)
    other = tokens.copy()
    other[:10, 1] += 1
    row = next(stability(SignAndSize(), [wave], elsewhere={"beside other": [other]}))
    assert (row.name, row.tokens) == ("beside other", len(tokens))
    assert row.equal == pytest.approx(1 - 10 / len(tokens))
    assert row.distance == pytest.approx(10 / len(tokens) / 2)
    for of_others in (tokens[:-1], tokens[:, :1]):
        with pytest.raises(SourceError, match="beside other: these are tokens of other"):
            next(stability(SignAndSize(), [wave], elsewhere={"beside other": [of_others]}))


def test_entries_of_a_codebook_have_no_distance():
    codebook = SignAndSize()
    codebook.ordered = False
    rows = list(stability(codebook, [speech(4000)[0]]))
    assert all(np.isnan(row.distance) for row in rows)
    assert rows[0].equal == 1 > rows[-3].equal


def test_levels_are_those_of_the_codec():
    config = SMALL_CONFIGS["baseline"]
    codec = L3AC(config, random_params(config, 0))
    clip = speech(9000)[0]
    expected = np.asarray(codec.encode(clip[None]))
    levels, decoded = Levels(codec).coded(clip)
    np.testing.assert_array_equal(levels, tokens_to_levels(expected[0], config.quantizer.levels))
    np.testing.assert_array_equal(levels, Levels(codec).tokens(clip))
    np.testing.assert_array_equal(decoded, np.asarray(codec.decode(expected))[0, : len(clip)])


def test_the_script_writes_what_it_prints(tmp_path, monkeypatch, capsys):
    from tests.experiments.test_play_along import EXPERIMENTS

    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    from stability import main

    config = SMALL_CONFIGS["baseline"]
    save_model(tmp_path / "a", ExperimentConfig(model=config), random_params(config, 0))
    sf.write(tmp_path / "clip.wav", speech(9000)[0], RATE)
    words = [tmp_path / "a", tmp_path / "clip.wav", "--out", tmp_path / "o.json"]
    words += ["--figure", tmp_path / "o.png", "--generations", "2"]
    assert main([*map(str, words)]) == 0
    found = json.loads((tmp_path / "o.json").read_text())["models"][str(tmp_path / "a")]
    assert len(found["generations"]) == 2 and found["generations"][0]["equal"] == 1
    codec = L3AC(config, random_params(config, 0))
    expected = list(stability(Levels(codec), [sf.read(tmp_path / "clip.wav", dtype="float32")[0]]))
    assert [row["equal"] for row in found["changes"]] == [row.equal for row in expected]
    assert "+6 dB" in capsys.readouterr().out and (tmp_path / "o.png").stat().st_size > 10_000
    assert main([*map(str, words)]) == 2
    assert main([str(tmp_path / "clip.wav"), "--out", str(tmp_path / "p.json")]) == 2


@pytest.fixture
def script(monkeypatch):
    """stability.py's main, with words of any kind."""
    from tests.experiments.test_play_along import EXPERIMENTS

    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    from stability import main

    return lambda *words: main([*map(str, words)])


def test_kept_tokens_are_compared_with(script, tmp_path, capsys):
    config = SMALL_CONFIGS["baseline"]
    save_model(tmp_path / "a", ExperimentConfig(model=config), random_params(config, 0))
    sf.write(tmp_path / "clip.wav", speech(9000)[0], RATE)
    sf.write(tmp_path / "other.wav", speech(5000)[0], RATE)
    common = [tmp_path / "a", tmp_path / "clip.wav", "--generations", "1"]
    kept = tmp_path / "kept.npz"
    assert script(*common, "--out", tmp_path / "o.json", "--keep-tokens", kept) == 0
    assert script(*common, "--out", tmp_path / "p.json", "--beside", kept) == 0
    found = json.loads((tmp_path / "p.json").read_text())["models"][str(tmp_path / "a")]
    first, second = found["changes"][:2]
    assert first == second | {"name": "beside kept.npz", "equal": 1, "distance": 0}
    capsys.readouterr()

    def refused(*words):
        assert script(*words, "--out", tmp_path / "q.json") == 2
        error = capsys.readouterr().err
        assert not (tmp_path / "q.json").exists() and len(error.splitlines()) == 1
        return error

    other = [tmp_path / "a", tmp_path / "other.wav", "--generations", "1"]
    assert "no tokens of" in refused(*other, "--beside", kept)
    assert "no such file" in refused(*common, "--beside", tmp_path / "x.npz")
    for content in (b"", b"PK\3\4" + bytes(100), b"words", kept.read_bytes()[:-50], NUMBERS):
        (tmp_path / "bad.npz").write_bytes(content)
        assert "no tokens, which --keep-tokens writes" in refused(
            *common, "--beside", tmp_path / "bad.npz"
        )
    assert "exists" in refused(*common, "--keep-tokens", kept)
    assert "tokens are had of encodec" in refused(*common, "--references", "opus:6000")
