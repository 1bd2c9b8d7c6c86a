"""Tables of results on standard output."""

from __future__ import annotations

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

__all__ = ["print_table"]

WIDEST = 10_000


def print_table(table: Table, least_width: int = 0) -> None:
    """Folded into a terminal; in a file or a pipe, which has no width, each row is one line.

    With less than `least_width` columns, it is the terminal that breaks lines, and not cells.
    """
    console = Console(soft_wrap=True)
    console.width = max(console.width, least_width)
    if not console.is_terminal:
        options = console.options.update(max_width=WIDEST)
        console.width = max(console.width, Measurement.get(console, options, table).maximum)
    console.print(table)
