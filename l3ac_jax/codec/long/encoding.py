"""Encoding in blocks of one size, one after the other: recordings of any length, in little memory.

A block is a step of a stream (codec/streaming/), one compiled program for all lengths: the tokens
of a recording are the same to the last bit however long it is, and those of `streaming_encoder`
with blocks of this size. They are those of one pass but where a value lies within float32 rounding
of the boundary between two levels. On a CPU a block fits the caches, which makes it quicker than
one pass too (experiments/benchmark_blocks.py; docs/streaming.md has figures).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int

from l3ac_jax.codec.streaming.steps import Encoded
from l3ac_jax.codec.streaming.streams import EncoderBlocks, StepPrograms

__all__ = ["BlockEncoder"]


class BlockEncoder:
    """The encoder, for blocks of some tokens; `folded` gives the folded parameters."""

    def __init__(
        self,
        programs: StepPrograms,
        folded: Callable[[], dict],
        block: int,
        say: Callable[[str], None],
    ):
        self._programs, self._folded, self._block, self._say = programs, folded, block, say
        config = programs.steps.config
        self._hop, self._features = config.hop_length, config.feature_dim

    def start(self) -> EncoderBlocks:
        """For one channel; gives parts (`Encoded`) of one clip, in order."""
        return EncoderBlocks(self._programs, self._folded(), 1, self._block, self._say)

    def encode_batch(
        self, audio: Float[np.ndarray, "b t"], lengths: Int[np.ndarray, " b"]
    ) -> Encoded:
        """Of clips that are at hand, with zeros past their ends."""
        frames = -(-audio.shape[1] // self._hop)
        features = np.zeros((len(audio), frames, self._features), np.float32)
        tokens = np.zeros((len(audio), frames), np.int32)
        for clip, count in enumerate(lengths):
            stream, start = self.start(), 0
            for part in itertools.chain(
                stream.push(audio[clip : clip + 1, :count]), stream.finish()
            ):
                stop = start + part.tokens.shape[1]
                features[clip, start:stop], tokens[clip, start:stop] = (x[0] for x in part)
                start = stop
        return Encoded(features, tokens)
