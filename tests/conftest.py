"""Settings of every test: strict shapes, and annotations that are checked while the tests run."""

import atexit
import ctypes
import gc
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from threading import Thread

# One thread of PyTorch for each worker of pytest: with more than there are processors, most of
# them wait for each other, and the tests against PyTorch take twice the time.
os.environ["OMP_NUM_THREADS"] = "1"

# One cache of compiled programs for all tests of a session, its workers and what they start: each
# program is compiled once. A new one each time, so that no test passes because of an old one.
if "PYTEST_XDIST_WORKER" not in os.environ:
    cache = tempfile.mkdtemp(prefix="l3ac_jax_tests_")
    atexit.register(shutil.rmtree, cache, ignore_errors=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = f"{cache}/compiled"
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"
    # With a limit, here one that is never reached, JAX locks the folder while it reads or writes:
    # without, a worker may read what another has half written.
    os.environ["JAX_COMPILATION_CACHE_MAX_SIZE"] = str(2**36)

import huggingface_hub.constants as hub_constants
import hypothesis
import jax
import numpy as np
import pytest
from jax.experimental.compilation_cache.compilation_cache import reset_cache
from jaxtyping import install_import_hook

from l3ac_jax.audio.reading import read_audio
from l3ac_jax.audio.writing import write_audio
from tests.hub_server import Hub, use_endpoint

FIXTURES = Path(__file__).parent / "fixtures"

jax.config.update("jax_numpy_rank_promotion", "raise")

# No test may rest on the speed of a machine.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")

# Annotated shapes inside the network are checked at every call. The public interface around it
# checks its arguments itself, and the tests hold it to its own errors.
# What imports the network is therefore imported later, inside the fixtures.
install_import_hook(["l3ac_jax.model", "l3ac_jax.training"], "beartype.beartype")


# Without PyTorch (see `make quick`) the comparisons with the official code are left out.
NEEDS_TORCH = re.compile(
    r"^(import torch|from (l3ac_jax\.oracle|tests\.model\.oracle))", re.MULTILINE
)
left_out: list[Path] = []


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    if collection_path.suffix != ".py" or find_spec("torch"):
        return None
    if not NEEDS_TORCH.search(collection_path.read_text(encoding="utf-8")):
        return None
    left_out.append(collection_path)
    return True


# What only some extras bring, and no one has who installed the others alone. With `make test` all
# are there.
OF_EXTRAS = frozenset(
    (
        "torch",
        "l3ac",
        "jiwer",
        "resemblyzer",
        "speechmos",
        "pocketsphinx",
        "faster_whisper",
        "sklearn",
    )
)


@contextmanager
def skipped_without_its_extra() -> Iterator[None]:
    """A test that ends for want of a package of an extra is skipped, and says which."""
    try:
        yield
    except Exception as error:
        reason: BaseException | None = error
        while reason is not None and not isinstance(reason, ModuleNotFoundError):
            reason = reason.__cause__
        name = (reason.name or "").partition(".")[0] if reason is not None else ""
        if name in OF_EXTRAS and name not in sys.modules and find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
        raise


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    with skipped_without_its_extra():
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    with skipped_without_its_extra():
        yield


def pytest_terminal_summary(terminalreporter) -> None:
    if left_out:
        terminalreporter.line(
            f"left out, as PyTorch is not installed: {len(left_out)} files of tests"
        )


@pytest.fixture(scope="session", autouse=True)
def quick_programs():
    """Codecs, and the commands that tests start, compile in a quarter of the time a user's take.

    The function is the same; most of the tests' codecs are small and compute little.
    """
    from l3ac_jax.codec import programs
    from tests.quick import QUICK_COMPILE, QUICK_FLAGS

    with pytest.MonkeyPatch.context() as patch:
        if QUICK_COMPILE:
            patch.setattr(programs, "product_options", lambda: QUICK_COMPILE)
        patch.setenv("XLA_FLAGS", QUICK_FLAGS)
        yield


@pytest.fixture
def as_for_a_user(monkeypatch):
    """What is compiled for the first time from now on is compiled as it is for a user."""
    from l3ac_jax.codec import programs
    from l3ac_jax.system.compilation import product_options
    from tests.quick import GIVEN_FLAGS

    programs.forget_programs()
    monkeypatch.setattr(programs, "product_options", product_options)
    monkeypatch.setenv("XLA_FLAGS", " ".join(GIVEN_FLAGS))
    yield
    programs.forget_programs()


# A worker that took more would not leave room for the programs that tests start.
LARGE = 2.5e9


@pytest.fixture(scope="module", autouse=True)
def bounded_memory():
    """Give compiled programs back when a file's tests leave much behind."""
    yield
    if resident_bytes() > LARGE:
        jax.clear_caches()
        gc.collect()
        if sys.platform.startswith("linux"):
            ctypes.CDLL(None).malloc_trim(0)


def resident_bytes() -> int:
    """Memory of this process, where the system says it like Linux."""
    status = Path("/proc/self/statm")
    return int(status.read_text().split()[1]) * os.sysconf("SC_PAGESIZE") if status.exists() else 0


@pytest.fixture
def hub(monkeypatch):
    """A hub on this machine, which huggingface_hub takes for the real one."""
    with Hub() as server:
        Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        use_endpoint(monkeypatch, server.endpoint)
        monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", False)
        yield server
        server.shutdown()


@pytest.fixture
def unreadable(monkeypatch):
    """Call it with a folder's name: it cannot be read. Permissions would not stop root."""
    scan = os.scandir

    def close(name: str) -> None:
        def scandir(path):
            if Path(path).name == name:
                raise PermissionError(13, "Permission denied", str(path))
            return scan(path)

        monkeypatch.setattr(os, "scandir", scandir)

    return close


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory) -> Path:
    """A model folder with a small codec, hop length 6, random weights."""
    from l3ac_jax.config import ExperimentConfig
    from l3ac_jax.evaluation.random_params import random_params
    from l3ac_jax.weights.folder import save_model
    from tests.small_configs import SMALL_CONFIGS

    config = SMALL_CONFIGS["baseline"]
    params = random_params(config, 0)  # which give many different tokens
    folder = tmp_path_factory.mktemp("models") / "small"
    save_model(folder, ExperimentConfig(model=config), params)
    return folder


@pytest.fixture(scope="session")
def compiled() -> Path:
    """What commands take for the user's cache: compiled programs are those of all tests."""
    return Path(os.environ["JAX_COMPILATION_CACHE_DIR"]).parent


@pytest.fixture(scope="session")
def small_codec(model_folder):
    """The small model, which the commands then need not load, trace and compile each time."""
    from l3ac_jax.codec import pretrained

    return pretrained.get_model(model_folder)


@pytest.fixture
def command_cache(compiled, monkeypatch):
    """The commands' cache and settings, and this process's own again afterwards."""
    monkeypatch.setenv("L3AC_JAX_CACHE", str(compiled))
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")  # which has precedence
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    jax.config.update(names[0], None)
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    reset_cache()


@pytest.fixture
def speech(tmp_path) -> Path:
    """0.24 s of real speech, mono, 16 kHz, 16 bits."""
    samples = read_audio(FIXTURES / "librivox_sense_0870.wav").samples[:, 16000:19843]
    write_audio(tmp_path / "speech.wav", samples, 16000)
    return tmp_path / "speech.wav"


@pytest.fixture
def stereo(tmp_path) -> Path:
    """0.1 s in two channels at 44.1 kHz, floats."""
    crow = read_audio(FIXTURES / "misc_crow.flac").samples[0]
    samples = np.stack([crow[4000:8411], crow[8000:12411]])
    write_audio(tmp_path / "stereo.wav", samples, 44100, "FLOAT")
    return tmp_path / "stereo.wav"


@pytest.fixture
def run(model_folder, small_codec, monkeypatch):
    """Run a command with the small model, and insist that it succeeds."""
    from l3ac_jax.cli.main import main
    from l3ac_jax.codec import pretrained

    models = {str(model_folder): small_codec}
    monkeypatch.setattr(pretrained, "get_model", lambda name, *_: models[name])

    def run_command(*words: object) -> None:
        assert main([*map(str, words), "--model", str(model_folder)]) == 0

    return run_command
