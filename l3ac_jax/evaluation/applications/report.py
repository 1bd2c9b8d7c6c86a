"""What was found of an application: a JSON file, and a table for a terminal."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from l3ac_jax.evaluation.report import Metric
from l3ac_jax.system.files import complete_file

__all__ = ["ORIGINAL", "ApplicationReport", "ClipValues", "Figure", "Row", "report_table",
           "write_report"]  # fmt: skip

VERSION = 1
ORIGINAL = "original"
"""The name of the row of originals."""


class _Record(BaseModel, frozen=True, extra="forbid"):
    pass


class Figure(_Record, frozen=True):
    """A value with its 95 % bootstrap interval, and by how much it differs from the originals'.

    `change` and its interval are of the same draws as the originals' value; None where originals
    have none.
    """

    value: float
    low: float
    high: float
    change: float | None = None
    change_low: float | None = None
    change_high: float | None = None


class ClipValues(_Record, frozen=True):
    """One clip; None is a value that does not exist, as an error rate without a transcript."""

    clip: str
    label: str
    seconds: float
    values: dict[str, float | None]


class Row(_Record, frozen=True):
    """One codec (or ORIGINAL): `bitrate` in bit/s is nominal, for Opus that of its packets."""

    codec: str
    bitrate: float | None
    figures: dict[str, Figure]
    clips: tuple[ClipValues, ...]


class ApplicationReport(_Record, frozen=True):
    """One application over one folder; `units` are what the bootstrap draws."""

    version: Literal[1] = VERSION
    application: str
    model: str
    data: str
    seed: int
    units: int
    seconds: float
    rows: tuple[Row, ...]
    remarks: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()


def write_report(
    path: str | os.PathLike[str], report: ApplicationReport, overwrite: bool = False
) -> None:
    """Write a report as JSON. Raises OutputError."""
    with complete_file(path, overwrite) as part:
        part.write_text(report.model_dump_json(indent=1) + "\n", encoding="utf-8")


def report_table(report: ApplicationReport, metrics: Mapping[str, Metric]) -> Table:
    """Codecs below each other, with 95 % intervals in brackets."""
    clips = len(report.rows[0].clips)
    title = (
        f"{report.application}: {clips} clip{'' if clips == 1 else 's'}, {report.seconds:.0f} s; "
        f"{report.model}"
    )
    columns = [("", [row.codec for row in report.rows])]
    columns.append(("bit/s", [f"{row.bitrate:.0f}" if row.bitrate else "" for row in report.rows]))
    for name, metric in metrics.items():
        figures = [row.figures.get(name) for row in report.rows]
        heading = f"{metric.title} ({metric.unit})" if metric.unit else metric.title
        columns.append((heading, [_value(figure, metric.decimals) for figure in figures]))
        changes = [_change(figure, metric.decimals) for figure in figures]
        if any(changes):
            columns.append(("against the original", changes))
    table = Table(
        title=title,
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
        pad_edge=False,
    )
    columns = [(heading, cells) for heading, cells in columns if any(cells)]
    for number, (heading, cells) in enumerate(columns):
        # Where there is little room, headings are folded, and figures are not.
        table.add_column(
            heading, justify="right" if number else "left", min_width=max(map(len, cells))
        )
    for cells in zip(*(cells for _, cells in columns), strict=True):
        table.add_row(*map(escape, cells))
    return table


def _value(figure: Figure | None, digits: int) -> str:
    if figure is None:
        return ""
    return f"{figure.value:.{digits}f} [{figure.low:.{digits}f}, {figure.high:.{digits}f}]"


def _change(figure: Figure | None, digits: int) -> str:
    if figure is None or figure.change is None:
        return ""
    low, high = figure.change_low, figure.change_high
    assert low is not None and high is not None
    return f"{figure.change:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"
