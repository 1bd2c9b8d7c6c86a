"""experiments/benchmark_stream.py in small: figures that hold together, whatever they are."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from l3ac_jax.config import ExperimentConfig, dump_config
from tests.small_configs import SMALL_CONFIGS

EXPERIMENTS = Path(__file__).parents[2] / "experiments"

LISTING = """HloModule jit_step, entry_computation_layout={(f32[8]{0})->f32[8]{0}}

%fused (p: f32[8]) -> f32[8] {
  %p = f32[8]{0} parameter(0)
  ROOT %a = f32[8]{0} add(%p, %p)
}

ENTRY %main (x: f32[8], y: f32[8]) -> (f32[8]) {
  %x = f32[8]{0} parameter(0)
  %y = f32[8]{0} parameter(1), metadata={op_name="call(y)"}
  %fusion.1 = f32[8]{0} fusion(%x), kind=kLoop, calls=%fused
  %two = (f32[8]{0}, f32[8]{0}) custom-call(%fusion.1, %y), custom_call_target="dot"
  %part = f32[8]{0} get-tuple-element(%two), index=0
  ROOT %out = (f32[8]{0}) tuple(%part)
}
"""


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(EXPERIMENTS))


def bench(folder, *words):
    command = [sys.executable, EXPERIMENTS / "benchmark_stream.py", *words]
    return subprocess.run(list(map(str, command)), cwd=folder, capture_output=True, text=True)


def test_steps_of_all_block_lengths_their_parts_and_memory_are_reported(tmp_path):
    """Of a decoder that norms over the clip, which the output says is approximated."""
    config = ExperimentConfig(model=SMALL_CONFIGS["baseline"])  # a token is 0.375 ms
    (tmp_path / "small.toml").write_text(dump_config(config))
    done = bench(
        tmp_path,
        "small.toml",
        *("--minutes", 0.001, "--blocks", 1.1, "--hours", 0.0001, "--out", "out.json"),
    )
    assert done.returncode == 0, done.stderr
    assert "random parameters (seed 0)" in done.stdout
    assert "statistics='running'), an approximation" in done.stdout
    report = json.loads((tmp_path / "out.json").read_text())
    assert [block["tokens"] for block in report["blocks"]] == [1, 3]
    assert [block["count"] for block in report["blocks"]] == [160, 53]  # 0.06 s
    for block in report["blocks"]:
        steps = block["steps"]
        for figures in steps.values():
            assert 0 < figures["median_ms"] <= figures["p99_ms"] <= figures["largest_ms"]
        shares = [steps[name]["of_real_time"] for name in ("encode", "decode", "both")]
        assert shares[2] == pytest.approx(shares[0] + shares[1])
        assert block["mib_before"] > 0 and block["mib_after"] > 0
    for part in ("encode", "decode"):
        found = report["one_token"][part]
        assert found["operations"] > 10 and 1 < found["state_arrays"] < 10  # packed
        assert 0 < found["weight_mib"] < 1 and found["empty_ms"] > 0 < found["step_ms"]
    minutes, mib = zip(*report["memory"]["minutes_mib"], strict=True)
    assert minutes[0] == 0 and minutes[-1] == pytest.approx(0.006, rel=0.01) and min(mib) > 0


def test_operations_are_those_of_the_program_itself():
    from stream_steps import operations

    assert operations(LISTING) == 2
    assert operations("") == 1


def test_parts_of_a_long_run_add_up():
    from benchmark_stream import _parts

    assert list(_parts(5, 12)) == [1] * 5
    assert sum(_parts(37, 12)) == 37 and len(list(_parts(37, 12))) == 12


def test_mistakes_are_one_line_that_names_them(tmp_path, capsys):
    from benchmark_stream import main

    (tmp_path / "out.json").touch()
    for words, message in {
        ("small", "--minutes", "0"): "--minutes: must be more than 0",
        ("small", "--blocks", "24", "-1"): "--blocks: must be more than 0",
        ("small", "--hours", "-1"): "--hours: must be 0 or more, got -1",
        ("small", "--out", str(tmp_path / "out.json")): f"{tmp_path / 'out.json'}: already exists",
        ("nowhere",): "nowhere: is neither a model",
    }.items():
        assert main(list(words)) == 2
        printed = capsys.readouterr()
        assert printed.err.startswith(f"benchmark_stream.py: error: {message}")
        assert printed.err.count("\n") == 1 and printed.out == ""
