"""The rows of a listening page's tables: scores as text, and as what they are sorted by."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from l3ac_jax.evaluation.report import (
    ALL,
    METRICS,
    ClipScores,
    Codec,
    Interval,
    Metric,
    Report,
    Summary,
)

__all__ = ["ListeningRow", "ShownScore", "SummaryRow", "clip_rows", "metrics_of", "summary_rows"]

# A page is the same for the same codecs and clips; these differ from run to run.
TIMES = {"encode_rtf", "decode_rtf"}
NO_SCORE = "\N{EN DASH}"


class ShownScore(NamedTuple):
    """As it is shown; `value` is what the table is sorted by, "" where there is no score."""

    metric: Metric
    text: str
    value: str = ""
    interval: str = ""


class ListeningRow(NamedTuple):
    """A clip, which has a card with a number from 1, through a codec."""

    card: int
    clip: str
    domain: str
    codec: Codec
    scores: list[ShownScore]


class SummaryRow(NamedTuple):
    """A codec's means over the clips of a domain."""

    codec: Codec
    domain: str
    clips: int
    scores: list[ShownScore]


def metrics_of(records: Iterable[ClipScores | Summary]) -> dict[str, Metric]:
    """Those that any of the records has, in the usual order, without times."""
    found = {
        name for record in records for name, value in record.scores.items() if value is not None
    } - TIMES
    return {name: metric for name, metric in METRICS.items() if name in found}


def clip_rows(report: Report) -> list[ListeningRow]:
    """Clip by clip, the codecs of each in the report's order."""
    metrics = metrics_of(report.clips)
    numbers = {name: i for i, name in enumerate(dict.fromkeys(c.clip for c in report.clips), 1)}
    order = {codec.name: position for position, codec in enumerate(report.codecs)}
    rows = [
        ListeningRow(
            numbers[clip.clip],
            clip.clip,
            clip.domain,
            report.codecs[order[clip.codec]],
            [_score(metric, clip.scores.get(name)) for name, metric in metrics.items()],
        )
        for clip in report.clips
    ]
    return sorted(rows, key=lambda row: (row.card, order[row.codec.name]))


def summary_rows(report: Report) -> list[SummaryRow]:
    """All clips first, then each domain; the codecs of each in the report's order."""
    metrics = metrics_of(report.summaries)
    summaries = {(s.domain, s.codec): s for s in report.summaries}
    domains = dict.fromkeys([ALL, *(summary.domain for summary in report.summaries)])
    return [
        SummaryRow(
            codec,
            domain,
            summary.clips,
            [_mean(metric, summary.scores.get(name)) for name, metric in metrics.items()],
        )
        for domain in domains
        for codec in report.codecs
        if (summary := summaries.get((domain, codec.name)))
    ]


def _score(metric: Metric, value: float | None) -> ShownScore:
    if value is None or not math.isfinite(value):
        return ShownScore(metric, NO_SCORE)
    # Two digits more than are shown are enough to sort by. The last ones of a float can differ from
    # run to run, with the number of threads that libraries use.
    return ShownScore(metric, _number(value, metric.decimals), f"{value:.{metric.decimals + 2}f}")


def _mean(metric: Metric, interval: Interval | None) -> ShownScore:
    if interval is None:
        return ShownScore(metric, NO_SCORE)
    low, high = (_number(end, metric.decimals) for end in (interval.low, interval.high))
    return _score(metric, interval.mean)._replace(interval=f"{low} to {high}")


def _number(value: float, decimals: int) -> str:
    return f"{value:,.{decimals}f}".replace("-", "\N{MINUS SIGN}")
