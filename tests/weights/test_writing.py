"""What the system refuses while Orbax writes is an error of the user, with the path."""

import subprocess
import sys

import pytest

from l3ac_jax.weights.writing import orbax_writes

# The limit on the size of a file is what a full disk is to a process: a write that fails.
SCRIPT = """
import resource, sys
from pathlib import Path
import numpy as np
import orbax.checkpoint as ocp
from l3ac_jax.cli.run import run_command
from l3ac_jax.weights.writing import orbax_writes

folder = Path(sys.argv[1])
manager = ocp.CheckpointManager(folder)
arrays = {"kernel": np.random.default_rng(0).random(40_000, np.float32)}  # which do not compress

def save(step):
    with orbax_writes(folder):
        manager.save(step, args=ocp.args.StandardSave(arrays))
        manager.wait_until_finished()

save(0)
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
code = run_command("save", lambda: save(1))
assert manager.all_steps() == [0]
sys.exit(code)
"""


def test_a_full_disk_is_one_line_and_leaves_the_checkpoints_before(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, tmp_path / "run"], capture_output=True, text=True
    )
    assert done.returncode == 2, done.stderr
    assert f"save: error: {tmp_path / 'run'}: cannot be written: File too large" in done.stderr


def test_other_mistakes_of_orbax_are_bugs(tmp_path):
    with pytest.raises(ValueError, match="a bug") as caught, orbax_writes(tmp_path):
        raise ValueError("a bug")
    assert type(caught.value) is ValueError
