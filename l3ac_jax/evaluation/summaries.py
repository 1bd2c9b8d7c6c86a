"""From the results of clips to means of domains, and to a table for other programs."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from l3ac_jax.evaluation.report import (
    ALL,
    METRICS,
    ClipScores,
    Codec,
    Interval,
    Report,
    Summary,
    confidence_interval,
)
from l3ac_jax.metrics.codebook import codebook_scores
from l3ac_jax.system.files import complete_file

__all__ = ["CSV_FILE", "CodedClip", "summarize", "write_csv"]

CSV_FILE = "clips.csv"


@dataclass(frozen=True)
class CodedClip:
    """How a clip was coded; seconds are of audio in `seconds`, else of computing."""

    seconds: float
    bits: float
    encode_seconds: float | None
    decode_seconds: float | None
    tokens: list[int] | None

    @property
    def real_time_factors(self) -> dict[str, float]:
        """Seconds of computing for each second of audio, where they were measured."""
        times = {"encode_rtf": self.encode_seconds, "decode_rtf": self.decode_seconds}
        return {k: value / self.seconds for k, value in times.items() if value is not None}


def summarize(
    codec: Codec, clips: Sequence[ClipScores], coded: Mapping[str, CodedClip], seed: int
) -> list[Summary]:
    """One summary for each domain, the last one for all clips if there are several domains."""
    domains = sorted({clip.domain for clip in clips})
    groups = {name: [clip for clip in clips if clip.domain == name] for name in domains}
    groups[ALL] = list(clips)
    return [_summary(codec, name, group, coded, seed) for name, group in groups.items() if group]


def _summary(
    codec: Codec,
    domain: str,
    clips: Sequence[ClipScores],
    coded: Mapping[str, CodedClip],
    seed: int,
) -> Summary:
    scores: dict[str, Interval] = {}
    for name in METRICS:
        interval = confidence_interval([clip.scores.get(name) for clip in clips], seed)
        if interval is not None:
            scores[name] = interval
    tokens = [coded[clip.clip].tokens for clip in clips]
    codebook = {}
    if codec.levels and codec.frame_rate is not None:
        joined = np.array([token for row in tokens if row is not None for token in row], np.int64)
        codebook = codebook_scores(joined, codec.levels, codec.frame_rate)
    seconds = math.fsum(clip.seconds for clip in clips)
    return Summary(
        codec=codec.name,
        domain=domain,
        clips=len(clips),
        seconds=seconds,
        scores=scores,
        codebook=codebook,
    )


def write_csv(folder: Path, report: Report) -> None:
    """Write FOLDER/clips.csv, in place of an earlier one; empty fields are scores without a value.

    Raises OutputError.
    """
    used = [name for name in METRICS if any(name in clip.scores for clip in report.clips)]
    with (
        complete_file(folder / CSV_FILE, overwrite=True) as part,
        part.open("w", encoding="utf-8", newline="") as file,
    ):
        table = csv.writer(file)
        table.writerow(["codec", "bitrate", "clip", "domain", "seconds", *used])
        for clip in report.clips:
            bitrate = round(report.codec(clip.codec).bitrate, 1)
            values = [clip.scores.get(name) for name in used]
            shown = ["" if value is None else f"{value:.6g}" for value in values]
            table.writerow([clip.codec, bitrate, clip.clip, clip.domain, clip.seconds, *shown])
