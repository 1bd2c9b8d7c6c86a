r"""Speed of a stream: the time of each step of encoder and decoder, by length of the block.

    python experiments/benchmark_stream.py small --out stream.json
    python experiments/benchmark_stream.py configs/3kbps.toml --minutes 1
    python experiments/benchmark_stream.py small --minutes 1 --hours 1

MODEL is a name, a model folder or file, or a training run; of a configuration file (.toml) the
parameters are random, which takes the same time. A decoder that norms over the whole clip runs with
statistics over the past instead, which the output says.

Speech goes through `streaming_encoder` and its tokens through `streaming_decoder`, a block at a
time, each as soon as the one before is done: for each block length the median, the 99th percentile
and the largest time of a step, what share of the block's own duration the mean is, and the memory
of the process. Then, for one token at a time, what a step is made of: its weights and the time to
stream as many bytes through memory, the state, an empty program with the same arguments, and the
number of programs' parts that run one after the other. With --hours, memory over so much audio.

Ten minutes of audio take some minutes for each block length.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from l3ac_jax.cli.run import run_command
from l3ac_jax.errors import ArgumentError

if TYPE_CHECKING:
    from l3ac_jax.codec.l3ac import L3AC

PROGRAM = "benchmark_stream.py"
HEAD = (
    f"{'block':>9} {'part':<8} {'median':>9} {'p99':>9} {'largest':>9} {'of real time':>13} "
    f"{'memory before, after':>22}"
)


@dataclass(frozen=True)
class Options:
    """What to measure."""

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
    """Name, model folder or file, training run, or configuration file."""
    minutes: float = 10
    """Of audio for each block length."""
    blocks: tuple[float, ...] = (24, 48, 96)
    """Lengths of blocks in ms, beside that of one token; each becomes whole tokens."""
    hours: float = 0
    """Of audio in which memory is watched, in blocks of the first of these lengths."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Write all results as JSON, anew after each of them."""
    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Replace an existing file."""
    seed: int = 0
    """Of random parameters."""


def measure(options: Options) -> None:
    """Print what there is as soon as it is known."""
    from l3ac_jax.system.files import check_output

    for name, values in (("minutes", [options.minutes]), ("blocks", options.blocks)):
        if min(values, default=0) <= 0:
            raise ArgumentError(f"--{name}: must be more than 0")
    if options.hours < 0:
        raise ArgumentError(f"--hours: must be 0 or more, got {options.hours:g}")
    if options.out is not None:
        check_output(options.out, options.overwrite)

    import jax
    from stream_models import streaming_codec

    from l3ac_jax.system.compilation import keep_compiled_programs

    keep_compiled_programs()
    codec, words = streaming_codec(options.model, options.seed)
    device = jax.devices()[0].device_kind
    report: dict[str, Any] = {
        "model": options.model,
        "what": words,
        "device": device,
        "processors": _processors(),
        "jax": jax.__version__,
        "hop_ms": _ms(codec, codec.hop_length),
        "minutes": options.minutes,
        "blocks": [],
    }
    _say(f"{options.model}: {words}")
    _say(
        f"{device}, {_processors()} processors, jax {jax.__version__}; {options.minutes:g} minutes"
    )
    _say(HEAD)
    for tokens in _sizes(codec, options.blocks):
        report["blocks"].append(_block(codec, tokens, options.minutes * 60))
        _write(options, report)
    report["one_token"] = _one_token(codec, report["blocks"][0]["steps"])
    _write(options, report)
    if options.hours:
        tokens = _tokens(codec, options.blocks[0])
        report["memory"] = _memory(codec, tokens, options.hours * 3600)
        _write(options, report)


def _say(line: str) -> None:
    print(line, flush=True)


def _write(options: Options, report: dict[str, Any]) -> None:
    from l3ac_jax.system.files import complete_file

    if options.out is not None:
        with complete_file(options.out, overwrite=True) as temporary:
            temporary.write_text(json.dumps(report, indent=1) + "\n")


def _processors() -> int:
    affinity = getattr(os, "sched_getaffinity", None)  # not everywhere
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _ms(codec: L3AC, samples: float) -> float:
    return 1000 * samples / codec.sample_rate


def _tokens(codec: L3AC, ms: float) -> int:
    return max(1, round(ms * codec.frame_rate / 1000))


def _sizes(codec: L3AC, blocks: tuple[float, ...]) -> list[int]:
    return sorted({1, *(_tokens(codec, ms) for ms in blocks)})


def _block(codec: L3AC, tokens: int, seconds: float) -> dict[str, Any]:
    """The steps of one block length."""
    import numpy as np
    from measurement import resident_mib
    from stream_steps import Loopback, figures

    loopback = Loopback(codec, tokens)
    loopback.warm_up()
    count = max(1, round(seconds * codec.sample_rate / loopback.samples))
    # Written once, so that the table of times does not grow in memory while they are taken.
    times = np.full((count, 2), np.nan)
    before = resident_mib()
    for row in times:
        row[:] = loopback.step()
    after = resident_mib()
    block = loopback.samples / codec.sample_rate
    ms = 1000 * block
    parts = (("encode", times[:, 0]), ("decode", times[:, 1]), ("both", times.sum(axis=1)))
    steps = {}
    for name, each in parts:
        found = steps[name] = figures(each, block)
        _say(
            f"{ms:6.1f} ms {name:<8} {found['median_ms']:6.2f} ms {found['p99_ms']:6.2f} ms "
            f"{found['largest_ms']:6.2f} ms {100 * found['of_real_time']:11.1f} % "
            + (f"{before:9.0f}, {after:.0f} MiB" if name == "both" else "")
        )
    return {
        "tokens": tokens,
        "block_ms": ms,
        "count": count,
        "latency_ms": {
            "encoder": _ms(codec, loopback.encoder.latency),
            "decoder": _ms(codec, loopback.decoder.latency),
        },
        "steps": steps,
        "mib_before": before,
        "mib_after": after,
    }


def _one_token(codec: L3AC, steps: dict[str, Any]) -> dict[str, Any]:
    """What the steps of one token are made of."""
    from stream_steps import parts_of_step

    _say("\nOne token at a time: what a step is made of")
    found = {}
    for name in ("encode", "decode"):
        part = found[name] = parts_of_step(codec, name)
        whole = steps[name]["median_ms"]
        rate = part["weight_mib"] * 2**20 / part["step_ms"] / 1e6
        part["weights_gb_per_second"] = rate
        _say(
            f"{name}: {whole:.2f} ms a push, of which {part['step_ms']:.2f} ms are the compiled "
            f"step\n"
            f"  weights: {part['weight_mib']:.1f} MiB, read once a step: {rate:.1f} GB/s. As many "
            f"bytes streamed by one operation: {part['stream_ms']:.2f} ms, "
            f"{part['stream_gb_per_second']:.1f} GB/s\n"
            f"  state: {part['state_mib']:.2f} MiB in {part['state_arrays']} arrays; "
            f"{part['weight_arrays']} arrays of weights\n"
            f"  dispatch: an empty program with the same arguments takes "
            f"{part['empty_ms']:.2f} ms\n"
            f"  operations: {part['operations']} after fusion, "
            f"{1000 * part['step_ms'] / part['operations']:.1f} us each; "
            f"{part['gflop_per_second']:.1f} GFLOP/s"
        )
    return found


def _memory(codec: L3AC, tokens: int, seconds: float) -> dict[str, Any]:
    """Memory of the process while audio streams through it."""
    from measurement import resident_mib
    from stream_steps import Loopback

    loopback = Loopback(codec, tokens)
    loopback.warm_up()
    count = max(1, round(seconds * codec.sample_rate / loopback.samples))
    ms = _ms(codec, loopback.samples)
    _say(f"\nMemory over {seconds / 3600:g} hours of audio in blocks of {ms:g} ms")
    series = [(0.0, resident_mib())]
    for done in _parts(count, 12):
        for _ in range(done):
            loopback.step()
        minutes = series[-1][0] + done * loopback.samples / codec.sample_rate / 60
        series.append((minutes, resident_mib()))
        _say(f"{minutes:8.1f} minutes: {series[-1][1]:.1f} MiB")
    middle = series[len(series) // 2][1]
    growth = series[-1][1] - middle
    _say(f"{series[-1][1] - series[0][1]:+.1f} MiB in all, {growth:+.1f} MiB in the second half")
    return {"block_ms": ms, "minutes_mib": series, "second_half_mib": growth}


def _parts(count: int, parts: int) -> Iterator[int]:
    """Whole numbers that add up to `count`, as equal as can be; none of them 0."""
    ends = [count * part // parts for part in range(parts + 1)]
    yield from (b - a for a, b in pairwise(ends) if b > a)


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    return run_command(
        PROGRAM,
        lambda: measure(tyro.cli(Options, prog=PROGRAM, description=__doc__, args=argv)),
        "each result was printed as soon as it was known",
    )


if __name__ == "__main__":
    sys.exit(main())
