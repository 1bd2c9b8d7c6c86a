"""What a run leaves: each step once, however often the run was killed and resumed."""

import inspect
import io
import json
import os
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image
from tensorboardX.proto import event_pb2

from l3ac_jax.errors import UserError
from l3ac_jax.plots.figures import spectrogram_image
from l3ac_jax.training.logs import METRICS_FILE, NoLog, RunLog, read_metrics

RATE = 16000


def events(folder: Path) -> list[event_pb2.Event]:
    """All that TensorBoard reads: records with a length, its checksum and their own around."""
    found = []
    for path in sorted(folder.glob("tensorboard/*tfevents*")):
        content = io.BytesIO(path.read_bytes())
        while header := content.read(12):
            (size,) = struct.unpack("<Q", header[:8])
            found.append(event_pb2.Event.FromString(content.read(size + 4)[:-4]))
    return found


def values(folder: Path) -> list[tuple[int, str, float]]:
    return [
        (event.step, value.tag, value.simple_value)
        for event in events(folder)
        for value in event.summary.value
    ]


def tone(frequency):
    return np.float32(0.5 * np.sin(2 * np.pi * frequency * np.arange(8000) / RATE))


def write_steps(log: RunLog, first: int, last: int) -> None:
    for step in range(first, last + 1):
        log.scalars(step, "train", {"loss": step / 2})


def steps(folder: Path) -> list[int]:
    return [entry["step"] for entry in read_metrics(folder / METRICS_FILE)]


def test_scalars_are_in_both_files(tmp_path):
    before = time.time()
    with RunLog(tmp_path / "run") as log:
        log.scalars(1, "train", {"loss": 0.5, "learning_rate": 5e-5})
        log.scalars(1, "evaluation", {"stoi": 0.75})
    train, evaluation = read_metrics(tmp_path / "run" / METRICS_FILE)
    assert before <= train.pop("time") <= evaluation.pop("time") <= time.time()
    assert train == {"step": 1, "kind": "train", "loss": 0.5, "learning_rate": 5e-5}
    assert evaluation == {"step": 1, "kind": "evaluation", "stoi": 0.75}
    assert values(tmp_path / "run") == [
        (1, "train/loss", 0.5),
        (1, "train/learning_rate", pytest.approx(5e-5)),
        (1, "evaluation/stoi", 0.75),
    ]


def test_what_is_not_finite_is_null_and_read_as_nan(tmp_path, capfd):
    with RunLog(tmp_path) as log:
        log.scalars(1, "train", {"loss": float("nan"), "gradient_norm": float("inf")})
    line = (tmp_path / METRICS_FILE).read_text()
    entry = json.loads(line, parse_constant=pytest.fail)  # NaN and Infinity are not JSON
    assert entry["loss"] is None and entry["gradient_norm"] is None
    (entry,) = read_metrics(tmp_path / METRICS_FILE)
    assert np.isnan(entry["loss"]) and np.isnan(entry["gradient_norm"])
    assert np.isnan(values(tmp_path)[0][2]) and values(tmp_path)[1][2] == float("inf")
    assert capfd.readouterr() == ("", "")


def test_metrics_with_names_of_the_log_are_refused(tmp_path):
    with RunLog(tmp_path) as log, pytest.raises(ValueError, match="called step or time"):
        log.scalars(1, "train", {"time": 1.0, "step": 2.0})
    assert read_metrics(tmp_path / METRICS_FILE) == []


def test_a_resumed_run_writes_each_step_once(tmp_path):
    with RunLog(tmp_path) as log:
        write_steps(log, 1, 100)
        log.scalars(100, "evaluation", {"stoi": 0.5})
        write_steps(log, 101, 130)
    kept = (tmp_path / METRICS_FILE).read_bytes().splitlines()[:101]
    with RunLog(tmp_path, start_step=100) as log:
        write_steps(log, 101, 140)
    lines = (tmp_path / METRICS_FILE).read_bytes().splitlines()
    assert lines[:101] == kept
    assert steps(tmp_path) == [*range(1, 101), 100, *range(101, 141)]
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [METRICS_FILE]

    # TensorBoard forgets what is on or after the step of a START event.
    shown: list[int] = []
    for event in events(tmp_path):
        if event.session_log.status == event.session_log.START:
            shown = [step for step in shown if step < event.step]
        shown += [event.step for value in event.summary.value if value.tag == "train/loss"]
    assert shown == [*range(1, 141)]


@pytest.mark.parametrize(
    ("rest", "last"),
    [
        (b'{"step": 3, "ki', 2),
        (b'{"step": 3, "kind": "train", "time": 1.5, "loss": 1.5}', 3),  # only its end is missing
        (b"\0\0\0\0", 2),  # after a power failure
        (b'{"step": 3, "kind": "tr\n', 2),
        (b"", 2),
    ],
)
def test_a_half_written_last_line_is_dropped(tmp_path, rest, last):
    with RunLog(tmp_path) as log:
        write_steps(log, 1, 2)
    with (tmp_path / METRICS_FILE).open("ab") as file:
        file.write(rest)
    assert steps(tmp_path) == [*range(1, last + 1)]
    with RunLog(tmp_path, start_step=last) as log:
        write_steps(log, last + 1, 5)
    assert steps(tmp_path) == [1, 2, 3, 4, 5]


def test_other_damage_is_reported_by_its_line(tmp_path):
    path = tmp_path / METRICS_FILE
    good = '{"step": 1, "kind": "train", "loss": 1}'
    bad = [good.replace(*change) for change in (("1,", '"1",'), ("train", "a"), (": 1}", ': "1"}'))]
    for damage in ("[1]", '{"loss": 1}', '{"step": 2}', *bad, "{"):
        path.write_text(f"{good}\n{damage}\n{good}\n")
        with pytest.raises(ValueError, match=r"metrics\.jsonl, line 2: not a step"):
            read_metrics(path)


SCRIPT = """
import itertools, sys
sys.modules["torch"] = None  # tensorboardX would import it, which takes seconds
from l3ac_jax.training.logs import RunLog
log = RunLog(sys.argv[1], int(sys.argv[2]))
for step in itertools.count(int(sys.argv[2]) + 1):
    log.scalars(step, "train", {"loss": step / 2})
    print(step, flush=True)
"""


def test_a_killed_run_has_written_what_it_had_logged(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, tmp_path, "0"], stdout=subprocess.PIPE, env=environment
    ) as run:
        for _ in range(40):
            run.stdout.readline()
        run.kill()
        logged = 40 + len(run.stdout.readlines())
    assert steps(tmp_path) in ([*range(1, logged + 1)], [*range(1, logged + 2)])
    with RunLog(tmp_path, start_step=30) as log:
        write_steps(log, 31, 50)
    assert steps(tmp_path) == [*range(1, 51)]


def test_audio_can_be_played(tmp_path):
    samples = np.float32([0.5, -0.25, 2.0, np.nan, 0.0])
    with RunLog(tmp_path) as log:
        log.audio(7, "clip 1", samples, RATE)
    event = events(tmp_path)[-1]
    (value,) = event.summary.value
    assert (event.step, value.tag, value.audio.sample_rate) == (7, "audio/clip 1", RATE)
    played, rate = soundfile.read(io.BytesIO(value.audio.encoded_audio_string))
    assert rate == RATE
    # 16 bits: half a step, or a whole one at the upper end.
    np.testing.assert_allclose(played, [0.5, -0.25, 1, 0, 0], atol=1 / 32768)


def test_spectrograms_are_images(tmp_path):
    clip = tone(1000)
    with RunLog(tmp_path) as log:
        log.spectrograms(7, "clip 1", clip, clip / 2, RATE)
    event = events(tmp_path)[-1]
    (value,) = event.summary.value
    assert (event.step, value.tag) == (7, "spectrograms/clip_1")
    image = Image.open(io.BytesIO(value.image.encoded_image_string))
    np.testing.assert_array_equal(image, spectrogram_image(clip, clip / 2, RATE))


def test_a_log_of_another_process_takes_the_same_calls_and_keeps_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [name for name in vars(RunLog) if not name.startswith("_")]
    assert names == ["scalars", "audio", "spectrograms", "close"]
    for name in names:
        assert inspect.signature(getattr(NoLog, name)) == inspect.signature(getattr(RunLog, name))
    with NoLog() as log:
        log.scalars(1, "train", {"loss": 0.5})
        log.audio(1, "clip", tone(500), RATE)
        log.spectrograms(1, "clip", tone(500), tone(500), RATE)
        log.close()
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(
        UserError, match=r"log of a training run needs .*tensorboardX.*'l3ac-jax\[train\]'"
    ):
        RunLog(tmp_path)
