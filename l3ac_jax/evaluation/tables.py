"""A report as tables for a terminal."""

from __future__ import annotations

from rich.table import Table

from l3ac_jax.evaluation.report import METRICS, Report, Summary

__all__ = ["report_tables"]

SIGNALS = ("pesq", "stoi", "estoi", "si_sdr", "lsd", "mel", "f0_correlation", "voicing_error")
MODELS = ("wer", "speaker", "dnsmos")
SPEED = ("encode_rtf", "decode_rtf")
CODEBOOK = ("usage", "perplexity", "level_usage", "entropy_rate")


def report_tables(report: Report) -> list[Table]:
    """How close the decoded audio is, with 95 % intervals; speed and use of the codebook."""
    quality = [name for name in (*SIGNALS, *MODELS) if _has(report, name)]
    tables = [_table(report, "Quality (mean and half of the 95 % interval)", quality)]
    rest = [name for name in (*SPEED, *CODEBOOK) if _has(report, name)]
    if rest:
        tables.append(_table(report, "Speed and tokens", rest))
    return tables


def _has(report: Report, name: str) -> bool:
    return any(name in part.scores or name in part.codebook for part in report.summaries)


def _table(report: Report, title: str, names: list[str]) -> Table:
    table = Table("domain", "codec", title=title)
    for heading in ("bit/s", "clips", *map(_heading, names)):
        table.add_column(heading, justify="right")
    for domain in dict.fromkeys(part.domain for part in report.summaries):
        for part in report.summaries:
            if part.domain == domain:
                bitrate = f"{report.codec(part.codec).bitrate:.0f}"
                cells = [_cell(name, part) for name in names]
                table.add_row(domain, part.codec, bitrate, str(part.clips), *cells)
        table.add_section()
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
