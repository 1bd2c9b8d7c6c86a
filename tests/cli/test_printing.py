"""Tables are read in terminals and in files."""

import pytest
from rich.table import Table

from l3ac_jax.cli.printing import print_table

CELLS = [f"correlation of band {number}" for number in range(12)]


@pytest.fixture
def table():
    table = Table(*CELLS)
    table.add_row(*(f"{number}.000 ±0.001" for number in range(12)))
    return table


def test_in_a_file_no_cell_is_broken(table, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    print_table(table)
    lines = capsys.readouterr().out.splitlines()
    assert all(cell in lines[1] for cell in CELLS)
    assert "11.000 ±0.001" in lines[3]


def test_a_terminal_is_not_left(table, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich then takes anything for a terminal
    monkeypatch.setenv("COLUMNS", "60")
    print_table(table)
    folded = capsys.readouterr().out.splitlines()
    print_table(table, least_width=120)
    wider = capsys.readouterr().out.splitlines()
    assert len(folded[0]) <= 60 < len(wider[0]) <= 120
