"""How long a program takes to compile, and what comes out."""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from dataclasses import dataclass

from ahead_of_time.programs import ToCompile
from ahead_of_time.target import Target

__all__ = ["Compiled", "compiled", "steps_of"]

# Instructions of a scheduled program that are no work of their own.
NO_WORK = {"parameter", "constant", "bitcast", "tuple", "get-tuple-element", "after-all"}
INSTRUCTION = re.compile(r"\s+(?:ROOT )?%?[\w.-]+ = (?:\(.*?\)|\S+) ([\w-]+)\(")
LIBRARY = re.compile(r'custom_call_target="(?:__)?(\w+)')


@dataclass(frozen=True)
class Compiled:
    """What is known of a program without running it."""

    name: str
    lower_s: float
    """seconds of tracing and lowering, all of it Python"""
    compile_s: float
    """seconds of compiling"""
    compile_cpu_s: float
    """the same, of all threads and processes together"""
    steps: dict[str, int]
    """what is run one after the other, by kind: fusions, products of cuBLAS, ..."""
    instructions: int
    """of the whole optimized program, those inside fusions among them"""
    memory_gib: float
    """at its peak: arguments, results and what lies between, without the libraries' own"""


def compiled(program: ToCompile, target: Target) -> Compiled:
    """Without any cache."""
    begin = time.monotonic()
    lowered = target.lower(program.function, program.arguments, program.donated)
    lowering = time.monotonic() - begin
    begin, begin_cpu = time.monotonic(), _processor_seconds()
    executable = lowered.compile(compiler_options=target.options)
    seconds, cpu = time.monotonic() - begin, _processor_seconds() - begin_cpu
    text, memory = executable.as_text() or "", executable.memory_analysis()
    assert memory is not None  # both compilers know it
    held = (
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes
        + memory.temp_size_in_bytes
    )
    instructions = sum(INSTRUCTION.match(line) is not None for line in text.splitlines())
    steps = dict(steps_of(text).most_common())
    return Compiled(program.name, lowering, seconds, cpu, steps, instructions, held / 2**30)


def steps_of(text: str) -> Counter[str]:
    """How many there are of each kind in the entry computation of an optimized HLO module."""
    found: Counter[str] = Counter()
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith("ENTRY"):
            break
    for line in lines:
        if line.startswith("}"):
            break
        match = INSTRUCTION.match(line)
        if match is None or match[1] in NO_WORK:
            continue
        library = LIBRARY.search(line) if match[1] == "custom-call" else None
        found[match[1] if library is None else _library(library[1])] += 1
    return found


def _processor_seconds() -> float:
    """With those of ptxas, which is a process of its own for each kernel."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _library(target: str) -> str:
    """cublas, cudnn, or whatever it is called."""
    return next((name for name in ("cublas", "cudnn") if name in target), target)
