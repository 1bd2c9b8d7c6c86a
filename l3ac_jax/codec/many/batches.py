"""Many files through a codec: like lengths together, reading in the background.

A file gives what it gives alone: neither the other clips of a batch nor padding matter.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float

from l3ac_jax.audio.damage import OnDamage, warn_of_damage
from l3ac_jax.audio.reading import joined, open_reader
from l3ac_jax.codec.files import check_match, encode_file
from l3ac_jax.codec.l3ac import L3AC, LONG_SECONDS
from l3ac_jax.codec.many.groups import Computation, PendingClip, computed
from l3ac_jax.errors import UserError
from l3ac_jax.system.background import ahead
from l3ac_jax.tokens.format import EncodedAudio

__all__ = ["DEPTH", "DecodedRecording", "decode_all", "encode_files"]

DEPTH = 32  # files that are read before they are needed, or wait to be written


def encode_files(
    codec: L3AC,
    paths: Iterable[str | os.PathLike[str]],
    on_damage: Callable[[Path, str], None] = lambda _, message: warn_of_damage(message),
) -> Iterator[tuple[Path, EncodedAudio | Exception]]:
    """Each audio file with its tokens, or with why it has none (an AudioError, as a rule).

    Short files are encoded together and long ones piece by piece, so that memory is bounded.
    They come in the order in which they are done, which is the same for the same files. `on_damage`
    is told, before a file comes, what is missing of it; unless given, that is an
    AudioDamageWarning.
    """
    computation = Computation(codec, codec.hop_length, _encode(codec))

    def clips() -> Iterator[PendingClip[tuple[Path, _Recording | None]]]:
        reading = ahead(
            lambda path: _read(path, codec.sample_rate, partial(on_damage, path)),
            map(Path, paths),
            DEPTH,
        )
        for path, recording in reading:
            if isinstance(recording, Exception):
                yield PendingClip((path, None), result=recording)
            elif recording is None:
                yield PendingClip((path, None), result=_encode_long(codec, path, on_damage))
            else:
                yield PendingClip((path, recording), recording.samples, computation)

    for (path, recording), result in computed(clips()):
        if recording is None or isinstance(result, Exception):
            yield path, result
        else:
            yield path, recording.encoded(codec, result)


@dataclass(frozen=True, eq=False)
class DecodedRecording:
    """Encoded audio with its audio at the codec's rate, in pieces.

    The pieces are whole tokens: the audio ends after `encoded.codec_samples`. Those of a long one
    are computed when they are asked for.
    """

    encoded: EncodedAudio
    blocks: Iterable[Float[np.ndarray, "C T"]]
    is_long: bool


def decode_all(
    codec_of: Callable[[Path, EncodedAudio], L3AC],
    items: Iterable[tuple[Path, EncodedAudio | Exception]],
) -> Iterator[tuple[Path, DecodedRecording | Exception]]:
    """Audio of each item's tokens, or the error that came in its place, or that it met here.

    `codec_of` gives the codec for an item, or raises UserError. The order is as in `encode_files`.
    """
    computations: dict[L3AC, Computation] = {}

    def clip(path: Path, encoded: EncodedAudio) -> PendingClip[tuple[Path, EncodedAudio | None]]:
        codec = codec_of(path, encoded)
        check_match(codec, encoded, str(path))
        if encoded.codec_samples > LONG_SECONDS * codec.sample_rate:
            blocks = codec.decode_chunks(encoded.tokens)
            return PendingClip((path, None), result=DecodedRecording(encoded, blocks, is_long=True))
        if codec not in computations:
            computations[codec] = Computation(codec, 1, _decode(codec))
        return PendingClip((path, encoded), encoded.tokens, computations[codec])

    def clips() -> Iterator[PendingClip[tuple[Path, EncodedAudio | None]]]:
        for path, encoded in items:
            if isinstance(encoded, Exception):
                yield PendingClip((path, None), result=encoded)
                continue
            try:
                yield clip(path, encoded)
            except UserError as error:
                yield PendingClip((path, None), result=error)

    for (path, encoded), result in computed(clips()):
        if encoded is None or isinstance(result, Exception):
            yield path, result
        else:
            yield path, DecodedRecording(encoded, [result], is_long=False)


@dataclass(frozen=True, eq=False)
class _Recording:
    """A file: its samples at the codec's rate, its own number of samples and rate."""

    samples: Float[np.ndarray, "C T"]
    file_samples: int
    file_rate: int

    def encoded(self, codec: L3AC, tokens: np.ndarray) -> EncodedAudio:
        return EncodedAudio(
            tokens, self.file_samples, self.file_rate, codec.name, codec.token_format
        )


def _read(path: Path, rate: int, on_damage: OnDamage) -> _Recording | None:
    """None for what is too long to be in memory at once."""
    with open_reader(path, on_damage=on_damage) as reader:
        longest = LONG_SECONDS * reader.sample_rate
        if reader.expected_samples > longest:
            return None
        blocks = []
        for block in reader.blocks(rate):
            if reader.samples > longest:  # what a header says may be wrong
                return None
            blocks.append(block)
        return _Recording(joined(blocks), reader.samples, reader.sample_rate)


def _encode_long(
    codec: L3AC, path: Path, on_damage: Callable[[Path, str], None]
) -> EncodedAudio | Exception:
    try:
        return encode_file(codec, path, on_damage=partial(on_damage, path))
    except UserError as error:
        return error


def _encode(codec: L3AC) -> Callable[[np.ndarray, np.ndarray], list[np.ndarray]]:
    def compute(audio: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
        tokens = np.asarray(codec.encode(audio, lengths))
        counts = -(-lengths // codec.hop_length)
        return [row[:count] for row, count in zip(tokens, counts, strict=True)]

    return compute


def _decode(codec: L3AC) -> Callable[[np.ndarray, np.ndarray], list[np.ndarray]]:
    def compute(tokens: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
        audio = np.asarray(codec.decode(tokens, lengths))
        counts = lengths * codec.hop_length
        return [row[:count] for row, count in zip(audio, counts, strict=True)]

    return compute
