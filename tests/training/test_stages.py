"""A run in stages: each with its numbers and data, the same to the bit wherever it is resumed."""

import re
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from l3ac_jax.config import ExperimentConfig, load_config
from l3ac_jax.training.logs import read_metrics
from l3ac_jax.training.optimizer import one_cycle
from tests.training.small_run import prepare_corpus, run_training, small_experiment, write_config
from tests.training.test_trainer import assert_same_to_the_bit

STEPS = 10  # of each stage
STAGES = [
    {"epochs": 1, "loss": {"waveform": 5.0, "mel": 1.0}, "data": {"gain_db": [-12.0, 0.0]}},
    {
        "epochs": 1,
        "loss": {"adversarial": 1.0},
        "optimizer": {"initial_rate": 1e-5, "peak_rate": 3e-5, "final_rate": 1e-6},
        "data": {"seconds": 0.15},
    },
]


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Path:
    """Two stages of one program, and a third with discriminators and longer crops."""
    corpus = prepare_corpus(tmp_path_factory.mktemp("corpus"))
    changes = {
        "epochs": 1,
        "loss": {"adversarial": 0.0},
        "checkpoints": {"every": 5, "keep_last": 20},
    }
    experiment = small_experiment(corpus, **changes).model_dump(mode="json", exclude_none=True)
    experiment["data"]["clips_per_epoch"] = 4 * STEPS
    experiment["training"]["stages"] = STAGES
    return write_config(
        ExperimentConfig.model_validate(experiment), tmp_path_factory.mktemp("config")
    )


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def finished(config, cache, tmp_path_factory) -> tuple[Path, str]:
    run = tmp_path_factory.mktemp("runs") / "undisturbed"
    return run, run_training(config, run, cache, variables={"JAX_LOG_COMPILES": "1"})


def test_each_stage_has_its_schedule_and_terms(finished, config):
    run, output = finished
    train = [e for e in read_metrics(run / "metrics.jsonl") if e["kind"] == "train"]
    assert [entry["step"] for entry in train] == list(range(1, 3 * STEPS + 1))
    rates = [entry["learning_rate"] for entry in train]
    expected = [
        float(one_cycle(stage.training.optimizer, STEPS, stage.begin).learning_rate(step))
        for stage in load_config(config).stages
        for step in range(stage.begin, stage.end)
    ]
    np.testing.assert_allclose(rates, expected, rtol=1e-5)
    assert max(rates[:STEPS]) > 9e-4 and max(rates[STEPS : 2 * STEPS]) > 9e-4
    assert max(rates[2 * STEPS :]) < 4e-5
    # What costs little is computed from the first stage on; its weight is 0 there.
    for entry in train[:STEPS]:
        assert entry["loss"] == pytest.approx(100 * entry["waveform"], rel=1e-5)
    for entry in train[STEPS : 2 * STEPS]:
        assert entry["loss"] == pytest.approx(5 * entry["waveform"] + entry["mel"], rel=1e-5)
    # Evaluations of all stages can be compared, and the best one found among them.
    *_, last = load_config(config).stages
    evaluations = [e for e in read_metrics(run / "metrics.jsonl") if e["kind"] == "evaluation"]
    assert {stage.end for stage in load_config(config).stages} <= {e["step"] for e in evaluations}
    for entry in evaluations:
        weights = last.training.loss
        weighed = weights.waveform * entry["waveform"] + weights.mel * entry["mel"]
        assert entry["loss"] == pytest.approx(weighed, rel=1e-5)
    judged = [entry["step"] for entry in train if "adversarial" in entry]
    assert judged == list(range(2 * STEPS + 1, 3 * STEPS + 1))
    assert "stage 2 of 3" in output and "stage 3 of 3" in output


def test_other_weights_compile_nothing(finished):
    _, output = finished
    compiled = Counter(re.findall(r"Finished XLA compilation of jit\((\w+)\)", output))
    assert compiled["train_generator"] == 2  # without and with discriminators
    assert compiled["train_discriminators"] == 1
    assert compiled["of_evaluation"] == 1


@pytest.mark.parametrize("step", [5, 10, 15, 20])
def test_a_resumed_run_comes_to_the_same_parameters(finished, config, cache, tmp_path, step):
    run, again = finished[0], tmp_path / "again"
    shutil.copytree(run, again)
    for checkpoint in (again / "checkpoints").iterdir():
        if checkpoint.is_dir() and int(checkpoint.name) > step:
            shutil.rmtree(checkpoint)
    output = run_training(config, again, cache)
    assert f"going on from step {step}" in output
    last = 3 * STEPS
    assert_same_to_the_bit(again, run, last)


def test_within_a_stage_its_data_cannot_change(finished, config, cache, tmp_path):
    again = tmp_path / "again"
    shutil.copytree(finished[0], again)
    for checkpoint in (again / "checkpoints").iterdir():
        if checkpoint.is_dir() and int(checkpoint.name) > 15:
            shutil.rmtree(checkpoint)
    changed = tmp_path / "changed.toml"
    text = config.read_text()
    assert text.count("-12.0,") >= 1
    changed.write_text(text.replace("-12.0,", "-11.0,"))
    output = run_training(changed, again, cache, code=2)
    assert "the data differ from those that this training began with" in output
