"""What an evaluation found: evaluation.json, which the tables, figures and pages are made of."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ValidationError

from l3ac_jax.errors import ReportError
from l3ac_jax.system.files import complete_file

__all__ = [
    "ALL",
    "CODEC_TITLES",
    "METRICS",
    "REPORT_FILE",
    "ClipScores",
    "Codec",
    "Interval",
    "Metric",
    "Report",
    "Summary",
    "confidence_interval",
    "read_report",
    "write_report",
]

REPORT_FILE = "evaluation.json"
VERSION = 1
ALL = "all"  # the domain of all clips together


class Metric(NamedTuple):
    """How a score is shown; `better` says which direction is."""

    title: str
    unit: str
    better: Literal["higher", "lower", "neither"]
    decimals: int


METRICS = {
    "pesq": Metric("PESQ-WB", "MOS", "higher", 2),
    "stoi": Metric("STOI", "", "higher", 3),
    "estoi": Metric("ESTOI", "", "higher", 3),
    "si_sdr": Metric("SI-SDR", "dB", "higher", 1),
    "lsd": Metric("log-spectral distance", "dB", "lower", 2),
    "mel": Metric("mel distance", "", "lower", 3),
    "f0_correlation": Metric("F0 correlation", "", "higher", 3),
    "voicing_error": Metric("voicing error", "%", "lower", 1),
    "visqol": Metric("ViSQOL audio", "MOS", "higher", 2),
    "mel_low": Metric("mel distance below 1 kHz", "", "lower", 3),
    "mel_mid": Metric("mel distance, 1 to 4 kHz", "", "lower", 3),
    "mel_high": Metric("mel distance above 4 kHz", "", "lower", 3),
    "stft_low": Metric("STFT distance below 1 kHz", "", "lower", 3),
    "stft_mid": Metric("STFT distance, 1 to 4 kHz", "", "lower", 3),
    "stft_high": Metric("STFT distance above 4 kHz", "", "lower", 3),
    "correlation_low": Metric("Correlation below 1 kHz", "", "higher", 3),
    "correlation_mid": Metric("Correlation of 1 to 4 kHz", "", "higher", 3),
    "correlation_high": Metric("Correlation above 4 kHz", "", "higher", 3),
    "chroma": Metric("chroma similarity", "", "higher", 3),
    "onset_f": Metric("onsets, F-measure", "", "higher", 3),
    "onset_strength": Metric("onset strength, correlation", "", "higher", 3),
    "tempo": Metric("the same tempo, share", "", "higher", 2),
    "beat_f": Metric("beats, F-measure", "", "higher", 3),
    "loudness": Metric("loudness difference", "LU", "neither", 1),
    "note_f": Metric("notes, F-measure", "", "higher", 3),
    "wer": Metric("word error rate", "%", "lower", 1),
    "speaker": Metric("speaker similarity", "", "higher", 3),
    "dnsmos": Metric("DNSMOS", "MOS", "higher", 2),
    "encode_rtf": Metric("encode, real-time factor", "", "lower", 4),
    "decode_rtf": Metric("decode, real-time factor", "", "lower", 4),
    "usage": Metric("codebook use", "%", "higher", 2),
    "perplexity": Metric("perplexity", "", "higher", 0),
    "level_usage": Metric("use of levels", "%", "higher", 1),
    "entropy_rate": Metric("entropy-coded rate", "bit/s", "lower", 0),
}
"""All scores by the name that they have in files; real-time factors are seconds of computing for
each second of audio."""


CODEC_TITLES = {
    "l3ac": "L3AC",
    "opus": "Opus",
    "codec2": "Codec 2",
    "encodec": "EnCodec",
    "dac": "DAC",
    "mimi": "Mimi",
    "snac": "SNAC",
    "noise": "noise",
}
"""What codecs are called, by their kind."""


class _Record(BaseModel, frozen=True, extra="forbid"):
    pass


class Codec(_Record, frozen=True):
    """What was evaluated; `levels` are those of its quantizer's dimensions.

    `bitrate` is nominal, but for "opus" that of its packets, measured, and for "noise", which is no
    codec, that of 16-bit PCM. `token_rate` counts the tokens of all codebooks in a second.
    `delay_ms` is by how much its output was late, which was found by correlation and removed.
    """

    name: str
    kind: Literal["l3ac", "opus", "codec2", "encodec", "dac", "mimi", "snac", "noise"]
    bitrate: float
    sample_rate: int
    frame_rate: float | None = None
    token_rate: float | None = None
    codebook_size: int | None = None
    parameters: int | None = None
    levels: tuple[int, ...] = ()
    delay_ms: float = 0.0


class ClipScores(_Record, frozen=True):
    """One clip through one codec; None is a score that does not exist, as STOI of silence."""

    codec: str
    clip: str
    domain: str
    seconds: float
    scores: dict[str, float | None]


class Interval(_Record, frozen=True):
    """A mean over `clips` clips, and its 95 % confidence interval."""

    mean: float
    low: float
    high: float
    clips: int


class Summary(_Record, frozen=True):
    """One codec in one domain, or in "all" clips.

    `codebook` says how the tokens of these clips use it (`codebook_scores` of `metrics`).
    """

    codec: str
    domain: str
    clips: int
    seconds: float
    scores: dict[str, Interval]
    codebook: dict[str, float] = {}


class Report(_Record, frozen=True):
    """An evaluation. `failures` are lines that name a clip and what was wrong with it."""

    version: Literal[1] = VERSION
    data: str
    seed: int
    codecs: tuple[Codec, ...]
    clips: tuple[ClipScores, ...]
    summaries: tuple[Summary, ...]
    failures: tuple[str, ...] = ()

    def codec(self, name: str) -> Codec:
        """Raises KeyError for a name that is not there."""
        return next((codec for codec in self.codecs if codec.name == name), None) or _missing(name)

    def summary(self, codec: str, domain: str = ALL) -> Summary:
        """Raises KeyError for what is not there."""
        found = (s for s in self.summaries if (s.codec, s.domain) == (codec, domain))
        return next(found, None) or _missing(f"{codec} in {domain}")


def _missing(what: str) -> Any:
    raise KeyError(what)


def confidence_interval(values: Iterable[float | None], seed: int = 0) -> Interval | None:
    """The mean of the finite values and its 95 % bootstrap interval (percentiles, 2,000 draws).

    None without finite values; a single one is its own interval.
    """
    finite = np.array([v for v in values if v is not None and math.isfinite(v)])
    if not len(finite):
        return None
    draws = np.random.default_rng(seed).integers(0, len(finite), (2000, len(finite)))
    low, high = np.percentile(finite[draws].mean(axis=1), [2.5, 97.5])
    return Interval(mean=finite.mean(), low=low, high=high, clips=len(finite))


def write_report(folder: str | os.PathLike[str], report: Report) -> None:
    """Write FOLDER/evaluation.json, in place of an earlier one. Raises OutputError."""
    with complete_file(Path(folder) / REPORT_FILE, overwrite=True) as part:
        part.write_text(report.model_dump_json(indent=1) + "\n", encoding="utf-8")


def read_report(path: str | os.PathLike[str]) -> Report:
    """Read evaluation.json, or that of a folder. Raises ReportError."""
    path = Path(path)
    path = path / REPORT_FILE if path.is_dir() else path
    try:
        return Report.model_validate(json.loads(path.read_bytes()))
    except OSError as error:
        raise ReportError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise ReportError(f"{path}: is no evaluation: {where}: {problem['msg']}") from error
    except ValueError as error:
        raise ReportError(f"{path}: is not JSON: {error}") from error
