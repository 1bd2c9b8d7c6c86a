"""Several devices and several processes compute what one device does."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.quick import QUICK_FLAGS
from tests.training.small_run import ROOT


def run_steps(folder: Path, devices: int, processes: int = 1) -> dict[str, np.ndarray]:
    """Parameters, metrics and an evaluation after a few steps, in processes of their own."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": str(devices // processes),
        "XLA_FLAGS": QUICK_FLAGS,
    }
    started = []
    for process in range(processes):
        variables = {
            "JAX_COORDINATOR_ADDRESS": address,
            "JAX_NUM_PROCESSES": str(processes),
            "JAX_PROCESS_ID": str(process),
        }
        target = folder / f"{devices}-{processes}-{process}.npz"
        command = [sys.executable, "-m", "tests.training.steps_on_devices", str(target)]
        started.append(
            subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment | (variables if processes > 1 else {}),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    for process in started:
        output, _ = process.communicate(timeout=3600)
        assert process.returncode == 0, output
    results = [
        dict(np.load(folder / f"{devices}-{processes}-{process}.npz"))
        for process in range(processes)
    ]
    for other in results[1:]:
        for name, value in results[0].items():
            np.testing.assert_array_equal(other[name], value, err_msg=name)
    return results[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("devices")


@pytest.fixture(scope="module")
def single(folder) -> dict[str, np.ndarray]:
    return run_steps(folder, 1)


@pytest.mark.parametrize(("devices", "processes"), [(4, 1), (2, 2)])
def test_the_result_is_that_of_one_device(single, folder, devices, processes):
    several = run_steps(folder, devices, processes)
    assert int(several["devices"]) == devices

    def apart(name: str) -> float:
        return rms(several[name] - single[name]) / rms(single[name])

    # Sums over clips in another order: float32 rounding, through some twenty layers.
    assert apart("gradient") < 2e-5
    np.testing.assert_allclose(several["history"][:2], single["history"][:2], rtol=2e-6)
    # The length of Adam's first steps does not depend on the gradient's size: where that is all but
    # zero (two of 5,583 parameters) they go the other way. So a few parameters may be anywhere.
    moved = rms(single["params"] - single["start"])
    for name in ("params", "average"):
        assert np.quantile(abs(several[name] - single[name]), 0.995) < 0.01 * moved
    np.testing.assert_allclose(several["start"], single["start"], rtol=1e-6)
    np.testing.assert_allclose(several["history"], single["history"], rtol=1e-3)
    np.testing.assert_allclose(several["scores"], single["scores"], rtol=1e-2)
    print(f"{devices} devices in {processes} processes: gradient {apart('gradient'):.1e}, "
          f"parameters {apart('params'):.1e} apart; they moved by {moved:.1e}")  # fmt: skip


def rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64))))
