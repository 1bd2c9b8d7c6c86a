"""Training batches: a pure function of (seed, step); every clip as often as it should come."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l3ac_jax.config.data import CorpusConfig, DataConfig
from l3ac_jax.data.clip import Record, encode_record, normalize
from l3ac_jax.data.loader import SHARED, BatchLoader
from l3ac_jax.data.prepare import prepare
from l3ac_jax.data.training import TrainingData, _Crop
from l3ac_jax.errors import DatasetError, LoaderError
from tests.data import trees
from tests.data.trees import CUT, speech


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    """Two corpora of 40 and 24 clips; clip n is constant at n + 2 steps of 32."""
    root = tmp_path_factory.mktemp("numbered")
    paths = []
    first = 0
    for name, count in (("many", 40), ("few", 24)):
        for n in range(count):
            samples = np.full(2000 + 100 * n, (first + n + 2) * 32, np.int16)
            trees.write(root / name / "source" / f"{n:03d}.wav", samples)
        prepare("folder", root / name / "source", root / name / "made", CUT, workers=1)
        paths.append(str(root / name / "made"))
        first += count
    return paths


def config(paths, weights=(1.0, 1.0), **changes) -> DataConfig:
    corpora = tuple(
        CorpusConfig(corpus="folder", path=path, weight=weight)
        for path, weight in zip(paths, weights, strict=True)
    )
    fields = {"batch_size": 4, "seconds": 0.2, "normalize": False, "workers": 0} | changes
    return DataConfig(corpora=corpora, **fields)


def clip_numbers(batch) -> list[int]:
    """Which clips the crops come from."""
    return [round(float(crop[0]) * 32768 / 32) - 2 for crop in batch["audio"]]


def test_batches_have_one_size_and_true_lengths(numbered):
    data = TrainingData(config(numbered), 16000)
    for step in range(12):
        batch = data.batch(step)
        assert batch["audio"].shape == (4, 3200) and batch["audio"].dtype == np.float32
        assert batch["lengths"].dtype == np.int32
        for crop, length, number in zip(*batch.values(), clip_numbers(batch), strict=True):
            whole = 2000 + 100 * (number if number < 40 else number - 40)
            assert length == min(3200, whole)
            assert np.all(crop[:length] == crop[0]) and np.all(crop[length:] == 0)


def test_a_batch_depends_on_seed_and_step_alone(numbered):
    first, again = (TrainingData(config(numbered), 16000) for _ in range(2))
    for step in (7, 3, 3, 2**31):
        for key in ("audio", "lengths"):
            np.testing.assert_array_equal(first.batch(step)[key], again.batch(step)[key])
    other = TrainingData(config(numbered, seed=1), 16000)
    assert any(clip_numbers(first.batch(s)) != clip_numbers(other.batch(s)) for s in range(3))


@pytest.mark.parametrize(
    ("weights", "shares"), [((1, 1), (500, 500)), ((3, 1), (750, 250)), ((0.1, 0.9), (100, 900))]
)
def test_corpora_are_mixed_by_weight(numbered, weights, shares):
    data = TrainingData(config(numbered, weights, batch_size=50), 16000)
    numbers = [n for step in range(20) for n in clip_numbers(data.batch(step))]
    many = sum(n < 40 for n in numbers)
    assert many == pytest.approx(shares[0], abs=1)


def test_every_pass_takes_each_clip_once_in_a_new_order(numbered):
    data = TrainingData(config(numbered[:1], weights=(1,), batch_size=40), 16000)
    passes = [clip_numbers(data.batch(step)) for step in range(4)]
    assert all(sorted(numbers) == list(range(40)) for numbers in passes)
    assert len({tuple(numbers) for numbers in passes}) == 4


@settings(max_examples=8)
@given(stops=st.lists(st.integers(0, 30), max_size=4), seed=st.integers(0, 99))
def test_an_epoch_has_the_same_clips_after_stops_and_resumes(numbered, stops, seed):
    """30 batches of 8: 120 crops of each corpus, 3 passes of the first and 5 of the second."""
    settings = config(numbered, batch_size=8, clips_per_epoch=240, seed=seed)
    assert settings.steps_per_epoch == 30
    seen = {}
    state = None
    for stop in [*sorted(stops), 30]:
        with BatchLoader(settings, 16000) as loader:
            if state is not None:
                loader.restore(state)
            while loader.step < stop:
                step = loader.step
                seen[step] = clip_numbers(next(loader))
            state = loader.state()
    undisturbed = TrainingData(settings, 16000)
    assert seen == {step: clip_numbers(undisturbed.batch(step)) for step in range(30)}
    counts = Counter(n for numbers in seen.values() for n in numbers)
    assert counts == dict.fromkeys(range(40), 3) | dict.fromkeys(range(40, 64), 5)


def test_processes_have_their_own_clips(numbered):
    shares = [TrainingData(config(numbered), 16000, i, 2) for i in range(2)]
    seen = [{n for s in range(60) for n in clip_numbers(data.batch(s))} for data in shares]
    assert all(data.batch_size == 2 for data in shares)
    assert not seen[0] & seen[1] and seen[0] | seen[1] == set(range(64))
    with pytest.raises(ValueError, match="batch_size is 4, which 3 processes cannot share evenly"):
        TrainingData(config(numbered), 16000, 0, 3)


def crops_of(samples, seconds, normalized=False, gain_db=(0.0, 0.0), speed=(1.0, 1.0), count=50):
    record = Record(encode_record(samples, 16000, "id", "source"))
    crop = _Crop(round(seconds * 16000), normalized, gain_db, speed)
    return [crop.random_map(record, np.random.default_rng(seed)) for seed in range(count)]


def test_crops_lie_anywhere_in_the_clip():
    samples = np.arange(1000, dtype=np.int16)
    starts = {int(crop[0] * 32768) for crop in crops_of(samples, 990 / 16000, count=300)}
    assert starts == set(range(11))


def test_normalization_is_by_the_whole_clip():
    samples = speech(2)
    samples[20000:20100] = 30000
    whole = normalize(np.float32(samples / 32768), 30000 / 32768)
    for crop in crops_of(samples, 0.1, normalized=True):
        starts = np.flatnonzero(whole[:-1599] == crop[0])
        assert any(np.array_equal(crop, whole[i : i + 1600]) for i in starts)


def test_the_gain_is_random_within_its_limits():
    samples = np.full(1600, 16384, np.int16)
    gains = [crop[0] / 0.5 for crop in crops_of(samples, 0.1, gain_db=(-12.0, -6.0))]
    assert 10 ** (-12 / 20) <= min(gains) < max(gains) <= 10 ** (-6 / 20)
    assert max(np.abs(crop).max() for crop in crops_of(samples, 0.1, gain_db=(0.0, 30.0))) == 1


def test_the_speed_is_random_within_its_limits():
    tone = np.int16(8000 * np.sin(2 * np.pi * 500 * np.arange(16000) / 16000))
    crops = crops_of(tone, 0.5, speed=(0.8, 1.25))
    # Of whole windows of 0.5 s, a bin is 2 Hz.
    tones = [2 * np.argmax(np.abs(np.fft.rfft(crop * np.hanning(8000)))) for crop in crops]
    assert all(len(crop) == 8000 for crop in crops)
    assert 399 <= min(tones) < 440 and 575 < max(tones) <= 626
    assert {len(crop) for crop in crops_of(tone, 2, speed=(2.0, 2.0))} == {8000}  # all there is


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_make_the_same_batches_without_jax(numbered, workers):
    settings = config(numbered)
    expected = TrainingData(settings, 16000)
    with BatchLoader(settings, 16000, workers=workers) as loader:
        for step, batch in enumerate(islice(loader, 9)):
            for key in ("audio", "lengths"):
                np.testing.assert_array_equal(batch[key], expected.batch(step)[key])
        state = loader.state()
        next(loader)
        loader.restore(state)  # back by a step, with batches under way
        np.testing.assert_array_equal(next(loader)["audio"], expected.batch(9)["audio"])
        assert not any(loader._ahead.pool.submit(_has_jax).result() for _ in range(workers))


def _has_jax() -> bool:
    roots = {name.split(".")[0] for name, module in sys.modules.items() if module is not None}
    return bool(roots & {"jax", "jaxlib"})


def test_a_state_of_other_data_is_refused(numbered):
    with BatchLoader(config(numbered), 16000) as loader:
        state = loader.state()
    for other in (config(numbered, seed=1), config(numbered[::-1]), config(numbered, seconds=0.3)):
        with BatchLoader(other, 16000) as loader, pytest.raises(ValueError, match="data differ"):
            loader.restore(state)
    with BatchLoader(config(numbered, workers=1), 16000) as loader:
        loader.restore(state)  # the number of workers is nobody's business


def test_a_state_that_makes_no_sense_is_refused(numbered):
    with BatchLoader(config(numbered), 16000) as loader:
        state = loader.state()
        for step in (-1, 2.0, "3", True):
            with pytest.raises(ValueError, match="a step is a number from 0 on"):
                loader.restore({**state, "step": step})
    with BatchLoader(config(numbered, clips_per_epoch=500), 16000) as loader:
        loader.restore(state)


def test_crops_have_a_sample_at_least(numbered):
    with pytest.raises(ValueError, match=r"data\.seconds is 1e-06: less than a sample"):
        TrainingData(config(numbered, seconds=1e-6), 16000)


def test_closing_twice_is_fine_and_then_it_is_over(numbered):
    with BatchLoader(config(numbered, workers=1), 16000) as loader:
        next(loader)
        memory = SHARED / loader._ahead.memory.name
        assert memory.exists() or not SHARED.is_dir()
        loader.close()
    with pytest.raises(LoaderError, match="closed"):
        next(loader)
    assert not memory.exists()


def test_a_worker_that_dies_is_reported(numbered):
    with BatchLoader(config(numbered, workers=1), 16000) as loader:
        next(loader)
        for process in list(loader._ahead.pool._processes.values()):
            process.kill()
        with pytest.raises(LoaderError, match="a worker process of the data loader was ended"):
            list(islice(loader, 5))


def test_too_little_shared_memory_is_reported(numbered, monkeypatch):
    usage = shutil.disk_usage("/")._replace(free=50_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    monkeypatch.setattr("l3ac_jax.data.loader.SHARED", Path("/"))
    with pytest.raises(LoaderError, match="1 workers need 0 MB of shared memory, and / has 0 MB"):
        BatchLoader(config(numbered, workers=1), 16000)


SCRIPT = """
print("main", flush=True)
import os, sys, time
import jax
from l3ac_jax.data.loader import SHARED, BatchLoader
from l3ac_jax.errors import LoaderError
from l3ac_jax.config.data import CorpusConfig, DataConfig
data = DataConfig(corpora=(CorpusConfig(corpus="folder", path=sys.argv[1]),), seconds=0.2)
loader = BatchLoader(data, 16000, workers=3)
next(loader)
workers = loader._ahead.pool._processes.values()
print(loader._ahead.memory.name, *(process.pid for process in workers), flush=True)
time.sleep(float(sys.argv[2]))
"""


@pytest.mark.parametrize("end", [None, signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_a_script_that_does_not_close_its_loader(numbered, tmp_path, end):
    """Nor guards its main part, nor keeps JAX out of it: workers do not run it again."""
    (tmp_path / "script.py").write_text(SCRIPT)
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, tmp_path / "script.py", numbered[0], "0" if end is None else "60"],
        env=os.environ | {"PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as script:
        assert script.stdout.readline() == "main\n"
        name, *pids = script.stdout.readline().split()
        memory, workers = SHARED / name, [int(pid) for pid in pids]
        assert len(workers) == 3
        if end is not None:
            script.send_signal(end)
        _, errors = script.communicate(timeout=600)
    assert end is not None or (script.returncode, errors) == (0, "")
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and (any(map(is_running, workers)) or memory.exists()):
        time.sleep(0.05)
    assert not any(map(is_running, workers)) and not memory.exists()


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/status")
    return not status.exists() or "State:\tZ" not in status.read_text()


def test_damage_found_by_a_worker_is_reported(numbered, tmp_path):
    shutil.copytree(numbered[0], tmp_path / "damaged")
    shard = tmp_path / "damaged" / "train-00000.array_record"
    content = bytearray(shard.read_bytes())
    content[100] ^= 255
    shard.write_bytes(content)
    settings = config([str(tmp_path / "damaged")], weights=(1,), workers=1)
    with (
        BatchLoader(settings, 16000) as loader,
        pytest.raises(DatasetError, match=r"train-00000\.array_record: this shard is missing or d"),
    ):
        list(islice(loader, 20))
