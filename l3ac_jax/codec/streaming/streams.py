"""Encoding and decoding of audio and tokens that come bit by bit: `L3AC.streaming_encoder`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from l3ac_jax.codec.checks import (
    checked_audio,
    checked_integers,
    require_finite,
    require_range,
)
from l3ac_jax.codec.programs import KEPT_CONFIGURATIONS, Program
from l3ac_jax.codec.streaming.blocks import BlockStream
from l3ac_jax.codec.streaming.packing import Packed, pack, packed_step
from l3ac_jax.codec.streaming.steps import Encoded, Steps
from l3ac_jax.config import CodecConfig
from l3ac_jax.errors import ArgumentError
from l3ac_jax.model.decoder import ByStage
from l3ac_jax.model.precision import Precision

__all__ = ["EncoderBlocks", "StepPrograms", "StreamingDecoder", "StreamingEncoder"]


Say = Callable[[str], None]


class StepPrograms:
    """The steps of a configuration, compiled once for each number of clips and tokens."""

    def __init__(self, config: CodecConfig, precision: Precision):
        self.steps = Steps(config, precision)
        self.encode = StepProgram(
            "encoder", self.steps.encoded_step, precision, 1 / config.sample_rate
        )
        self.decode = StepProgram(
            "decoder", self.steps.decoder_step, precision, 1 / config.frame_rate
        )
        self.statistics = Program(self.steps.decoder_statistics, precision)
        self._starts: dict[tuple[int, ...], Packed] = {}

    def encoder_start(self, batch: int, unreal: int) -> Packed:
        """The first state, which takes the network some 15 ms to say: kept for the next stream."""
        return self._start((batch, unreal), lambda: self.steps.encoder_state(batch, unreal))

    def decoder_start(self, batch: int, statistics: ByStage | None) -> Packed:
        """As `encoder_start`, where no statistics are given."""
        if statistics is not None:
            return pack(self.steps.decoder_state(batch, statistics))
        return self._start((batch,), lambda: self.steps.decoder_state(batch))

    def _start(self, key: tuple[int, ...], make: Callable[[], Any]) -> Packed:
        if key not in self._starts:
            self._starts[key] = pack(make())
        return self._starts[key]


class StepProgram:
    """A step, compiled for each shape of what it takes: frames of so many `seconds`."""

    def __init__(self, name: str, step: Callable[..., Any], precision: Precision, seconds: float):
        self._name, self._seconds = name, seconds
        # The state is never used again: what it holds is changed in place.
        self._program = Program(packed_step(step), precision, donated=(1,))
        self._compiled: dict[tuple[int, ...], Callable[..., Any]] = {}
        self._compiling = threading.Lock()

    def __contains__(self, shape: tuple[int, ...]) -> bool:
        """Whether it is compiled for this shape of the first input."""
        return shape in self._compiled

    def __call__(
        self, say: Say, params: Mapping[str, Any], state: Any, *inputs: np.ndarray
    ) -> Callable[..., Any]:
        """The program for such arguments; what they are, the shape of the first input says.

        `say` is called with a line of text before it is compiled.
        """
        shape = inputs[0].shape
        if shape not in self._compiled:
            with self._compiling:
                if shape not in self._compiled:
                    block = shape[1] * self._seconds
                    say(f"compiling the {self._name} for blocks of {block:.3g} s of audio")
                    self._compiled[shape] = self._program.compiled(params, state, *inputs)
        return self._compiled[shape]


@lru_cache(KEPT_CONFIGURATIONS)
def step_programs(config: CodecConfig, precision: Precision) -> StepPrograms:
    """Those of this process: the same object for the same configuration and precision."""
    return StepPrograms(config, precision)


# What a step takes of the parameters: each array of a call takes time (packing.py).
OF_ENCODER = ("encoder", "encoder_transformer", "quantizer")
OF_DECODER = ("decoder", "decoder_transformer", "quantizer")


class _Stream:
    """The steps of one stream from `state` on; `take` gives what is used of outputs."""

    def __init__(
        self,
        program: StepProgram,
        params: Mapping[str, Any],
        parts: tuple[str, ...],
        state: Packed,
        say: Say,
        take: Callable[[Any], Any] = lambda outputs: outputs,
    ):
        self._take, self._say = take, say
        self._program = program
        self._params = {part: params[part] for part in parts if part in params}
        self._state = jax.tree.map(jnp.array, state)  # copies, which can be donated

    def __call__(self, *inputs: np.ndarray) -> Any:
        compute = self._program(self._say, self._params, self._state, *inputs)
        self._state, outputs = compute(self._params, self._state, *inputs)
        return jax.tree.map(np.asarray, self._take(outputs))


class EncoderBlocks:
    """Audio of B clips through the encoder, `block` tokens at a time; `take` says what is wanted.

    Whoever encodes in blocks of one size uses the same program, and gets the same to the last bit.
    """

    def __init__(
        self,
        programs: StepPrograms,
        params: Mapping[str, Any],
        batch: int,
        block: int,
        say: Say,
        take: Callable[[Encoded], Any] = lambda outputs: outputs,
    ):
        steps, hop = programs.steps, programs.steps.config.hop_length
        # As many samples before the clip as let a block end with what its last token needs.
        unreal = -steps.encoder_look_ahead % hop
        state = programs.encoder_start(batch, unreal)
        stream = _Stream(programs.encode, params, OF_ENCODER, state, say, take)
        self._blocks = BlockStream(stream, block * hop, steps.encoder_lag, unreal)
        self._batch, self._hop = batch, hop
        self.count = 0
        """samples so far"""

    def push(self, audio: Float[np.ndarray, "B t"]) -> list[Any]:
        """What these samples, next in the clips, make possible."""
        self.count += audio.shape[1]
        return self._blocks.push(audio)

    def finish(self) -> list[Any]:
        """What is left, after the last sample."""
        # the official code pads a clip to whole hops with zeros that count as signal
        parts = self.push(np.zeros((self._batch, -self.count % self._hop), np.float32))
        return parts + self._blocks.finish(self.count // self._hop)


class StreamingEncoder:
    """Tokens of audio that comes in pieces of any size; B clips at a time.

    All of them together are those of `encode`, however the audio is cut, but where a value lies
    within rounding of the boundary between two levels. `block` tokens are computed at a time: more
    are less work for each and come later.
    """

    def __init__(
        self,
        programs: StepPrograms,
        params: Mapping[str, Any],
        say: Say,
        batch: int = 1,
        block: int = 1,
    ):
        _check_sizes(batch, block)
        self._batch = batch
        self._blocks = EncoderBlocks(
            programs, params, batch, block, say, lambda given: given.tokens
        )
        self._open = True
        steps = programs.steps
        self.latency: int = block * steps.config.hop_length - 1 + steps.encoder_look_ahead
        """In samples: sample t is in the tokens when sample t + latency has been pushed."""

    def push(self, audio: Float[ArrayLike, "B T"]) -> Int[np.ndarray, "B N"]:
        """The tokens that are known now and were not before (int32; N may be 0).

        Raises ValueError for anything but finite floating-point audio of B clips.
        """
        _check_open(self._open)
        samples = np.asarray(audio)
        if samples.ndim != 2 or len(samples) != self._batch:
            raise ArgumentError(
                f"audio must have shape ({self._batch}, samples), got {samples.shape}"
            )
        if samples.shape[1] == 0:
            return self._joined([])
        samples = checked_audio(samples)
        require_finite(samples, np.full(self._batch, samples.shape[1]), "audio")
        return self._joined(self._blocks.push(samples))

    def finish(self) -> Int[np.ndarray, "B N"]:
        """The tokens that are left; the audio is filled with zeros to whole hops, as by `encode`.

        Raises ValueError if nothing was pushed.
        """
        _check_open(self._open)
        self._open = False
        if self._blocks.count == 0:
            raise ArgumentError("no audio was pushed; at least one sample is needed")
        return self._joined(self._blocks.finish())

    def _joined(self, parts: list[np.ndarray]) -> Int[np.ndarray, "B N"]:
        return np.concatenate([np.zeros((self._batch, 0), np.int32), *parts], axis=1)


class StreamingDecoder:
    """Audio of tokens that come in any numbers; B clips at a time.

    All of it together is that of `decode`, but for float32 rounding, if the norms' statistics are
    not the clip's; `block` tokens are computed at a time.
    """

    def __init__(
        self,
        programs: StepPrograms,
        params: Mapping[str, Any],
        say: Say,
        batch: int = 1,
        block: int = 1,
        statistics: ByStage | None = None,
    ):
        _check_sizes(batch, block)
        steps, config = programs.steps, programs.steps.config
        self._batch, self._hop, self._count = batch, config.hop_length, 0
        self._size = config.codebook_size
        state = programs.decoder_start(batch, statistics)
        stream = _Stream(programs.decode, params, OF_DECODER, state, say)
        self._blocks = BlockStream(stream, block, steps.decoder_lag)
        self._open = True
        self.latency: int = block * self._hop - 1 + steps.decoder_lag
        """In samples: sample t is known when the token of sample t + latency has been pushed."""

    def push(self, tokens: Int[ArrayLike, "B N"]) -> Float[np.ndarray, "B T"]:
        """The audio that is known now and was not before (float32; T may be 0).

        Raises ValueError for anything but integers of B clips in 0 to `codebook_size` - 1.
        """
        _check_open(self._open)
        values = checked_integers(tokens, "tokens")
        if values.ndim != 2 or len(values) != self._batch:
            raise ArgumentError(f"tokens must have shape ({self._batch}, N), got {values.shape}")
        if values.shape[1] == 0:
            return self._joined([])
        require_range(values, self._size, "tokens")
        self._count += values.shape[1]
        return self._joined(self._blocks.push(values.astype(np.int32)))

    def finish(self) -> Float[np.ndarray, "B T"]:
        """The audio that is left. Raises ValueError if nothing was pushed."""
        _check_open(self._open)
        self._open = False
        if self._count == 0:
            raise ArgumentError("no tokens were pushed; at least one is needed")
        return self._joined(self._blocks.finish(self._count * self._hop))

    def _joined(self, parts: list[np.ndarray]) -> Float[np.ndarray, "B T"]:
        return np.concatenate([np.zeros((self._batch, 0), np.float32), *parts], axis=1)


def _check_sizes(batch: int, block: int) -> None:
    for name, value in (("batch", batch), ("block", block)):
        if value < 1:
            raise ArgumentError(f"{name} must be at least 1: got {value}")


def _check_open(is_open: bool) -> None:
    if not is_open:
        raise ArgumentError("this stream is finished: make a new one for the next clip")
