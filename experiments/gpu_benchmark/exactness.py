"""Tokens and audio against the official code in float64, with the weights of a seed.

One measurement of four jobs: the official code in float64 and float32 on the CPU (they leave their
results in files), our codec in both precisions, and our codec on the CPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from measurement import speech

from gpu_benchmark.job import Run, Voice, work_file
from gpu_benchmark.material import experiment, load_codec, say_memory_at_end
from gpu_benchmark.plan import Job, Measurement, Settings

if TYPE_CHECKING:
    from l3ac_jax.codec.l3ac import L3AC
    from l3ac_jax.model.precision import Precision

ORACLE, ON_CPU = "oracle.npz", "tokens_on_cpu.npy"
# Where the float64 value lies so near to the boundary between two levels, float32 may round to
# either of them: in levels, about a hundred times its resolution.
DECIDED = 1e-5


def measurements(tiny: bool) -> list[Measurement]:
    """Compared once, when all are ready."""
    seconds = 0.3 if tiny else 10.0
    jobs = [
        Job(
            "official, float64",
            f"{__name__}:official",
            {"seconds": seconds},
            official=True,
        ),
        Job(
            "ours, exact",
            f"{__name__}:ours",
            {"seconds": seconds, "precision": "exact"},
        ),
        Job("ours, fast", f"{__name__}:ours", {"seconds": seconds, "precision": "fast"}),
        Job(
            "ours, exact, on the CPU",
            f"{__name__}:ours_on_cpu",
            {"seconds": seconds},
            environment={"JAX_PLATFORMS": "cpu"},
        ),
    ]
    if tiny:
        del jobs[2]  # one of ours is enough
    return [Measurement("exactness", f"{seconds:g} s", tuple(jobs), warm_up=0, repeats=1)]


def official(voice: Voice, settings: Settings, seconds: float) -> Run:
    """Float64 as the truth, float32 as what its rounding makes of it."""
    from l3ac_jax.oracle.codec import seeded_codec
    from l3ac_jax.oracle.parity import rms

    config = experiment(settings).model
    audio = speech(seconds, config.sample_rate)
    truth = seeded_codec(config, dtype=np.float64)
    before = truth.encode_features(audio)
    features, tokens = truth.quantize(before)
    decoded = truth.decode(features)
    codec = seeded_codec(config)
    _, single = codec.encode(audio)
    error = rms(codec.decode(features.astype(np.float32)) - decoded)
    path = work_file(settings, ORACLE)
    np.savez(path, tokens=tokens, audio=decoded, levels=truth.quantizer_levels(before))
    voice.figures(
        tokens=tokens.size,
        signal_rms=rms(decoded),
        float32_same_tokens_percent=100 * float(np.mean(single == tokens)),
        float32_error_rms=error,
    )
    return dict


def ours(voice: Voice, settings: Settings, seconds: float, precision: Precision) -> Run:
    """Compares, when it is asked to run, with what the other jobs have left."""
    from l3ac_jax.oracle.parity import rms

    say_memory_at_end(voice)
    codec = load_codec(settings, precision)
    audio = speech(seconds, codec.sample_rate)
    with voice.span("first_call_s"):
        tokens = np.asarray(codec.encode(audio))
        codec.decode(tokens).block_until_ready()

    def compare() -> dict[str, Any]:
        # Each by itself: without the official code, the CPU can still be compared with.
        figures: dict[str, Any] = {}
        cpu = work_file(settings, ON_CPU)
        oracle = work_file(settings, ORACLE)
        truth = np.load(oracle) if oracle.exists() else None
        if truth is not None:
            decoded = np.asarray(codec.decode(truth["tokens"]))
            figures = {
                "same_tokens_percent": 100 * float(np.mean(tokens == truth["tokens"])),
                "error_rms": rms(decoded[:, : truth["audio"].shape[1]] - truth["audio"]),
            }
        if cpu.exists():
            other = np.load(cpu)
            figures["tokens_unlike_the_cpu"] = int(np.sum(tokens != other))
            if truth is not None:
                figures["of_these_on_a_boundary"] = undecided(codec, tokens, other, truth["levels"])
        if not figures:
            raise FileNotFoundError("neither the official code nor the CPU left tokens")
        voice.figures(**figures)
        return {}

    return compare


def ours_on_cpu(voice: Voice, settings: Settings, seconds: float) -> Run:
    """Our tokens in exact mode, for the comparison."""
    codec = load_codec(settings, "exact")
    np.save(work_file(settings, ON_CPU), codec.encode(speech(seconds, codec.sample_rate)))
    return dict


def undecided(codec: L3AC, tokens: np.ndarray, others: np.ndarray, levels: np.ndarray) -> int:
    """How many of the tokens that differ lie on boundaries, wherever their levels differ.

    `levels` (batch, tokens, dimensions) are the float64 values before rounding.
    """
    differs = codec.levels(tokens) != codec.levels(others)
    distance = np.abs(levels % 1 - 0.5)
    on_boundary = np.all(~differs | (distance < DECIDED), axis=-1)
    return int(np.sum(differs.any(axis=-1) & on_boundary))
