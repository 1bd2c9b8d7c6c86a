"""What tests share that compile much and compute little."""

from pathlib import Path

import numpy as np
import soundfile as sf

from l3ac_jax.system.compilation import quick_compilation

# A quarter of the time, the same program.
QUICK_COMPILE = quick_compilation()
# The same for a process of its own, as XLA_FLAGS.
QUICK_FLAGS = " ".join(f"--{name}={str(value).lower()}" for name, value in QUICK_COMPILE.items())

FIXTURES = Path(__file__).parent / "fixtures"


def speech(samples: int, offset: int = 6000, name: str = "librivox_sense_0870.wav") -> np.ndarray:
    """(1, samples) of a real recording; repeated where it is too short."""
    audio, rate = sf.read(FIXTURES / name, dtype="float32")
    assert rate == 16000 and audio.ndim == 1
    return np.resize(audio[offset:], samples)[None]


def rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(np.asarray(x, np.float64)))))
