"""experiments/gpu_programs.py: programs compiled for a machine that need not be there."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from tests.quick import QUICK_FLAGS

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
SCRIPT = EXPERIMENTS / "gpu_programs.py"
CONFIG = EXPERIMENTS / "gpu_benchmark" / "tiny.toml"
DESCRIPTION = EXPERIMENTS / "ahead_of_time" / "h200.txtpb"


def run(*words: object, config: Path = CONFIG) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, SCRIPT, config, *map(str, words)],
        env=os.environ | {"XLA_FLAGS": QUICK_FLAGS},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_codecs_programs_are_compiled_and_counted(tmp_path):
    out = tmp_path / "found.json"
    done = run("--target", "cpu", "--programs", "encode", "decode", "--seconds", 0.3, "--out", out)
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    assert [one["name"] for one in found["programs"]] == ["encode", "decode"]
    for one in found["programs"]:
        assert 20 < sum(one["steps"].values()) < one["instructions"]
        assert one["compile_s"] > 0 and one["lower_s"] > 0 and one["memory_gib"] > 0
    again = run("--target", "cpu", "--programs", "encode", "--out", out)
    assert again.returncode == 2 and "--overwrite" in again.stderr


def test_training_has_a_generator_and_an_evaluation(tmp_path):
    out = tmp_path / "found.json"
    done = run("--target", "cpu", "--programs", "generator", "evaluation", "--out", out)
    assert done.returncode == 0, done.stderr
    generator, evaluation = json.loads(out.read_text())["programs"]
    assert (generator["name"], evaluation["name"]) == ("generator", "evaluation")
    assert generator["instructions"] > 2 * evaluation["instructions"]


def test_a_teacher_is_an_argument_of_the_step(tmp_path):
    out = tmp_path / "found.json"
    config = EXPERIMENTS.parent / "configs" / "ablations" / "stream" / "distilled.toml"
    small = ("--data.batch-size", 1, "--data.seconds", 0.2)
    words = ("--target", "cpu", "--programs", "generator", *small, "--out", out)
    done = run(*words, config=config)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--target", "h300"), "cpu, h200"),
        (("--target", "cpu", "--clips", 0), "--clips and --seconds"),
        (("--target", "cpu", "--stage", 2), "--stage 2"),
        (("--target", "cpu", "--programs", "discriminators"), "adversarial"),
        (("--target", "cpu", "--no.such-key", 1), "no: unknown key"),
    ],
)
def test_mistakes_are_said_in_one_line(words, reason):
    done = run(*words)
    assert done.returncode == 2
    assert reason in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_target_without_the_plugin_or_that_is_none_is_refused(tmp_path):
    nonsense = tmp_path / "card.txtpb"
    nonsense.write_text("what: is this?")
    done = run("--target", nonsense, "--programs", "encode")
    assert done.returncode == 2
    assert "jax[cuda13]" in done.stderr or "describes no GPU" in done.stderr


def has_plugin() -> bool:
    try:
        import jax_plugins.xla_cuda13  # noqa: F401
    except ImportError:
        return False
    return True


@pytest.mark.skipif(not has_plugin(), reason="needs JAX's plugin for CUDA: jax[cuda13]")
def test_a_card_that_is_not_there_is_compiled_for(tmp_path):
    out = tmp_path / "found.json"
    done = run("--programs", "decode", "--seconds", 0.3, "--out", out)
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    assert "H200" in found["target"]
    (decode,) = found["programs"]
    assert decode["steps"]["cublas"] > 5  # the products are libraries' calls, as on a card


def test_steps_are_those_of_the_entry_computation(monkeypatch):
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    from ahead_of_time.compiling import steps_of

    text = """HloModule jit_f, is_scheduled=true

%fused (p: f32[2]) -> f32[2] {
  %p = f32[2]{0} parameter(0)
  ROOT %n = f32[2]{0} negate(%p)
}

ENTRY %main (x: f32[2]) -> (f32[2], f32[2]) {
  %x = f32[2]{0} parameter(0)
  %a = f32[2]{0} fusion(%x), kind=kLoop, calls=%fused
  %b = (f32[2]{0}, s8[4]{0}) custom-call(%a), custom_call_target="__cublas$lt$matmul"
  %c = f32[2]{0} get-tuple-element(%b), index=0
  %d = f32[2]{0} custom-call(%c), custom_call_target="__cudnn$convForward"
  ROOT %t = (f32[2]{0}, f32[2]{0}) tuple(%a, %d)
}
"""
    assert steps_of(text) == {"fusion": 1, "cublas": 1, "cudnn": 1}
    real = jax.jit(lambda x: jnp.sin(x @ x)).lower(jnp.ones((8, 8))).compile().as_text()
    assert real is not None and 1 <= sum(steps_of(real).values()) <= 4
