"""Models as one file, and as folders with a card."""

import importlib.util
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import l3ac_jax
from l3ac_jax.config import load_config
from l3ac_jax.evaluation.report import ClipScores, Codec, Interval, Report, Summary, write_report
from l3ac_jax.model.params import parameter_count
from l3ac_jax.weights.file import load_model_file
from tests.small_configs import SMALL_CONFIGS

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
CONFIG = SMALL_CONFIGS["baseline"]


@pytest.fixture(scope="module")
def export():
    spec = importlib.util.spec_from_file_location("export", EXPERIMENTS / "export.py")
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["export"] = module  # where its dataclass looks for the names of types
    spec.loader.exec_module(module)
    return module


def evaluation(folder: Path, **changes) -> Path:
    """A report of the tests' model, beside a codec of another kind."""
    ours = Codec(
        name="mine",
        kind="l3ac",
        bitrate=CONFIG.bitrate,
        sample_rate=16000,
        levels=CONFIG.quantizer.levels,
        parameters=parameter_count(CONFIG),
    ).model_copy(update=changes)
    codecs = (ours, Codec(name="opus6k", kind="opus", bitrate=5615.0, sample_rate=16000))
    score = Interval(mean=0.8512, low=0.84, high=0.86, clips=3)
    report = Report(
        data="recordings",
        seed=0,
        codecs=codecs,
        clips=(ClipScores(codec="mine", clip="a", domain="speech", seconds=1.0, scores={}),),
        summaries=tuple(
            Summary(codec=codec.name, domain="speech", clips=3, seconds=9.0, scores={"stoi": score})
            for codec in codecs
        ),
    )
    folder.mkdir()
    write_report(folder, report)
    return folder


def refused(export, capsys, *words: object) -> str:
    assert export.main([str(word) for word in words]) == 2
    return capsys.readouterr().err


def test_a_file_and_what_half_precision_costs(export, model_folder, tmp_path, capsys):
    path = tmp_path / "model.safetensors"
    assert export.main([str(model_folder), str(path)]) == 0
    assert path.stat().st_size < 3 * parameter_count(CONFIG)
    line = capsys.readouterr().out
    assert f"{path}: " in line
    assert "in half precision (of 15 s of speech and music, " in line
    assert load_model_file(path)[0] == l3ac_jax.get_model(model_folder).config
    # Numbers that half precision has are written as they are, and no cost is claimed.
    again = tmp_path / "again.safetensors"
    assert export.main([str(path), str(again)]) == 0
    assert "which is exact" in capsys.readouterr().out
    (config, params), (other, others) = map(load_model_file, (path, again))
    assert config == other
    assert jax.tree.all(jax.tree.map(np.array_equal, params, others))


def test_a_folder_with_a_card(export, model_folder, tmp_path, capsys):
    out, about = tmp_path / "codec", tmp_path / "about.md"
    about.write_text("It is for tests.\n")
    words = [model_folder, out, "--card", "--about", about, "--licence", "mit", "--precision"]
    words += ["float32", "--evaluation", evaluation(tmp_path / "evaluation")]
    assert export.main([str(word) for word in words]) == 0
    assert {path.name for path in out.iterdir()} == export.FILES
    card = (out / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: l3ac-jax\n")
    for part in (
        "license: mit\n",
        "# codec\n",
        "It is for tests.",
        "in float32",
        f'get_model("{out}")',
        "| speech | mine | opus6k |",
        "| bit/s | ",
        "| STOI | 0.851 ± 0.010 | 0.851 ± 0.010 |",
        "3 clips, 9 s.",
    ):
        assert part in card
    assert str(tmp_path) not in (out / "config.toml").read_text()
    exported, original = l3ac_jax.get_model(out), l3ac_jax.get_model(model_folder)
    assert load_config(out / "config.toml").model == exported.config == original.config
    audio = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 4000)).astype(np.float32)
    np.testing.assert_array_equal(exported.encode(audio), original.encode(audio))
    # Again only where that is wanted, and nothing of others is lost.
    command = [str(model_folder), str(out), "--card"]
    assert "exists already" in refused(export, capsys, *command)
    (out / "mine.txt").touch()
    assert "since it also holds mine.txt" in refused(export, capsys, *command, "--overwrite")


def test_a_card_of_a_run_names_no_places(export, tmp_path):
    out = tmp_path / "small"
    assert export.main(["small", str(out), "--card", "--precision", "float32"]) == 0
    config = load_config(out / "config.toml")
    assert config.stages[-1].end == 9500
    assert {corpus.path for corpus in config.data.corpora} == {
        str(out / name) for name in ("speech", "music", "general")
    }
    assert "/" not in "".join(
        line for line in (out / "config.toml").read_text().splitlines() if "path" in line
    )
    assert "9,500 steps" in (out / "README.md").read_text()


def test_programs(export, model_folder, tmp_path, capsys):
    out = tmp_path / "programs"
    command = [str(model_folder), str(out), "--format", "stablehlo", "--block", "2"]
    assert export.main(command) == 0
    lines = capsys.readouterr().out
    assert "no step of the decoder: the decoder norms by statistics over the whole clip" in lines
    assert {path.name for path in out.iterdir()} == {
        "codec.json",
        "decoder.stablehlo",
        "encoder.stablehlo",
        "encoder_step.stablehlo",
        "states.safetensors",
    }
    assert "exists already" in refused(export, capsys, *command)


def test_figures_of_another_model_are_refused(export, model_folder, tmp_path, capsys):
    other = evaluation(tmp_path / "evaluation", parameters=7)
    line = refused(export, capsys, model_folder, tmp_path / "out", "--card", "--evaluation", other)
    assert "evaluates mine, opus6k, of which none is a model like this one" in line
    assert not (tmp_path / "out").exists()


def test_mistakes(export, model_folder, tmp_path, capsys):
    out = tmp_path / "out"
    for words, reason in [
        (("nowhere", tmp_path / "a.safetensors"), "nowhere: is neither a model"),
        ((model_folder, out), "the name of a model file ends with .safetensors"),
        ((model_folder, out, "--licence", "mit"), "need --card"),
        ((model_folder, out, "--card", "--push", "name"), "give OWNER/NAME"),
        ((model_folder, out, "--card", "--private"), "--private is for"),
        ((model_folder, out, "--card", "--about", out / "no.md"), "no.md: no such file"),
        ((model_folder, out, "--card", "--evaluation", out), "cannot be read"),
        ((model_folder, out, "--format", "stablehlo", "--card"), "--card and --push are for"),
        ((model_folder, out, "--format", "stablehlo", "--precision", "float32"), "in float32"),
        ((model_folder, out, "--format", "stablehlo", "--block", "0"), "1 token or more: got 0"),
        ((model_folder, out, "--block", "2"), "parameters have no steps"),
    ]:
        assert reason in refused(export, capsys, *words)
        assert not out.exists()


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # huggingface_hub's own
def test_pushed_to_the_hub(export, model_folder, tmp_path, hub, monkeypatch, capsys):
    import huggingface_hub.constants as hub_constants

    monkeypatch.setattr(hub_constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(hub_constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    out = tmp_path / "codec"
    command = [str(model_folder), str(out), "--card", "--push", "somebody/codec"]
    command += ["--precision", "float32"]
    assert "401" in refused(export, capsys, *command)
    hub.token = "hf_right"
    assert export.main([*command, "--overwrite"]) == 0
    assert f"{hub.endpoint}/somebody/codec" in capsys.readouterr().out
    card = hub.files["/somebody/codec/resolve/main/README.md"].decode()
    assert 'get_model("hf://somebody/codec")' in card
    codec = l3ac_jax.get_model("hf://somebody/codec")
    assert codec.config == l3ac_jax.get_model(model_folder).config
