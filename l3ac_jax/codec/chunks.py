"""Encoding of audio that comes bit by bit, from any source: the public face of long/encoding.py."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Protocol

import numpy as np
from jaxtyping import Array, Float, Int
from numpy.typing import ArrayLike

from l3ac_jax.codec.checks import checked_audio, require_finite
from l3ac_jax.codec.long.encoding import BlockEncoder
from l3ac_jax.codec.streaming.steps import Encoded
from l3ac_jax.errors import ArgumentError

__all__ = ["ChunkedEncoder"]


class ChunkCodec(Protocol):
    """What this needs of a codec."""

    @cached_property
    def block_encoder(self) -> BlockEncoder:
        """For clips that are encoded in blocks."""
        ...

    def encodes_in_blocks(self, samples: int) -> bool:
        """Whether a clip of so many samples is."""
        ...

    def encode(self, audio: Float[ArrayLike, "B T"]) -> Int[Array, "B N"]:
        """Tokens of clips that are not."""
        ...


class ChunkedEncoder:
    """Encodes audio that comes in pieces of any size, each of C channels by itself.

    All tokens together are those of `codec.encode` of all pieces together, however they are cut.
    Memory does not grow with the length, except for models without bounds (see `L3AC.has_bounds`).
    """

    def __init__(self, codec: ChunkCodec, channels: int = 1):
        if channels < 1:
            raise ArgumentError(f"at least one channel is needed: got {channels}")
        self._codec, self._channels = codec, channels
        self._waiting: list[np.ndarray] = []
        self._samples = 0
        self._streams = None

    def push(self, audio: Float[np.ndarray, "C T"]) -> Int[np.ndarray, "C N"]:
        """The tokens that are known now and were not before (int32; N may be 0).

        Raises ValueError for anything but finite floating-point audio of C channels.
        """
        piece = np.asarray(audio)
        if piece.ndim != 2 or len(piece) != self._channels:
            raise ArgumentError(
                f"audio must have shape ({self._channels}, samples), got {piece.shape}"
            )
        if piece.shape[1] == 0:
            return self._joined([])
        piece = checked_audio(piece)
        require_finite(piece, np.full(self._channels, piece.shape[1]), "audio")
        self._samples += piece.shape[1]
        if self._streams is None:
            self._waiting.append(piece)
            if not self._codec.encodes_in_blocks(self._samples):
                return self._joined([])
            self._streams = [self._codec.block_encoder.start() for _ in range(self._channels)]
            piece, self._waiting = np.concatenate(self._waiting, axis=1), []
        pairs = zip(self._streams, piece, strict=True)
        return self._joined([_rows(stream.push(row[None])) for stream, row in pairs])

    def finish(self) -> Int[np.ndarray, "C N"]:
        """The tokens that are left, after the last piece. Raises ValueError if there was none."""
        if self._streams is not None:
            streams, self._streams = self._streams, None
            return self._joined([_rows(stream.finish()) for stream in streams])
        if not self._waiting:
            raise ArgumentError("no audio was pushed; at least one sample is needed")
        waiting, self._waiting = np.concatenate(self._waiting, axis=1), []
        # one by one: several channels at once would be compiled for each number of them
        return np.concatenate([np.asarray(self._codec.encode(row[None])) for row in waiting])

    def _joined(self, channels: list[list[np.ndarray]]) -> Int[np.ndarray, "C N"]:
        empty = np.zeros(0, np.int32)
        rows = [np.concatenate([empty, *parts]) for parts in channels or [[]] * self._channels]
        return np.stack(rows)


def _rows(parts: Iterable[Encoded]) -> list[np.ndarray]:
    """The tokens of one channel."""
    return [part.tokens[0] for part in parts]
