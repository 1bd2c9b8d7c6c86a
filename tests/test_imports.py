"""What imports what: every module with the extras, and the codec without them."""

import importlib
import pkgutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import l3ac_jax

pytestmark = pytest.mark.quick

# What the extras have, and comes with nothing else.
EXTRAS = ("array_record", "datasets", "faster_whisper", "grain", "jinja2", "l3ac", "librosa",
          "matplotlib", "numba", "pesq", "pyarrow", "pystoi", "tensorboardX", "torch")  # fmt: skip
WITHOUT_EXTRAS = f"import sys; sys.modules.update(dict.fromkeys({EXTRAS})); "


def modules() -> list[str]:
    """All of them; those of the official code where PyTorch is installed."""
    names = [module.name for module in pkgutil.walk_packages(l3ac_jax.__path__, "l3ac_jax.")]
    return [name for name in names if find_spec("torch") or ".oracle" not in name]


def run(program: str) -> str:
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", [name for name in modules() if not name.endswith("__main__")])
def test_every_module_can_be_imported(name):
    importlib.import_module(name)


def test_the_codec_needs_no_extra():
    run(
        WITHOUT_EXTRAS + "import numpy as np; import l3ac_jax; codec = l3ac_jax.get_model(); "
        "audio = codec.reconstruct(np.zeros((1, 960), np.float32)); assert audio.shape == (1, 960)"
    )


@pytest.mark.parametrize("module", ["data.loader", "data.prepare", "training.trainer"])
def test_training_without_its_packages_names_the_extra(module):
    program = f"import importlib\ntry: importlib.import_module('l3ac_jax.{module}')\n"
    printed = run(f"{WITHOUT_EXTRAS}\n{program}except ImportError as error: print(error)")
    assert printed.endswith("pip install 'l3ac-jax[train]'\n") and printed.count("\n") == 1
