"""Training runs from the outside: what they leave, and what they survive."""

import os
import random
import re
import signal
import socket
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from experiments.train import main
from l3ac_jax.codec.pretrained import get_model
from l3ac_jax.config import load_config
from l3ac_jax.training.logs import read_metrics
from l3ac_jax.weights.folder import best_checkpoint, load_model
from tests.training.small_run import (
    STEPS,
    prepare_corpus,
    run_training,
    small_experiment,
    start_training,
    write_config,
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    return prepare_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    """Of compiled programs, shared by all runs of this file."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def config(corpus, tmp_path_factory) -> Path:
    return write_config(small_experiment(corpus), tmp_path_factory.mktemp("config"))


@pytest.fixture(scope="module")
def finished(config, cache, tmp_path_factory) -> tuple[Path, str]:
    """A run that nothing disturbed, and what it printed."""
    run = tmp_path_factory.mktemp("runs") / "undisturbed"
    return run, run_training(config, run, cache, variables={"JAX_LOG_COMPILES": "1"})


def saved_arrays(run: Path, step: int = STEPS) -> dict[str, np.ndarray]:
    """Everything that a checkpoint holds, by path."""
    arrays = {}
    for item in ("params", "state"):
        with ocp.StandardCheckpointer() as checkpointer:
            tree = checkpointer.restore(run / "checkpoints" / str(step) / item)
        for path, leaf in jax.tree.leaves_with_path(tree):
            arrays[item + jax.tree_util.keystr(path)] = np.asarray(leaf)
    return arrays


def assert_same_to_the_bit(run: Path, other: Path, step: int = STEPS) -> None:
    ours, theirs = saved_arrays(run, step), saved_arrays(other, step)
    assert ours.keys() == theirs.keys() and len(ours) > 100
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name], err_msg=name)


def steps_of(run: Path, kind: str) -> list[int]:
    return [entry["step"] for entry in read_metrics(run / "metrics.jsonl") if entry["kind"] == kind]


def wait_for_step(run: Path, step: int, process) -> None:
    path = run / "metrics.jsonl"
    while process.poll() is None:
        if path.exists() and any(entry["step"] >= step for entry in read_metrics(path)):
            return
        time.sleep(0.01)


@pytest.mark.quick
def test_a_run_leaves_its_configuration_metrics_and_checkpoints(finished, config):
    run, output = finished
    assert load_config(run / "config.toml") == load_config(config)
    assert steps_of(run, "train") == list(range(1, STEPS + 1))
    assert steps_of(run, "evaluation") == [15, 30, STEPS]
    train = [e for e in read_metrics(run / "metrics.jsonl") if e["kind"] == "train"]
    assert all({"loss", "waveform", "adversarial", "features"} <= entry.keys() for entry in train)
    judged = [entry["step"] - 1 for entry in train if "discriminator_loss" in entry]
    assert judged == list(range(0, STEPS, 3))
    evaluation = read_metrics(run / "metrics.jsonl")[-1]
    assert evaluation["kind"] == "evaluation"
    expected = {"loss", "waveform", "stoi", "pesq", "codebook_usage", "codebook_entropy"}
    assert expected <= evaluation.keys()
    assert list((run / "tensorboard").iterdir())
    assert "new run" in output and f"step {STEPS}/{STEPS}" in output


def test_each_program_is_compiled_once(finished):
    _, output = finished
    compiled = Counter(re.findall(r"Finished XLA compilation of jit\((\w+)\)", output))
    for program in ("init", "train_generator", "train_discriminators", "of_evaluation"):
        assert compiled[program] == 1, compiled
    after = output[output.index("step 1/") :].partition(f"step {STEPS}/")[0]
    late = set(re.findall(r"Finished XLA compilation of jit\((\w+)\)", after))
    # The first evaluation is no step, and what saves a checkpoint was compiled before the first.
    assert late <= {"of_evaluation"}, late


def test_the_last_checkpoints_and_the_best_are_kept(finished):
    run, _ = finished
    steps = sorted(int(path.name) for path in (run / "checkpoints").iterdir() if path.is_dir())
    scores = {e["step"]: e["stoi"] for e in read_metrics(run / "metrics.jsonl") if "stoi" in e}
    best = max(scores, key=scores.__getitem__)
    assert steps == sorted({35, STEPS, best})
    assert best_checkpoint(run) == run / "checkpoints" / str(best)


def test_a_run_and_its_checkpoints_are_models(finished):
    """The averaged weights, where the run keeps an average."""
    run, _ = finished
    for folder in (run, run / "checkpoints" / str(STEPS)):
        codec = get_model(folder)
        audio = np.sin(np.arange(600, dtype=np.float32) / 9)[None] / 2
        assert codec.reconstruct(audio).shape == audio.shape
    _, params = load_model(run / "checkpoints" / str(STEPS))
    arrays = saved_arrays(run)
    kernel = params["decoder"]["output"]["kernel"]
    np.testing.assert_array_equal(kernel, arrays["params['decoder']['output']['kernel']"])
    assert not np.array_equal(kernel, arrays["state['params']['decoder']['output']['kernel']"])


@pytest.mark.quick
def test_a_run_killed_at_any_moment_comes_to_the_same_parameters(finished, config, cache, tmp_path):
    run = tmp_path / "run"
    moments = random.Random(os.getpid())
    # The first one perhaps before there is a checkpoint, the second one not.
    stops = [moments.randrange(2, 20), moments.randrange(20, STEPS - 1)]
    print("killed after steps", stops)
    for stop in stops:
        process = start_training(config, run, cache)
        wait_for_step(run, stop, process)
        time.sleep(moments.random() * 0.05)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        assert process.returncode in (-signal.SIGKILL, 0), output  # 0: it ended before the signal
    assert "going on from step" in run_training(config, run, cache)
    assert_same_to_the_bit(run, finished[0])
    # Each step stands there once, though some were taken twice.
    assert steps_of(run, "train") == list(range(1, STEPS + 1))
    assert steps_of(run, "evaluation") == [15, 30, STEPS]


# So many steps that the run does not end before it is asked to, on any machine.
ENDLESS = ("--training.epochs", "1000")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_processes_saves_and_leaves(finished, config, cache, tmp_path, number):
    run = tmp_path / "run"
    process = start_training(config, run, cache, *ENDLESS)
    wait_for_step(run, 7, process)
    os.killpg(process.pid, number)
    output, _ = process.communicate(timeout=3600)
    assert process.returncode == 128 + number, output
    last = steps_of(run, "train")[-1]
    assert last >= 7
    assert f"{number.name}: saved at step {last}" in output
    for name, array in saved_arrays(run, last).items():
        assert np.isfinite(array).all(), name


def test_a_process_that_compiled_for_long_leaves_its_run_to_a_new_one(finished, config, tmp_path):
    """It begins anew once, takes its programs from the cache, and ends with the same parameters.

    Here for however short that was: the programs are those of the undisturbed run.
    """
    run = tmp_path / "run"
    program = (
        "import sys; from experiments import train; "
        "train.LONG_COMPILATION_SECONDS = 0.0; sys.exit(train.main())"
    )
    output = run_training(
        config,
        run,
        tmp_path,
        variables={"JAX_LOG_COMPILES": "1"},
        program=("-c", program),
        may_begin_anew=True,
    )
    first, second = output.split("a new process goes on")
    assert "new run" in first and "going on from step 3" in second
    for name in ("train_generator", "train_discriminators", "of_evaluation"):
        assert f"Persistent compilation cache hit for 'jit_{name}'" in second
    assert_same_to_the_bit(run, finished[0])
    assert steps_of(run, "train") == list(range(1, STEPS + 1))


def test_a_finished_run_is_left_as_it_is(finished, config, cache):
    run, _ = finished
    before = (run / "metrics.jsonl").read_bytes()
    assert f"going on from step {STEPS}" in run_training(config, run, cache)
    assert (run / "metrics.jsonl").read_bytes() == before


def test_training_that_diverges_ends_with_the_last_good_checkpoint(corpus, cache, tmp_path):
    """The learning rate grows a hundredfold in each step until nothing is finite."""
    rates = {"initial_rate": 1e-4, "peak_rate": 1e38, "warmup": 0.5}
    loss = {"adversarial": 0.0}  # which is quicker to compile
    settings = small_experiment(
        corpus, loss=loss, optimizer=rates, max_skipped=3, average_decay=0.0
    )
    run = tmp_path / "run"
    output = run_training(write_config(settings, tmp_path), run, cache, code=1)
    skipped = [e for e in read_metrics(run / "metrics.jsonl") if e.get("skipped_in_row")]
    assert [entry["skipped_in_row"] for entry in skipped[-3:]] == [1, 2, 3]
    assert "not finite, like the steps before it, 3 in a row" in output and "peak_rate" in output
    assert "Traceback" not in output
    kept = sorted(int(path.name) for path in (run / "checkpoints").iterdir() if path.is_dir())
    for step in kept:
        assert all(np.isfinite(x).all() for x in saved_arrays(run, step).values())


def test_fine_tuning_begins_with_the_parameters_of_a_model(finished, config, cache, tmp_path):
    run = tmp_path / "tuned"
    still = (
        "--training.optimizer.initial-rate",
        "1e-30",
        "--training.optimizer.peak-rate",
        "1e-30",
    )
    words = (*still, "--training.optimizer.final-rate", "1e-30", "--training.epochs", "1")
    output = run_training(config, run, cache, "--fine-tune", str(finished[0]), *words)
    assert f"new run with the parameters of {finished[0]}" in output
    _, expected = load_model(best_checkpoint(finished[0]))
    _, found = load_model(run / "checkpoints" / str(STEPS // 2))
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_mistakes_cost_one_line_and_nothing_else(finished, config, tmp_path, capfd, monkeypatch):
    run, _ = finished
    checkpoints = sorted((run / "checkpoints").iterdir())
    monkeypatch.setattr("l3ac_jax.system.compilation.keep_compiled_programs", lambda: None)

    def mistake(folder: Path, *words: str) -> str:
        assert main([str(config), "--run-dir", str(folder), *words]) == 2
        said, found, error = capfd.readouterr().err.partition("train.py: error: ")
        assert found
        # what a slow machine says of what it compiles
        assert all(line.startswith("compil") for line in said.splitlines()), said
        return error

    other = mistake(run, "--model.transformer.window-size", "9")
    assert "model.transformer.window_size was 8, is 9" in other
    data = mistake(run, "--data.seed", "1")
    assert "the data differ from those that this training began with" in data
    assert "cannot change under way" in mistake(run, "--training.average-decay", "0")
    assert sorted((run / "checkpoints").iterdir()) == checkpoints
    assert load_config(run / "config.toml") == load_config(config)

    (tmp_path / "notes.txt").write_text("mine")
    assert "is no training run" in mistake(tmp_path)
    new = tmp_path / "new"
    wide = mistake(new, "--fine-tune", str(run), "--model.feature-dim", "24")
    assert "does not fit the configuration" in wide
    assert "--partly: needs --fine-tune MODEL" in mistake(new, "--partly")
    odd = mistake(new, "--data.batch-size", "5", "--training.micro-batches", "2")
    assert "data.batch_size is 5, which 1 devices with training.micro_batches = 2" in odd
    assert "unknown key; did you mean" in mistake(new, "--training.epoch", "2")
    none = mistake(new, "--training.loss.perceptual", "1", "--training.whisper", "nowhere.pt")
    assert "nowhere.pt" in none


def test_two_processes_cannot_train_in_one_folder(config, cache, tmp_path):
    run = tmp_path / "run"
    first = start_training(config, run, cache, *ENDLESS)
    try:
        while not (run / "lock").exists() and first.poll() is None:
            time.sleep(0.01)
        output = run_training(config, run, cache, *ENDLESS, code=2)
        assert "another process is training here" in output
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.communicate()


def test_two_connected_processes_train_one_model(corpus, cache, tmp_path):
    settings = small_experiment(corpus, epochs=1, checkpoints={"every": 8})
    config, run = write_config(settings, tmp_path), tmp_path / "run"
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    words = ("--coordinator", address, "--processes", "2", "--process")
    both = [start_training(config, run, cache, *words, str(i)) for i in range(2)]
    outputs = [process.communicate(timeout=3600)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert "2 x cpu in 2 processes" in outputs[0]
    assert steps_of(run, "train") == list(range(1, STEPS // 2 + 1))
    assert steps_of(run, "evaluation") == [15, STEPS // 2]
    last = read_metrics(run / "metrics.jsonl")[-1]
    assert np.isfinite([last["loss"], last["stoi"], last["codebook_usage"]]).all()
    assert get_model(run).encode(np.zeros((1, 40), np.float32)).shape == (1, 10)
