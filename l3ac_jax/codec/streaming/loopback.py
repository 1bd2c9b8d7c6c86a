"""Audio through encoder and decoder while it comes."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from l3ac_jax.codec.streaming.codec import StreamingCodec
from l3ac_jax.model.decoder import ByStage

__all__ = ["Loopback"]


class Loopback:
    """A codec's encoder and decoder, one behind the other; B clips at a time.

    What comes out has as many samples as what went in; arguments and errors are those of
    `streaming_encoder` and `streaming_decoder`.
    """

    def __init__(
        self,
        codec: StreamingCodec,
        batch: int = 1,
        block: int = 1,
        statistics: ByStage | Literal["running"] | None = None,
    ):
        self._encoder = codec.streaming_encoder(batch, block)
        self._decoder = codec.streaming_decoder(batch, block, statistics)
        self._pushed = self._given = 0
        hop, lag = codec.hop_length, codec.encoder_lag
        # A block of the encoder's tokens is one of the decoder's, which waits for no other; but the
        # first tokens are late, and what is missing in that block comes with the next.
        waiting = (-lag % block) * hop
        decoder_lag = self._decoder.latency - (block * hop - 1)
        self.latency: int = self._encoder.latency + waiting + decoder_lag
        """In samples: sample t has come out when sample t + latency has been pushed."""

    def push(self, audio: Float[ArrayLike, "B T"]) -> Float[np.ndarray, "B T2"]:
        """The audio that is known now and was not before."""
        tokens = self._encoder.push(audio)
        self._pushed += np.shape(audio)[1]
        return self._cut(self._decoder.push(tokens))

    def finish(self) -> Float[np.ndarray, "B T2"]:
        """The audio that is left. Raises ValueError if nothing was pushed."""
        parts = [self._decoder.push(self._encoder.finish()), self._decoder.finish()]
        return self._cut(np.concatenate(parts, axis=1))

    def _cut(self, audio: np.ndarray) -> np.ndarray:
        audio = audio[:, : self._pushed - self._given]
        self._given += audio.shape[1]
        return audio
