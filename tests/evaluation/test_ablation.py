"""What an ablation runs: one budget, the same seeds, and nothing twice."""

from pathlib import Path

import pytest

from l3ac_jax.config import dump_config, load_config
from l3ac_jax.errors import ConfigError, OutputError
from l3ac_jax.evaluation.ablation import (
    AblationRun,
    begin,
    evaluate_run,
    plan_runs,
    read_variants,
)
from l3ac_jax.evaluation.clips import EvaluationClip
from l3ac_jax.evaluation.evaluate import Settings
from l3ac_jax.evaluation.report import ClipScores, Report, write_report
from l3ac_jax.evaluation.scoring import Extras
from tests.training.small_run import STEPS, small_experiment

NOISE = "[model.quantizer]\nnoise_rate = "


@pytest.fixture
def base(tmp_path) -> Path:
    path = tmp_path / "base.toml"
    path.write_text(dump_config(small_experiment(tmp_path / "corpus")))
    return path


@pytest.fixture
def variant(tmp_path, base):
    def write(name: str, text: str, based_on: str = base.name) -> Path:
        path = tmp_path / f"{name}.toml"
        path.write_text(f'base = "{based_on}"\n{text}')
        return path

    return write


def test_the_budget_is_one_of_steps(base, variant):
    quiet = variant("quiet", f"{NOISE}0.0")
    as_they_are = read_variants([base, quiet])
    assert [v.name for v in as_they_are] == ["base", "quiet"]
    assert {run.steps for run in plan_runs(as_they_are, [0], "out")} == {STEPS}
    seven = plan_runs(read_variants([base, quiet], steps=7), [0], "out")
    assert [run.steps for run in seven] == [7, 7]
    assert [run.config.data.steps_per_epoch for run in seven] == [7, 7]
    longer = variant("longer", "[training]\nepochs = 3")
    with pytest.raises(ConfigError, match=r"one budget, but their steps are base 40, longer 60"):
        read_variants([base, longer])
    assert len(read_variants([base, longer], steps=7)) == 2


def test_overrides_hold_for_all(base, variant):
    words = ["--training.loss.waveform", "3", "--data.seconds=0.2"]
    for found in read_variants([base, variant("quiet", f"{NOISE}0.0")], words, steps=2):
        assert (found.config.training.loss.waveform, found.config.data.seconds) == (3, 0.2)


def test_changes_are_laid_over_another_base(base, variant):
    large = variant("quiet", f"{NOISE}0.0", based_on="nowhere.toml")
    plain, quiet = (found.config for found in read_variants([base, large], base=base))
    assert plain == load_config(base)
    assert quiet.model.quantizer.noise_rate == 0 != plain.model.quantizer.noise_rate
    assert quiet.model.encoder == plain.model.encoder


def test_each_seed_is_that_of_parameters_and_data(base):
    runs = plan_runs(read_variants([base]), [3, 5], "out")
    assert [(run.seed, run.config.training.seed, run.config.data.seed) for run in runs] == [
        (3, 3, 3),
        (5, 5, 5),
    ]
    assert [run.folder for run in runs] == [Path("out/base/seed-3"), Path("out/base/seed-5")]


def test_variants_of_the_same_configuration_share_their_runs(base, variant):
    same = variant("same", f"{NOISE}0.5")
    runs = plan_runs(read_variants([base, variant("quiet", f"{NOISE}0.0"), same]), [0, 1], "out")
    assert [(run.variants, run.seed) for run in runs] == [
        (("base", "same"), 0),
        (("base", "same"), 1),
        (("quiet",), 0),
        (("quiet",), 1),
    ]


def test_a_folder_of_another_configuration_is_refused_with_the_difference(base, tmp_path):
    def planned(steps: int) -> list[AblationRun]:
        return plan_runs(read_variants([base], steps=steps), [0], tmp_path / "out")

    begin(planned(7)[0])
    begin(planned(8)[0])  # nothing was trained yet
    begin(planned(7)[0])
    assert load_config(planned(7)[0].experiment) == planned(7)[0].config
    planned(7)[0].training.mkdir()
    planned(7)
    with pytest.raises(
        ConfigError, match=r"another configuration: data.clips_per_epoch was 28, is"
    ):
        planned(8)


def test_a_folder_with_another_beginning_is_refused(base, tmp_path):
    def planned(*beginning: str) -> AblationRun:
        (run,) = plan_runs(read_variants([base]), [0], tmp_path / "out", beginning)
        return run

    tuned = ["--fine-tune", "small", "--fresh", "quantizer"]
    begin(planned(*tuned))
    planned().training.mkdir()
    assert planned(*tuned).beginning == tuple(tuned)
    with pytest.raises(
        ConfigError, match="with --fine-tune small --fresh quantizer, is to with random parameters"
    ):
        planned()


def test_a_run_is_trained_when_its_last_step_is_kept(base, tmp_path):
    (run,) = plan_runs(read_variants([base], steps=7), [0], tmp_path / "out")
    assert not run.is_trained
    (run.training / "checkpoints" / "5").mkdir(parents=True)
    assert not run.is_trained
    (run.training / "checkpoints" / "7").mkdir()
    assert run.is_trained


def test_mistakes_are_named(base, variant, tmp_path):
    (tmp_path / "other").mkdir()
    namesake = tmp_path / "other" / "base.toml"
    namesake.write_text(base.read_text())
    with pytest.raises(ConfigError, match="base: two files have this name"):
        read_variants([base, namesake])
    with pytest.raises(ConfigError, match="seeds must differ: got 1, 1"):
        plan_runs(read_variants([base]), [1, 1], "out")
    model_only = tmp_path / "model.toml"
    model_only.write_text(base.read_text().split("[data]")[0])
    with pytest.raises(
        ConfigError, match=r"model.toml: for training, the table \[data\] is needed"
    ):
        read_variants([model_only])
    (run,) = plan_runs(read_variants([base]), [0], tmp_path / "out")
    run.experiment.mkdir(parents=True)
    with pytest.raises(OutputError, match=r"experiment.toml: is a folder"):
        begin(run)


def test_an_evaluation_is_taken_again_unless_it_lacks_clips_or_scores(base, tmp_path, monkeypatch):
    (run,) = plan_runs(read_variants([base]), [0], tmp_path / "out")
    scores = ClipScores(codec=run.name, clip="a.wav", domain="x", seconds=1, scores={"pesq": 1.0})
    kept = Report(data="data", seed=0, codecs=(), clips=(scores,), summaries=())
    run.evaluation.mkdir(parents=True)
    write_report(run.evaluation, kept)
    made = []
    monkeypatch.setattr("l3ac_jax.codec.pretrained.get_model", lambda folder: None)
    monkeypatch.setattr("l3ac_jax.evaluation.codecs.NeuralCodec", lambda name, codec: None)
    monkeypatch.setattr(
        "l3ac_jax.evaluation.evaluate.evaluate", lambda *given: made.append(given) or kept
    )

    def evaluated(clip="a.wav", **settings):
        clips = [EvaluationClip(clip, "x", tmp_path / clip)]
        evaluate_run(run, clips, "data", Settings(**settings), lambda *_: None)
        return len(made)

    assert evaluated() == 0
    assert evaluated(extras=Extras(music=True)) == 1
    assert evaluated("b.wav") == 2
    assert evaluated(seed=1) == 3
