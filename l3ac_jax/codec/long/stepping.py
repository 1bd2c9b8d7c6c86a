"""Decoding recordings of any length with a decoder that streams: steps of some seconds.

The norms of such a decoder see what came before alone, so that one pass is enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Array, Float

from l3ac_jax.codec.long.piecewise import PiecewiseDecoder, Values
from l3ac_jax.codec.programs import NetworkPrograms
from l3ac_jax.codec.streaming.blocks import BlockStream
from l3ac_jax.config import CodecConfig
from l3ac_jax.model.network import Network
from l3ac_jax.model.streams import State

__all__ = ["SteppedDecoder"]

STEP_SECONDS = 8


class SteppedDecoder(PiecewiseDecoder):
    """The decoder, compiled for steps; `folded` gives the folded parameters."""

    def __init__(self, config: CodecConfig, folded: Callable[[], dict], programs: NetworkPrograms):
        self.hop_length, self._folded = config.hop_length, folded
        self._step = programs.program(_step)
        self._tokens = round(STEP_SECONDS * config.frame_rate)
        network = Network(config, folded=True).bind({})
        self._start: State = network.start_decoder(1)[0]
        self._lag = int(network.decoder_look_ahead)

    def decode(self, values: Values) -> Iterator[Float[np.ndarray, " t"]]:
        """Audio of one channel, step by step."""
        state = self._start

        def step(block: np.ndarray, real: np.ndarray) -> np.ndarray:
            nonlocal state
            state, audio = self._step(self._folded(), state, block, real)
            return np.asarray(audio)

        stream = BlockStream(step, self._tokens, self._lag)
        for start in range(0, len(values), self._tokens):
            for part in stream.push(values[None, start : start + self._tokens]):
                yield part[0]
        for part in stream.finish(len(values) * self.hop_length):
            yield part[0]


def _step(network: Network, folded: dict, state: State, values: Array, real: Array) -> Any:
    def method(module: Network, values: Array) -> Any:
        features = module.dequantize(values) if values.ndim == 2 else values
        return module.decoder_step(state, features, real)

    return network.apply({"params": folded}, values, method=method)
