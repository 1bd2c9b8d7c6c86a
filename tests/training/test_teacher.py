"""A model that another one learns from: which it may be, and a run that has one."""

from pathlib import Path

import jax
import numpy as np
import pytest

from experiments.train import main
from l3ac_jax.config import CodecConfig, ExperimentConfig, load_config, without_places
from l3ac_jax.config.training import TrainingConfig
from l3ac_jax.errors import ConfigError
from l3ac_jax.training.logs import read_metrics
from l3ac_jax.training.teacher import load_teacher
from l3ac_jax.weights.folder import save_model
from l3ac_jax.weights.sources import load_params
from tests.training.batches import random_params
from tests.training.small_run import (
    ROOT,
    TINY,
    TRAINING,
    prepare_corpus,
    run_training,
    small_experiment,
    write_config,
)

STUDENT = CodecConfig.model_validate(
    {
        **TINY.model_dump(),
        "causal": True,
        "decoder": {**TINY.decoder.model_dump(), "norm_statistics": "running"},
    }
)
DATA = {
    "corpora": [{"corpus": "folder", "path": "unused"}],
    "batch_size": 4,
    "seconds": 0.1,
    "clips_per_epoch": 8,
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    return prepare_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory) -> Path:
    """A wider network that hears the whole clip."""
    config = TINY.model_copy(update={"feature_dim": 12})
    folder = tmp_path_factory.mktemp("models") / "teacher"
    save_model(folder, ExperimentConfig(model=config), random_params(config, seed=7))
    return folder


def student(corpus: Path, teacher: Path, **loss: float) -> ExperimentConfig:
    experiment = small_experiment(
        corpus,
        epochs=1,
        average_decay=0.0,
        loss={"adversarial": 0.0, **loss},
        teacher=str(teacher),
    )
    data = experiment.data.model_copy(update={"clips_per_epoch": 4 * 12, "evaluation": None})
    return experiment.model_copy(update={"model": STUDENT, "data": data})


def test_a_causal_student_comes_closer_to_a_teacher_that_hears_all(corpus, teacher, tmp_path):
    """And keeps nothing of it but its place."""
    config = student(corpus, teacher, waveform=0.0, distillation=10.0)
    run = tmp_path / "run"
    run_training(write_config(config, tmp_path), run, tmp_path / "cache")
    entries = [e for e in read_metrics(run / "metrics.jsonl") if e["kind"] == "train"]
    assert len(entries) == 12
    for entry in entries:
        assert entry["loss"] == pytest.approx(10 * entry["distillation"], rel=1e-5)
    assert entries[-1]["distillation"] < 0.9 * entries[0]["distillation"]
    found, params = load_params(run)
    assert found == STUDENT and params["encoder_transformer"].keys()
    assert load_config(run / "config.toml").training.teacher == str(teacher)


def test_only_the_encoders_half_of_a_teacher_is_taken(teacher):
    config, params = load_teacher(str(teacher), STUDENT)
    assert config.feature_dim == 12
    assert params.keys() == {"encoder", "encoder_transformer", "quantizer"}
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(params))


def test_a_teacher_with_other_tokens_is_one_error_before_anything_is_written(
    corpus, teacher, tmp_path, capfd
):
    with pytest.raises(ConfigError) as error:
        load_teacher("small", STUDENT)
    assert "training.teacher: small: its tokens are not those of the configuration" in str(error)
    assert "hop in samples 96, not 4; levels (9, 9, 9, 7, 7, 7), not (5, 4, 3)" in str(error)
    assert "rate" not in str(error.value)
    config = write_config(student(corpus, teacher, distillation=1.0), tmp_path)
    run = tmp_path / "run"
    model, weight = "--training.teacher", "--training.loss.distillation"
    for key, value, said in (
        (weight, "0", "command line: training.teacher: is "),
        (model, "small", "its tokens are not those of the configuration"),
        (
            model,
            "$NOWHERE_AT_ALL/model",
            "training.teacher: $NOWHERE_AT_ALL/model: the environment",
        ),
        (model, "nowhere", f"{Path.cwd() / 'nowhere'}: is neither a model"),
    ):
        assert main([str(config), "--run-dir", str(run), key, value]) == 2
        assert said in capfd.readouterr().err
        assert not run.exists()


@pytest.mark.parametrize("in_a_stage", [False, True])
def test_a_weight_needs_a_teacher_and_a_teacher_a_weight(in_a_stage):
    def config(weight: float, teacher: str | None) -> TrainingConfig:
        stage = {"epochs": 1, "optimizer": {}, "data": DATA, "loss": {"distillation": weight}}
        changes = {"stages": [stage]} if in_a_stage else {"loss": stage["loss"]}
        return TrainingConfig.model_validate({**TRAINING, **changes, "teacher": teacher})

    with pytest.raises(ValueError, match="there is no teacher to learn from: name a model as"):
        config(1.0, None)
    with pytest.raises(ValueError, match="teacher is small, but"):
        config(0.0, "small")
    assert config(1.0, "small").teacher == "small" and config(0.0, None).teacher is None


@pytest.mark.parametrize(
    ("given", "meant", "told"),
    [
        ("small", "small", "small"),
        ("hf://owner/name", "hf://owner/name", "hf://owner/name"),
        ("../mine", "{folder}/mine", "mine"),
        ("$MODELS/mine", "$MODELS/mine", "mine"),
    ],
)
def test_a_teacher_is_a_name_or_a_place_seen_from_the_file(tmp_path, given, meant, told):
    (tmp_path / "configs").mkdir()
    path = tmp_path / "configs" / "student.toml"
    path.write_text(
        f'base = "{ROOT / "configs" / "smoke.toml"}"\n'
        f'[training]\nteacher = "{given}"\n[training.loss]\ndistillation = 1.0\n'
    )
    config = load_config(path)
    assert config.training.teacher == meant.format(folder=tmp_path)
    assert without_places(config).training.teacher == told
