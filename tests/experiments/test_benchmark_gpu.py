"""The benchmark of a GPU: fair, honest about what is missing, and complete on a CPU."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "experiments" / "benchmark_gpu.py"
JOBS = "tests.experiments.benchmark_jobs"


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "experiments"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture
def carry_out(tmp_path):
    """Carry out measurements of jobs, each given as (name of the function, arguments, limit)."""
    from gpu_benchmark.plan import Job, Measurement, Settings
    from gpu_benchmark.record import Record
    from gpu_benchmark.scheduler import Scheduler

    lines = []
    (tmp_path / "work").mkdir()
    settings = Settings(tiny=False, work=str(tmp_path / "work"))

    def carry_out(*plan, seconds=300.0, limits=None, repeats=3):
        measurements = [
            Measurement(
                "section",
                f"measurement {number}",
                tuple(
                    Job(name, f"{JOBS}:{name}", arguments, limit=limit)
                    for name, arguments, limit in jobs
                ),
                warm_up=1,
                repeats=repeats,
                audio_seconds=6.0,
            )
            for number, jobs in enumerate(plan)
        ]
        record = Record(tmp_path, {}, lines.append)
        record.add(measurements)
        deadline = time.monotonic() + seconds
        Scheduler(measurements, record, settings, deadline, 2, limits or {}).run()
        return {entry["job"]: entry for entry in results(tmp_path)}

    carry_out.lines = lines
    return carry_out


def job(name, limit=300.0, **arguments):
    return name, arguments, limit


def results(folder):
    return json.loads((folder / "results.json").read_text())["results"]


def test_medians_of_the_runs_after_warming_up(carry_out):
    (entry,) = carry_out([job("quick")]).values()
    assert entry["status"] == "done"
    assert entry["figures"] == {
        "answer": 42,
        "step_ms": 3.0,
        "times_real_time": 2000.0,
        "slowest_step_ms": 4.0,
        "runs": {"step_ms": [2.0, 3.0, 4.0]},
        "runs_taken": 4,
    }
    assert "section: measurement 0, quick: answer 42, step 3.00 ms" in carry_out.lines[0]


def test_nothing_else_runs_while_something_is_timed(carry_out, tmp_path):
    files = {name: str(tmp_path / name) for name in ("begun", "until")}
    found = carry_out([job("compiles", **files)], [job("is_timed", **files)])
    assert [entry["status"] for entry in found.values()] == ["done", "done"]
    moments = json.loads((tmp_path / "work" / "compiling.json").read_text())
    spans = json.loads((tmp_path / "work" / "timed.json").read_text())
    # A signal is there at once, but for the moment in which the other is told.
    during = [m for m in moments for start, end in spans if start + 0.02 < m < end]
    assert moments[0] < spans[0][0] and moments[-1] > spans[-1][1] and not during
    # What a compiler was stopped for is not compiling.
    stopped = sum(end - start for start, end in spans)
    assert found["compiles"]["figures"]["compile_s"] <= moments[-1] - moments[0] - stopped + 0.02


def test_failures_are_kept_with_their_reason_and_the_others_go_on(carry_out):
    found = carry_out([job("broken"), job("quick"), job("dies")], [job("breaks_off")])
    assert found["quick"]["status"] == "done" and "step_ms" in found["quick"]["figures"]
    assert found["broken"]["status"] == "failed"
    assert found["broken"]["reason"] == "ValueError: there is no such thing"
    assert found["dies"]["reason"] == "the process ended with exit code 3: out of memory, say"
    assert found["breaks_off"]["reason"] == "RuntimeError: the second thought"


def test_what_is_stuck_is_left_out(carry_out):
    found = carry_out([job("stuck", limit=0.1)], [job("quick")])
    assert found["stuck"]["status"] == "left out"
    assert found["stuck"]["reason"] == "no time: not ready after 0 s"
    assert found["quick"]["status"] == "done"


def test_what_there_is_no_time_for_is_said(carry_out, tmp_path):
    endless = job("compiles", begun=str(tmp_path / "begun"), until="never")
    found = carry_out([job("stuck"), endless, job("quick")], seconds=1.0)
    assert {(entry["status"], entry["reason"]) for entry in found.values()} == {
        ("left out", "no time")
    }
    assert len(carry_out.lines) == 3


def test_a_section_has_its_own_time(carry_out):
    found = carry_out([job("stuck")], limits={"section": 0.1})
    assert found["stuck"]["reason"] == "no time: this section's 0 s are over"


def test_without_the_official_code_its_sides_are_left_out(tmp_path, monkeypatch):
    import benchmark_gpu
    from gpu_benchmark.record import Record
    from gpu_benchmark.sections import SECTIONS, make_plan

    monkeypatch.setattr(benchmark_gpu, "has_torch", lambda: False)
    plan = make_plan(SECTIONS, tiny=False)
    record = Record(tmp_path, {}, lambda _: None)
    record.add(plan)
    remaining = benchmark_gpu._possible(plan, record)
    entries = results(tmp_path)
    theirs = {"PyTorch", "official"}
    for entry in entries:
        assert (entry["status"] == "left out") == (entry["job"].split(",")[0] in theirs), entry
        assert entry["status"] == "planned" or "extra `torch`" in entry["reason"]
    jobs = [job.name for measurement in remaining for job in measurement.jobs]
    assert len(jobs) == sum(entry["status"] == "planned" for entry in entries)


def start(folder, *words, **variables):
    """The command in tiny sizes; its temporary files beside its results."""
    (folder / "tmp").mkdir()
    command = [sys.executable, SCRIPT, "--tiny", "--out", folder / "out", *words]
    return subprocess.Popen(
        [*map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"TMPDIR": str(folder / "tmp"), "OMP_NUM_THREADS": "1"} | variables,
    )


def processes_about(folder):
    """The processes whose command line names a folder (Linux)."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue
        if os.fsencode(folder) in words:
            found.append(path.parent.name)
    return found


def test_all_sections_in_tiny_sizes(tmp_path):
    pytest.importorskip("torch", reason="half of its jobs are the official code's")
    with start(tmp_path, "--at-once", "2", "--minutes", "30") as process:
        output, _ = process.communicate()
    assert process.returncode == 0, output
    entries = results(tmp_path / "out")
    assert {entry["status"] for entry in entries} == {"done"}, output
    found = {(entry["section"], entry["job"]): entry.get("figures", {}) for entry in entries}
    assert {section for section, _ in found} == {
        "first", "exactness", "inference", "steps", "compilation", "resume", "data", "precision",
    }  # fmt: skip
    exact = found["exactness", "ours, exact"]
    assert exact["same_tokens_percent"] > 99 and exact["tokens_unlike_the_cpu"] == 0
    assert exact["error_rms"] < 4 * found["exactness", "official, float64"]["float32_error_rms"]
    assert found["resume", "as it is"]["same_to_the_bit"] == "yes"
    assert len(found["precision", "tf32"]["losses"]) == 6
    for side in ("ours, float32", "PyTorch, TF32"):
        assert found["steps", side]["step_ms"] > 0
    # Each came as a line, and again in the table.
    assert output.count("same to the bit yes") >= 1 and "compilation" in output
    assert not list((tmp_path / "tmp").iterdir())


def test_a_killed_benchmark_keeps_what_it_has_and_leaves_no_process(tmp_path):
    with start(tmp_path, "--sections", "steps") as process:
        while not any(tmp_path.glob("out/logs/steps*")):
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        process.kill()
    entries = results(tmp_path / "out")
    statuses = {
        (entry["section"], entry["measurement"]): entry["status"]
        for entry in entries
        if not entry["job"].startswith("PyTorch")  # left out where that is not installed
    }
    assert statuses["first", "machine"] == "done" and statuses["steps", "generator"] == "planned"
    until = time.monotonic() + 60
    while processes_about(tmp_path) and time.monotonic() < until:
        time.sleep(0.05)
    assert not processes_about(tmp_path)


def test_an_interrupted_benchmark_says_so(tmp_path):
    with start(tmp_path, "--sections", "inference") as process:
        # Its first job compiles for seconds from here; before, nothing might have begun.
        while not any(tmp_path.glob("out/logs/inference*")):
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate()
    assert process.returncode == 130, output
    assert output.splitlines()[-1] == (
        "benchmark_gpu.py: interrupted, what was measured so far is in the results"
    )
    machine, first, *_ = results(tmp_path / "out")
    assert machine["status"] == "done" and first["reason"] == "interrupted"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--whisper", "nowhere.pt"], "nowhere.pt: does not exist"),
        (["--minutes", "0"], "--minutes, --train-steps and --at-once must be above 0"),
        (["--sections", "music"], "music"),
    ],
)
def test_mistakes_are_named(tmp_path, words, message):
    with start(tmp_path, *words) as process:
        output, _ = process.communicate()
    assert process.returncode == 2 and message in output
    assert not (tmp_path / "out").exists()
