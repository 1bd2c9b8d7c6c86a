"""The official network with seeded weights and ours with the same weights, made once a session."""

from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from tempfile import TemporaryDirectory

import jax
import numpy as np

from l3ac_jax.codec.l3ac import L3AC
from l3ac_jax.config import CodecConfig, published_config
from l3ac_jax.official.weights import from_torch
from l3ac_jax.oracle.codec import OfficialCodec, seeded_codec
from tests.small_configs import SMALL_CONFIGS


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
    """A new codec with the weights of `pair(name)`."""
    oracle = pair(name)
    return L3AC(oracle.config, oracle.params, name)


@cache
def shared_codec(name: str) -> L3AC:
    """The same for all tests of a worker, so that its programs are traced once."""
    return codec_of(name)
