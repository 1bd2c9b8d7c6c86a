"""Jobs for the tests of benchmark_gpu.py's scheduler: they measure nothing."""

import json
import os
import time
from pathlib import Path


def quick(voice, settings):
    voice.figures(answer=42)
    voice.at_end = lambda: {"runs_taken": runs}
    runs = 0

    def run():
        nonlocal runs
        runs += 1
        return {"step_ms": float(runs)}

    return run


def broken(voice, settings):
    raise ValueError("there is no such thing\nand more")


def dies(voice, settings):
    print("out of memory, say")
    os._exit(3)


def stuck(voice, settings):
    time.sleep(600)


def breaks_off(voice, settings):
    def run():
        raise RuntimeError("the second thought")

    return run


def compiles(voice, settings, begun, until):
    """Notes when it was running, until a file is there; makes one when it begins."""
    moments = [time.monotonic()]
    Path(begun).touch()
    with voice.span("compile_s"):
        while not Path(until).exists():
            moments.append(time.monotonic())
            time.sleep(0.002)
    Path(settings.work, "compiling.json").write_text(json.dumps(moments))


def is_timed(voice, settings, begun, until):
    """Notes when it was run, after the other one has begun."""
    while not Path(begun).exists():
        time.sleep(0.002)
    spans = []

    def run():
        start = time.monotonic()
        time.sleep(0.2)
        spans.append((start, time.monotonic()))
        return {"step_ms": 200.0}

    def end():
        Path(settings.work, "timed.json").write_text(json.dumps(spans))
        Path(until).touch()
        return {}

    voice.at_end = end
    return run
