"""What the results are held against: the bars for an H200 or H100, and the table of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from gpu_benchmark.compilation import EVALUATION, NEW_LENGTH
from gpu_benchmark.record import DONE, Record, in_words
from gpu_benchmark.resume import KILLED
from gpu_benchmark.steps import COMPILED, PYTORCH


@dataclass(frozen=True)
class Bar:
    """A figure and its bar."""

    what: str
    found: float | None
    """None where it was not measured"""
    bar: float
    unit: str
    at_least: bool = False

    @property
    def verdict(self) -> str:
        """In a word."""
        if self.found is None:
            return "not measured"
        met = self.found >= self.bar if self.at_least else self.found <= self.bar
        return "met" if met else "missed"


def bars(record: Record) -> Iterator[Bar]:
    """Those of issue 17's points 1, 3 and 4."""

    def exact(job: str, name: str) -> Any:
        return record.figure("exactness", "10 s", job, name)

    def both(shape: str, job: str) -> float | None:
        return _sum(
            record.figure("inference", shape, job, f"{part}code_ms") for part in ("en", "de")
        )

    def step(kind: str, side: str) -> float | None:
        return record.figure("steps", kind, side, "step_ms")

    def compiling(section: str, kind: str, job: str, *parts: str) -> float | None:
        return _sum(record.figure(section, kind, job, f"{part}_s") for part in parts)

    same = exact("ours, exact", "same_tokens_percent")
    yield Bar("tokens of the float64 oracle, exact", same, 99.99, "%", at_least=True)
    errors = exact("ours, exact", "error_rms"), exact("official, float64", "float32_error_rms")
    yield Bar("rms error of audio, times official float32's", _ratio(*errors), 2.0, "x")
    official = _least(both("16 x 10 s", f"PyTorch, {name}") for name in ("float32", "TF32"))
    ratio = _ratio(official, both("16 x 10 s", "ours, exact"))
    yield Bar("16 x 10 s, exact, times as fast as PyTorch", ratio, 4.0, "x", at_least=True)
    yield Bar("1 x 10 s, exact, encode + decode", both("1 x 10 s", "ours, exact"), 6.0, "ms")
    for kind, side, bar in (
        ("generator", "tf32", 2.5),
        ("generator", "bfloat16", 4.0),
        ("whole objective", "tf32", 1.5),
    ):
        best = _least(step(kind, other) for other in (PYTORCH, COMPILED))
        ratio = _ratio(best, step(kind, f"ours, {side}"))
        yield Bar(f"{kind}, {side}, times as fast as PyTorch", ratio, bar, "x", at_least=True)
    for kind, bar in (("generator", 60.0), ("whole objective", 150.0)):
        seconds = _first(
            compiling(section, kind, "ours, tf32", "lower", "compile")
            for section in ("steps", "compilation")
        )
        yield Bar(f"{kind}, tf32, compilation", seconds, bar, "s")
    seconds = compiling("compilation", EVALUATION, "ours", "lower", "compile")
    yield Bar("evaluation, compilation", seconds, 30.0, "s")
    seconds = compiling("compilation", NEW_LENGTH, "ours, exact", "encode", "decode")
    yield Bar("encode + decode of a new length, exact", seconds, 10.0, "s")
    same = record.figure("resume", KILLED, "deterministic", "unequal_arrays")
    yield Bar("arrays unequal after SIGKILL, deterministic", same, 0.0, "")


def summary(record: Record, with_bars: bool) -> list[Table]:
    """All results, and the bars."""
    results = Table("section", "measurement", "job", "", title="results", title_justify="left")
    for entry in record:
        what = in_words(entry.figures)
        if entry.status != DONE:
            what = f"{entry.status}: {entry.reason}" + (f" ({what})" if what else "")
        results.add_row(entry.section, entry.measurement, entry.job, what)
    table = Table("", "found", "bar", "", title="bars", title_justify="left")
    for bar in bars(record):
        found = "" if bar.found is None else f"{bar.found:.4g} {bar.unit}"
        sign = ">=" if bar.at_least else "<="
        table.add_row(bar.what, found, f"{sign} {bar.bar:g} {bar.unit}", bar.verdict)
    return [results, table] if with_bars else [results]


def _sum(values: Iterator[float | None]) -> float | None:
    found = list(values)
    return None if None in found else sum(value for value in found if value is not None)


def _least(values: Iterator[float | None]) -> float | None:
    return min((value for value in values if value is not None), default=None)


def _first(values: Iterator[float | None]) -> float | None:
    return next((value for value in values if value is not None), None)


def _ratio(above: float | None, below: float | None) -> float | None:
    return None if above is None or not below else above / below
