"""Decoding recordings of any length, in memory that does not grow with them.

The transformer and the convolutions are applied to overlapping pieces (pieces.py). The decoder's
norms take statistics over the whole clip, and those of a stage can only be known when those of all
stages before it are: each stage takes a pass over the recording, and the last pass gives the audio.

What a pass computes is kept for the next ones in temporary files (in $TMPDIR) where it is small,
before the upsamplings: at most 0.52 MB for a second of audio of the published models. With them
decoding takes about twice the time of one pass; computing all anew would take 3.4 times.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import accumulate
from operator import mul
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from l3ac_jax.codec.long.pieces import Geometry, Own, Pieces, Signal
from l3ac_jax.codec.long.piecewise import PiecewiseDecoder, Values
from l3ac_jax.codec.long.spool import Spool
from l3ac_jax.codec.programs import NetworkPrograms, Program
from l3ac_jax.config import CodecConfig
from l3ac_jax.model import ops
from l3ac_jax.model.decoder import ByStage
from l3ac_jax.model.network import Network

__all__ = ["LongDecoder"]

# What a piece owns. Convolutions take some 25 MB a second and overlap by little; transformers take
# little, and overlap by several windows.
CONVOLUTION_SECONDS = 12
TRANSFORMER_SECONDS = 30
# What is kept between passes has at most so many values for each sample of the audio.
KEPT_VALUES = 6
PUSHED_TOKENS = 4096


class LongDecoder(PiecewiseDecoder):
    """The decoder, compiled for pieces; `folded` gives the folded parameters."""

    def __init__(self, config: CodecConfig, folded: Callable[[], dict], programs: NetworkPrograms):
        self.hop_length = config.hop_length
        self._config, self._folded, self._programs = config, folded, programs
        self._bound = Network(config).bind({})
        self._transform = programs.program(_transform)
        # Frames for one frame of the decoder's input: in each stage, in the audio, and at each cut
        # (see Decoder), which is behind a stage but before its upsampling.
        self._rates = list(accumulate(config.decoder.rates, mul, initial=1))
        self._cut_rates = [1, *self._rates[:-1]]
        self._stages = len(config.decoder.rates)
        widths = [config.feature_dim, *config.decoder.dims[1:]]
        limit = KEPT_VALUES * config.encoder_hop
        self._kept = [
            cut
            for cut in range(self._stages)
            if cut == 0 or self._cut_rates[cut] * widths[cut] <= limit
        ]

    def decode(self, values: Values) -> Iterator[Float[np.ndarray, " t"]]:
        """Audio of one channel, piece by piece; the passes for the statistics come first.

        Raises SpoolError.
        """
        with contextlib.ExitStack() as stack:
            spools = {cut: stack.enter_context(contextlib.closing(Spool())) for cut in self._kept}
            statistics: list[Any] = [None] * self._stages
            for stage in range(self._stages):
                source, found = self._source(stage), _ClipStatistics()
                first = stage == 0
                frames = self._transformed(values, spools[0]) if first else spools[source].read()
                kept = None if first else spools.get(stage)
                for part in self._pieces(source, stage, statistics, kept, frames):
                    found.add(part)
                statistics[stage] = found.result()
                for cut in self._kept[: self._kept.index(self._source(stage + 1))]:
                    spools[cut].close()
            source = self._source(self._stages)
            yield from self._pieces(source, self._stages, statistics, None, spools[source].read())

    def _source(self, stage: int) -> int:
        """The last cut before a stage that is kept when the pass for the stage begins."""
        return max(cut for cut in self._kept if cut < max(stage, 1))

    def _transformed(self, values: Values, spool: Spool) -> Iterator[Float[np.ndarray, "n f"]]:
        transformer = self._config.transformer
        window, factor = transformer.window_size, transformer.compress_rate
        tokens = round(TRANSFORMER_SECONDS * self._config.frame_rate)
        reach = self._bound.decoder_transformer.reach
        geometry = Geometry.of(reach, window, window * factor, tokens)

        def apply(piece: Signal, own: Own) -> Float[np.ndarray, "n f"]:
            frames = self._transform(self._folded(), piece[None], np.array([own.length], np.int32))
            return np.asarray(frames[0])[own.first * factor : own.stop * factor]

        for frames in _through(Pieces(geometry, apply), _in_blocks(values)):
            spool.write(frames)
            yield frames

    def _pieces(
        self,
        cut: int,
        stage: int,
        statistics: list[Any],
        kept: Spool | None,
        frames: Iterator[Float[np.ndarray, "n f"]],
    ) -> Iterator[Any]:
        """From a cut to the statistics of each piece in a stage, or its audio behind the last one.

        What comes before the upsampling to the stage goes into `kept`.
        """
        rate, here = self._rates[stage] // self._cut_rates[cut], self._cut_rates[cut]
        reach = partial(self._bound.decoder.reach_behind, cut, stage)
        seconds = self._config.sample_rate / self._config.encoder_hop * here
        geometry = Geometry.of(reach, 1, rate, round(CONVOLUTION_SECONDS * seconds))
        program = self._program(cut, stage)
        given = tuple(statistics)

        def apply(piece: Signal, own: Own) -> Any:
            place = np.array([own.length, own.first, own.stop], np.int32)
            result = program(self._folded(), piece[None], place, given)
            if stage == self._stages:
                return np.asarray(result[0])[own.first * rate : own.stop * rate]
            if kept is not None:
                factor = self._cut_rates[stage] // here
                kept.write(np.asarray(result[0][0])[own.first * factor : own.stop * factor])
            return (own.stop - own.first) * rate, jax.device_get(result[1])

        return _through(Pieces(geometry, apply), frames)

    def _program(self, cut: int, stage: int) -> Program:
        return self._programs.program(_finish if stage == self._stages else _survey, cut, stage)


class _ClipStatistics:
    """Means and variances of signals over a clip, of those of its pieces, in float64."""

    def __init__(self) -> None:
        self._count = 0
        self._mean = self._squares = np.zeros(1)

    def add(self, piece: tuple[int, Sequence[Array]]) -> None:
        # Chan, Golub and LeVeque, 1979: nothing cancels, however long the clip.
        count, (mean, variance) = piece
        mean, variance = np.float64(mean), np.float64(variance)
        total = self._count + count
        step = mean - self._mean
        self._squares = self._squares + variance * count + step**2 * (self._count * count / total)
        self._mean = self._mean + step * (count / total)
        self._count = total

    def result(self) -> list[tuple[Float[np.ndarray, " b"], Float[np.ndarray, " b"]]]:
        """Mean and variance of each signal, for a batch of one clip."""
        pairs = zip(self._mean, self._squares / self._count, strict=True)
        return [(np.array([mean], "f4"), np.array([square], "f4")) for mean, square in pairs]


def _through(pieces: Pieces[Any], signal: Iterator[Signal]) -> Iterator[Any]:
    for block in signal:
        yield from pieces.push(block)
    yield from pieces.finish()


def _in_blocks(values: Values) -> Iterator[Values]:
    for start in range(0, len(values), PUSHED_TOKENS):
        yield values[start : start + PUSHED_TOKENS]


def _transform(network: Network, folded: dict, values: Array, lengths: Array) -> Any:
    def method(module: Network, values: Array, lengths: Array) -> Array:
        features = module.dequantize(values) if values.ndim == 2 else values
        return module.decoder_transformer(features, lengths)

    return network.apply({"params": folded}, values, lengths, method=method)


def _survey(
    network: Network,
    cut: int,
    stage: int,
    folded: dict,
    frames: Array,
    place: Array,
    statistics: ByStage,
) -> Any:
    """The frames at cut `stage`, and means and variances of the trends behind it.

    `place` says how many frames of the piece are real, and which ones it owns.
    """

    def method(module: Network, frames: Array) -> Any:
        decoder = module.decoder
        before, lengths = decoder.advance(frames, place[:1], cut, stage, statistics)
        return before, decoder.trends(before, lengths, stage)

    outputs: Any = network.apply({"params": folded}, frames, method=method)
    before, trends = outputs
    rate = trends[0].shape[1] // frames.shape[1]
    first, count = place[1] * rate, (place[2:] - place[1:2]) * rate
    pairs = [ops.clip_statistics(_from(first, trend), count) for trend in trends]
    return before, [jnp.concatenate(values) for values in zip(*pairs, strict=True)]


def _from(first: Array, signal: Array) -> Array:
    """The signal from there on, and zeros behind it."""
    samples = signal.shape[1]
    padded = jnp.pad(signal, [(0, 0), (0, samples)])
    return jax.lax.dynamic_slice_in_dim(padded, first, samples, axis=1)


def _finish(
    network: Network,
    cut: int,
    stage: int,
    folded: dict,
    frames: Array,
    place: Array,
    statistics: ByStage,
) -> Any:
    def method(module: Network, frames: Array) -> Array:
        return module.decoder.finish(frames, place[:1], cut, statistics)

    return network.apply({"params": folded}, frames, method=method)
