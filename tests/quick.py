"""What tests share that compile much and compute little."""

import os
from pathlib import Path

import numpy as np
import soundfile as sf

from l3ac_jax.system.compilation import known_options, quick_compilation

# A quarter of the time, the same program. All cores have tests of their own to do: code that is
# generated in one piece takes less of them in all.
QUICK_COMPILE = quick_compilation()
if QUICK_COMPILE:  # on a CPU
    QUICK_COMPILE = QUICK_COMPILE | known_options(
        {"xla_cpu_parallel_codegen_split_count": 1, "xla_llvm_disable_expensive_passes": True}
    )
# The same for a process of its own, as XLA_FLAGS, beside those that the tests were started with
# (--xla_cpu_max_isa=AVX2, for instance, which changes what is found in the cache).
GIVEN_FLAGS = os.environ.get("XLA_FLAGS", "").split()
QUICK_FLAGS = " ".join(
    [*GIVEN_FLAGS, *(f"--{name}={str(value).lower()}" for name, value in QUICK_COMPILE.items())]
)
# For what takes more than some dozen steps: not much longer to compile, and each step in less than
# half of the time.
LONG_RUN_FLAGS = QUICK_FLAGS.replace(
    "--xla_backend_optimization_level=0", "--xla_backend_optimization_level=1"
)

FIXTURES = Path(__file__).parent / "fixtures"


def speech(samples: int, offset: int = 6000, name: str = "librivox_sense_0870.wav") -> np.ndarray:
    """(1, samples) of a real recording; repeated where it is too short."""
    audio, rate = sf.read(FIXTURES / name, dtype="float32")
    assert rate == 16000 and audio.ndim == 1
    return np.resize(audio[offset:], samples)[None]


def rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(np.asarray(x, np.float64)))))
