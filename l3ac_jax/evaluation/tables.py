"""A report as tables for a terminal."""

from __future__ import annotations

from rich.table import Table

from l3ac_jax.evaluation.report import METRICS, Report, Summary
from l3ac_jax.metrics.music import MUSIC_SCORES

__all__ = ["report_tables"]

OF_SPEECH = {"stoi", "estoi", "f0_correlation", "voicing_error", "wer", "speaker", "dnsmos"}
OF_MUSIC = {*MUSIC_SCORES, "note_f"}
# Domains by what their clips are not: the tables leave out what says nothing of them.
UNFIT = {"speech": OF_MUSIC, "music": OF_SPEECH}


def report_tables(report: Report) -> list[Table]:
    """A table for each domain: codecs side by side, means and half of the 95 % intervals.

    Those of domains named speech and music have the scores that fit them; the report has all.
    """
    domains = dict.fromkeys(part.domain for part in report.summaries)
    return [_table(report, domain) for domain in domains]


def _table(report: Report, domain: str) -> Table:
    parts = [part for part in report.summaries if part.domain == domain]
    clips = max(part.clips for part in parts)
    seconds = max(part.seconds for part in parts)
    title = f"{domain}: {clips} clip{'' if clips == 1 else 's'}, {seconds:.0f} s"
    table = Table("", title=title, title_justify="left")
    for part in parts:
        table.add_column(part.codec, justify="right", overflow="fold")
    table.add_row("bit/s", *(f"{report.codec(part.codec).bitrate:.0f}" for part in parts))
    delays = [report.codec(part.codec).delay_ms for part in parts]
    if any(delays):
        table.add_row("delay, removed (ms)", *(f"{delay:.1f}" if delay else "" for delay in delays))
    for name in METRICS:
        if name in UNFIT.get(domain, ()):
            continue
        cells = [_cell(name, part) for part in parts]
        if any(cells):
            table.add_row(_heading(name), *cells)
    return table


def _heading(name: str) -> str:
    metric = METRICS[name]
    return f"{metric.title} ({metric.unit})" if metric.unit else metric.title


def _cell(name: str, part: Summary) -> str:
    decimals = METRICS[name].decimals
    if name in part.scores:
        interval = part.scores[name]
        half = (interval.high - interval.low) / 2
        return f"{interval.mean:.{decimals}f} ±{half:.{decimals}f}"
    return f"{part.codebook[name]:,.{decimals}f}" if name in part.codebook else ""
