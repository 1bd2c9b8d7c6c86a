"""The reference codecs that words on a command line name."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from importlib.resources import as_file, files
from typing import TypeVar

from l3ac_jax.errors import ReferenceCodecError
from l3ac_jax.evaluation.clips import read_mono
from l3ac_jax.evaluation.codecs import (
    CODEC2_MODES,
    OPUS_HIGHEST,
    OPUS_LOWEST,
    Codec2,
    CodecUnderTest,
    Noise,
    Opus,
    codec2_bitrate,
)
from l3ac_jax.evaluation.published_networks import FAMILIES, PublishedCodec, load_published

__all__ = ["nearest_references"]

T = TypeVar("T")

PROBE = "cmu_arctic_a0007.wav"

# Rates below it are in kbit/s, as papers give them: no codec here is asked for less than this.
LOWEST_IN_BITS = 450
FURTHEST_NOISE = 200  # dB: beyond, nothing is left of it in float32, or of the clip


def nearest_references(
    words: Sequence[str], bitrates: Sequence[float], sample_rate: int = 16000
) -> list[CodecUnderTest]:
    """The codecs that `words` name: "opus:12000", "codec2:3200", "encodec:3", "dac:6@FOLDER", or
    "opus", "codec2", "encodec@FOLDER" alone, at their nearest rates to each of `bitrates`; and
    "noise:20", the recording with noise 20 dB below it.

    Opus and noise take audio at `sample_rate`, the others at their own. Raises
    ReferenceCodecError, and MissingPackageError for packages.
    """
    wanted: dict[str, CodecUnderTest] = {}
    for word in words:
        wanted |= {codec.info.name: codec for codec in _codecs(word, bitrates, sample_rate)}
    return list(wanted.values())


def _codecs(word: str, bitrates: Sequence[float], sample_rate: int) -> Sequence[CodecUnderTest]:
    name, _, weights = word.partition("@")
    kind, _, mode = name.partition(":")
    if kind == "codec2" and not weights:
        modes = [mode] if mode else [_nearest(CODEC2_MODES, b, codec2_bitrate) for b in bitrates]
        return [Codec2(mode) for mode in modes]
    if kind == "noise" and not weights:
        return [Noise(_decibels(word, mode), sample_rate)]
    rate = _bits_per_second(mode)
    if rate is None:
        raise _unknown(word)
    if kind == "opus" and not weights:
        nearest = [min(max(OPUS_LOWEST, round(b)), OPUS_HIGHEST) for b in bitrates]
        return [Opus(round(b), sample_rate) for b in ([rate] if mode else nearest)]
    if kind in FAMILIES:
        weights, network = load_published(word, kind, weights or None)
        offered = network.bitrates
        chosen = [_nearest(offered, b) for b in ([rate] if mode else bitrates)]
        if mode and abs(chosen[0] - rate) > 0.05 * rate:
            rates = ", ".join(f"{b / 1000:.4g}" for b in offered)
            raise ReferenceCodecError(f"{word}: {weights} has {rates} kbit/s")
        with as_file(files("l3ac_jax.assets") / PROBE) as path:
            probe = read_mono(path, network.sample_rate)
        return [PublishedCodec(kind, network, b, weights, probe) for b in dict.fromkeys(chosen)]
    raise _unknown(word)


def _decibels(word: str, text: str) -> float:
    try:
        decibels = float(text)
    except ValueError:
        decibels = math.nan
    if not abs(decibels) <= FURTHEST_NOISE:
        raise ReferenceCodecError(
            f"{word}: noise takes how far below the clip it is in dB, "
            f"{-FURTHEST_NOISE} to {FURTHEST_NOISE}: noise:20"
        )
    return decibels


def _bits_per_second(text: str) -> float | None:
    """0 for no text, None for what is no rate."""
    try:
        rate = float(text or 0)
    except ValueError:
        return None
    if not 0 <= rate < float("inf"):
        return None
    return rate if rate >= LOWEST_IN_BITS else 1000 * rate


def _nearest(choices: Iterable[T], bitrate: float, bitrate_of: Callable[[T], float] = float) -> T:
    return min(choices, key=lambda choice: abs(bitrate_of(choice) - bitrate))


def _unknown(word: str) -> ReferenceCodecError:
    return ReferenceCodecError(
        f"{word}: reference codecs are opus and opus:RATE, codec2 and codec2:MODE, noise:DB, "
        f"{', '.join(FAMILIES)}, and these with :RATE, @WEIGHTS or :RATE@WEIGHTS "
        "(rates in bit/s, below 450 in kbit/s)"
    )
