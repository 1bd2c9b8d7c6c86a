"""Encoding and decoding, by batch and length, beside the official code.

Our side is the public interface: arrays of the host in, checks, results. The official side has its
audio on the device, in `inference_mode`, with cuDNN's benchmark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from measurement import speech

if TYPE_CHECKING:
    from l3ac_jax.model.precision import Precision

from gpu_benchmark.job import Run, Voice, timed
from gpu_benchmark.material import experiment, load_codec, say_memory_at_end
from gpu_benchmark.plan import Job, Measurement, Settings

SHAPES = ((1, 10.0), (16, 10.0), (1, 1.0), (1, 60.0))


def measurements(tiny: bool) -> list[Measurement]:
    """One a shape, of all sides; the tiny one of one each."""
    if tiny:
        return [_measurement(1, 0.3, ("exact",), {"float32": False})]
    precisions = ("exact", "fast")
    return [_measurement(*shape, precisions, {"float32": False, "TF32": True}) for shape in SHAPES]


def _measurement(
    clips: int, seconds: float, precisions: Sequence[str], tf32: Mapping[str, bool]
) -> Measurement:
    shape = {"clips": clips, "seconds": seconds}
    jobs = [
        Job(f"ours, {precision}", f"{__name__}:ours", {**shape, "precision": precision})
        for precision in precisions
    ]
    jobs += [
        Job(
            f"PyTorch, {name}",
            f"{__name__}:official",
            {**shape, "tf32": allowed},
            official=True,
        )
        for name, allowed in tf32.items()
    ]
    name, audio_seconds = f"{clips} x {seconds:g} s", clips * seconds
    return Measurement("inference", name, tuple(jobs), warm_up=3, audio_seconds=audio_seconds)


def ours(voice: Voice, settings: Settings, clips: int, seconds: float, precision: Precision) -> Run:
    """Through `encode` and `decode`."""
    say_memory_at_end(voice)
    codec = load_codec(settings, precision)
    audio = speech(seconds, codec.sample_rate, clips)
    with voice.span("first_call_s"):
        tokens = np.asarray(codec.encode(audio))
        codec.decode(tokens).block_until_ready()
    return lambda: {
        "encode_ms": timed(lambda: codec.encode(audio).block_until_ready()),
        "decode_ms": timed(lambda: codec.decode(tokens).block_until_ready()),
    }


def official(voice: Voice, settings: Settings, clips: int, seconds: float, tf32: bool) -> Run:
    """The official network."""
    import torch

    from l3ac_jax.oracle.codec import seeded_codec

    config = experiment(settings).model
    codec = seeded_codec(config)
    device = use_torch(tf32)
    codec.network.to(device)
    audio = torch.from_numpy(speech(seconds, config.sample_rate, clips)).to(device)

    def encode() -> torch.Tensor:
        features, *_ = codec.network.quantizer(codec.differentiable_encode(audio))
        return features

    @torch.inference_mode()
    def run() -> dict[str, float]:
        encode_ms = timed(lambda: (encode(), synchronize(device)))
        decode_ms = timed(lambda: (codec.differentiable_decode(features), synchronize(device)))
        return {"encode_ms": encode_ms, "decode_ms": decode_ms}

    with torch.inference_mode():
        features = encode()
    voice.at_end = partial(torch_memory, device)
    return run


def use_torch(tf32: bool) -> str:
    """Set PyTorch up for speed; the device's name."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = True
    return "cuda" if torch.cuda.is_available() else "cpu"


def synchronize(device: str) -> None:
    """Wait for what PyTorch has begun."""
    import torch

    if device == "cuda":
        torch.cuda.synchronize()


def torch_memory(device: str) -> dict[str, float]:
    """The peak of the device's memory."""
    import torch

    return {"peak_gib": torch.cuda.max_memory_allocated() / 2**30} if device == "cuda" else {}
