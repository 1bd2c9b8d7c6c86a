"""Results as a table in Markdown."""

from __future__ import annotations

from collections.abc import Mapping

from audio_torture.campaign import OUTCOMES, Result

__all__ = ["table"]


def table(results: Mapping[str, Result]) -> str:
    """A row for each format, and a list of what should not be."""
    head = ["format", "variants", *OUTCOMES, "slowest", "memory at most"]
    rows = [head, ["---"] * len(head)]
    for name, result in results.items():
        counts = [str(result.outcomes[outcome]) for outcome in OUTCOMES]
        limits = [f"{result.seconds:.2f} s", f"{result.megabytes:.0f} MB"]
        rows.append([f"`{name}`", str(result.outcomes.total()), *counts, *limits])
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    errors = [f"- {error}" for result in results.values() for error in result.errors]
    return "\n".join([*lines, *([""] if errors else []), *errors])
