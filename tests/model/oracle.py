"""The official network with seeded weights and ours with the same weights, made once a session."""

from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import jax
import numpy as np
import soundfile as sf

from l3ac_jax.codec.l3ac import L3AC
from l3ac_jax.codec.programs import Program
from l3ac_jax.config import CodecConfig, published_config
from l3ac_jax.official.weights import from_torch
from l3ac_jax.oracle.codec import OfficialCodec, seeded_codec
from l3ac_jax.system.compilation import quick_compilation
from tests.small_configs import SMALL_CONFIGS

# For tests that compile much and compute little: a quarter of the time, the same program.
QUICK_COMPILE = quick_compilation()

FIXTURES = Path(__file__).parents[1] / "fixtures"


@dataclass(frozen=True)
class Pair:
    """One set of weights in three places."""

    config: CodecConfig
    official: OfficialCodec
    official64: OfficialCodec
    params: dict


@cache
def pair(name: str) -> Pair:
    """`name` of a published or a small config."""
    config = SMALL_CONFIGS.get(name) or published_config(name).model
    official = seeded_codec(config, seed=1)
    with TemporaryDirectory() as folder:
        official.save_checkpoint(folder)
        params = jax.device_put(from_torch(folder, config))
    return Pair(config, official, deepcopy(official).astype(np.float64), params)


def codec_of(name: str) -> L3AC:
    """A new codec with the weights of `pair(name)`, compiled as for a user."""
    oracle = pair(name)
    return L3AC(oracle.config, oracle.params, name)


def quickly_compiled(codec: L3AC) -> L3AC:
    """The codec itself, which from now on compiles with QUICK_COMPILE."""
    for function in ("_encode_compiled", "_dequantize_compiled", "_decode_compiled"):
        plain = getattr(codec, function).function
        setattr(codec, function, Program(plain, codec.precision, QUICK_COMPILE))
    return codec


def speech(samples: int, offset: int = 6000, name: str = "librivox_sense_0870.wav") -> np.ndarray:
    """(1, samples) of a real recording; repeated where it is too short."""
    audio, rate = sf.read(FIXTURES / name, dtype="float32")
    assert rate == 16000 and audio.ndim == 1
    return np.resize(audio[offset:], samples)[None]


def rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(np.asarray(x, np.float64)))))
