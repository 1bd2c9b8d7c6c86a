"""Rate, quality, latency and complexity of codecs: evaluated here, and as others published."""

from __future__ import annotations

import csv
import io
import math
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from l3ac_jax.config import CodecConfig, published_config
from l3ac_jax.errors import ComparisonError
from l3ac_jax.evaluation.complexity import products, resolve_config
from l3ac_jax.evaluation.published import published_points
from l3ac_jax.evaluation.receptive_field import look_aheads
from l3ac_jax.evaluation.report import CODEC_TITLES, Codec, Interval, Report, read_report
from l3ac_jax.system.files import complete_file

__all__ = [
    "SCORES",
    "ComparisonRow",
    "formula_gmac_per_second",
    "latency_ms",
    "measured_rows",
    "published_rows",
    "write_rows",
]

SCORES = ("pesq", "stoi", "visqol", "mel")
"""By their names in `report.METRICS`; the published figures have the first two."""

QUANTIZERS = {"l3ac": "one", **dict.fromkeys(("encodec", "dac", "mimi", "snac"), "several")}

# As in the published figures.
COUNTED_SECONDS = 10.0


class ComparisonRow(NamedTuple):
    """One codec at one rate."""

    measured: bool
    """Measured here; otherwise published."""
    codec: str
    point: str
    """Which model of the codec it is."""
    bitrate: float
    """bit/s"""
    tokens: float | None
    """in a second, of all quantizers"""
    latency_ms: float | None
    """from a sample to the same one decoded, other than for computing; inf where the whole clip
    matters, None where it is not known"""
    scores: dict[str, Interval]
    """By metric. A published score is its own interval, of 0 clips."""
    gmac: float | None
    """GMAC for a second of audio; of this package's codecs by formula, of others as published."""
    gmac_published: float | None
    quantizers: str | None
    test_set: str
    source: str


def measured_rows(paths: Sequence[str | os.PathLike[str]], domain: str) -> list[ComparisonRow]:
    """The codecs of evaluations (evaluation.json, or their folders) in one domain, by rate.

    Raises ReportError, and ComparisonError for an evaluation without this domain.
    """
    reports = [(Path(path), read_report(path)) for path in paths]
    names = Counter(codec.name for _, report in reports for codec in report.codecs)
    rows = []
    for path, report in reports:
        found = [summary.codec for summary in report.summaries if summary.domain == domain]
        if not found:
            domains = sorted({summary.domain for summary in report.summaries})
            raise ComparisonError(
                f"{path}: has no domain {domain!r}; there are {', '.join(domains) or 'none'}"
            )
        for codec in report.codecs:
            if codec.name in found and codec.kind != "noise":  # which is no codec
                point = codec.name if names[codec.name] == 1 else f"{codec.name} in {path}"
                rows.append(_measured_row(codec, point, report, domain, path))
    return sorted(rows, key=lambda row: (row.codec, row.bitrate))


def published_rows() -> list[ComparisonRow]:
    """What others published, codec by codec."""
    return [
        ComparisonRow(
            measured=False,
            codec=p.codec,
            point=p.codec,
            bitrate=p.bitrate,
            tokens=p.tokens_per_second
            if p.config is None
            else published_config(p.config).model.frame_rate,
            latency_ms=p.latency_ms
            if p.config is None
            else latency_ms(published_config(p.config).model),
            scores={
                metric: Interval(mean=value, low=value, high=value, clips=0)
                for metric, value in (("pesq", p.pesq), ("stoi", p.stoi))
                if value is not None
            },
            gmac=p.gmac_per_second
            if p.config is None
            else formula_gmac_per_second(published_config(p.config).model),
            gmac_published=p.gmac_per_second,
            quantizers=p.quantizers,
            test_set=p.test_set,
            source=p.source,
        )
        for p in published_points()
    ]


def formula_gmac_per_second(config: CodecConfig) -> float:
    """GMAC for a second of audio by formula, of encoding and decoding 10 s."""
    return sum(products(config, COUNTED_SECONDS).values()) / COUNTED_SECONDS / 1e9


def latency_ms(config: CodecConfig) -> float:
    """From a sample to the same one decoded, other than for computing, in a stream token by token.

    Infinite for norms over the whole clip.
    """
    if config.decoder.norm_statistics == "clip":
        return math.inf
    return 1000 * look_aheads(config).codec / config.sample_rate


def write_rows(
    path: str | os.PathLike[str], rows: Sequence[ComparisonRow], overwrite: bool = False
) -> None:
    """Write a CSV file, one row a line; what is unknown is empty. Raises OutputError."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    bounds = [f"{metric}{end}" for metric in SCORES for end in ("", "_low", "_high")]
    writer.writerow(["scores", "codec", "model", "bits_per_second", "tokens_per_second",
                     "latency_ms", *bounds, "clips",
                     "gmac_per_second", "gmac_per_second_published", "quantizers", "test_set",
                     "source"])  # fmt: skip
    for row in rows:
        scores = [row.scores.get(metric) for metric in SCORES]
        values = [v for s in scores for v in ((s.mean, s.low, s.high) if s else (None,) * 3)]
        clips = max((score.clips for score in scores if score), default=0)
        writer.writerow(["measured" if row.measured else "published", row.codec, row.point,
                         row.bitrate, row.tokens, row.latency_ms, *values, clips or None, row.gmac,
                         row.gmac_published, row.quantizers, row.test_set, row.source])  # fmt: skip
    with complete_file(path, overwrite) as part:
        part.write_text(text.getvalue(), encoding="utf-8")


def _measured_row(
    codec: Codec, point: str, report: Report, domain: str, path: Path
) -> ComparisonRow:
    scores = report.summary(codec.name, domain).scores
    config = _config(codec)
    return ComparisonRow(
        measured=True,
        codec=CODEC_TITLES[codec.kind],
        point=point,
        bitrate=codec.bitrate,
        tokens=codec.token_rate,
        latency_ms=None if config is None else latency_ms(config),
        scores={metric: scores[metric] for metric in SCORES if metric in scores},
        gmac=None if config is None else formula_gmac_per_second(config),
        gmac_published=None,
        quantizers=QUANTIZERS.get(codec.kind),
        test_set=f"{report.data}, {domain}",
        source=str(path),
    )


def _config(codec: Codec) -> CodecConfig | None:
    """None for other codecs than L3AC, and where the name no longer leads to this model."""
    if codec.kind != "l3ac":
        return None
    try:
        config = resolve_config(codec.name)
    except (ValueError, OSError):
        return None
    same = (config.codebook_size, config.frame_rate) == (codec.codebook_size, codec.frame_rate)
    return config if same else None
