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
          "matplotlib", "numba", "pesq", "pyarrow", "pystoi", "sounddevice",
          "tensorboardX", "torch")  # fmt: skip
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


# What Python has on POSIX alone.
POSIX = ("fcntl", "grp", "posix", "pty", "pwd", "resource", "termios", "tty")
WITHOUT_POSIX = f"""
import pathlib, os, subprocess, tempfile, threading  # which have ways of their own without POSIX
import sys, importlib, jax, orbax.checkpoint, huggingface_hub, soundfile
for name in {POSIX}: sys.modules[name] = None
for name in ("register_at_fork", "fork", "pathconf", "sched_getaffinity", "killpg"):
    if hasattr(os, name): delattr(os, name)
"""


def test_files_are_encoded_and_decoded_without_what_windows_lacks(tmp_path):
    recording = Path(__file__).parent / "fixtures" / "misc_crow.flac"
    run(
        f"{WITHOUT_POSIX}\nfrom l3ac_jax.cli.main import main\n"
        f"tokens, audio = {str(tmp_path / 'a.l3ac')!r}, {str(tmp_path / 'a.wav')!r}\n"
        f"assert main(['encode', {str(recording)!r}, tokens]) == 0\n"
        "assert main(['decode', tokens, audio]) == 0\n"
        "for name in ('cli.folders', 'cli.tokens', 'tokens.dataset.reader', 'weights.folder'):\n"
        "    importlib.import_module(f'l3ac_jax.{name}')\n"
    )
    assert (tmp_path / "a.wav").exists()


@pytest.mark.parametrize("module", ["data.loader", "data.prepare", "training.trainer"])
def test_training_without_its_packages_names_the_extra(module):
    program = f"import importlib\ntry: importlib.import_module('l3ac_jax.{module}')\n"
    printed = run(f"{WITHOUT_EXTRAS}\n{program}except ImportError as error: print(error)")
    assert printed.endswith("pip install 'l3ac-jax[train]'\n") and printed.count("\n") == 1
