"""Formats of audio files: what names' endings stand for, and what libsndfile can write in each."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Protocol

import soundfile

from l3ac_jax.errors import AudioError

__all__ = ["FORMATS", "UNCLIPPED_SUBTYPES", "SampleFormat", "check_limits", "choose_subtype"]

# What a name's ending stands for: a container and its usual sample format, as soundfile has them.
FORMATS = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".oga": ("OGG", "VORBIS"),
    ".opus": ("OGG", "OPUS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
}
# Sample formats that mean the same in every container that has them, and take any number of
# samples. (ADPCM, GSM 6.10 and G.721 fill blocks; MP3 in WAV files is read and never written.)
PORTABLE_SUBTYPES = {
    *("PCM_U8", "PCM_S8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW")
}
OGG_SUBTYPES = {"VORBIS", "OPUS"}
UNCLIPPED_SUBTYPES = {"FLOAT", "DOUBLE"}

# Sample rates in Hz and the most channels, by container: what libsndfile 1.2.2 wrote and read
# again, each in a process of its own. Beyond these, Vorbis' encoder ends the process.
LIMITS: dict[str, tuple[Collection[int], int]] = {
    "WAV": (range(1, 2**31), 1024),
    "FLAC": (frozenset((*range(1, 65_536), *range(65_540, 655_351, 10))), 8),
    "VORBIS": (range(1, 200_001), 255),
    "OPUS": ((8000, 12000, 16000, 24000, 48000), 255),
    "MP3": ((8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000), 2),
}


class SampleFormat(Protocol):
    """How audio is kept: soundfile's names of a container and a sample format (WAV, PCM_16)."""

    @property
    def format(self) -> str:
        """Of the container, as "WAV"."""
        ...

    @property
    def subtype(self) -> str:
        """Of the samples, as "PCM_16"."""
        ...


def choose_subtype(path: str | os.PathLike[str], like: SampleFormat | None = None) -> str:
    """The sample format for a file of this name: that of `like` if the container has it.

    Raises AudioError when the name's ending says no container that is known here.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        known = ", ".join(FORMATS)
        raise AudioError(f"{path}: the ending {suffix!r} is no known audio format (known: {known})")
    container, usual = FORMATS[suffix]
    if like is None or suffix == ".opus":
        return usual
    if container == "OGG":
        kept = like.format == "OGG" and like.subtype in OGG_SUBTYPES
    else:
        kept = like.subtype in PORTABLE_SUBTYPES
    return like.subtype if kept and soundfile.check_format(container, like.subtype) else usual


def check_limits(
    path: str | os.PathLike[str], channels: int, sample_rate: int, subtype: str
) -> None:
    """Raise AudioError for what libsndfile cannot write, or would crash of."""
    container, _ = FORMATS[Path(path).suffix.lower()]
    rates, most = LIMITS[subtype if container == "OGG" else container]
    reason = None
    if sample_rate not in rates:
        reason = f"sample rates are {_shown(rates)} Hz"
    elif channels > most:
        reason = f"at most {most} channels"
    if reason is not None:
        what = f"{channels} channels at {sample_rate} Hz as {subtype}"
        raise AudioError(f"{path}: cannot hold {what}: {reason}")


def _shown(rates: Collection[int]) -> str:
    if isinstance(rates, tuple):
        return ", ".join(map(str, rates))
    return f"1 to {max(rates)}" + ("" if isinstance(rates, range) else " (above 65535: tens)")
