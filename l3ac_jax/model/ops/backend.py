"""Which lowering computes an operation: the one place that asks what the backend is.

Every lowering runs on every backend and computes the same, values and derivatives alike
(tests/model/test_lowerings.py); which one is quick depends on the machine. Figures of CPUs are from
two cores of an AMD EPYC with AVX-512, of GPUs from an H200.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Literal, NamedTuple

import jax

__all__ = ["ACCELERATOR", "CPU", "ONNX", "Lowerings", "lowerings", "use_lowerings"]


class Lowerings(NamedTuple):
    """A lowering for each operation that has several."""

    channel_sums: Literal["product", "reduction"]
    """Sums over all axes but the last.

    As a product with ones, which XLA computes in vectors and on all cores of a CPU. Sums of columns
    it does not: Snake with its gradients took 56 instead of 38 ms (2 x 56064 x 96), for one clip
    510 ms.
    """
    tap_sums: Literal["one pass", "apart"]
    """A depthwise kernel's gradient: one reduction of all taps, or one for each.

    On a CPU 3 instead of 9 ms for 7 taps of 2 x 32064 x 24.
    """
    dilated_kernel_gradient: Literal["convolution", "columns"]
    """A dilated convolution's kernel gradient, as XLA has it or as one product with shifted copies.

    cuDNN took 57 ms for dilation 9 (12 clips of 7.2 s, 24 channels), two thirds of a training step
    in two layers; the product takes less than 1 ms. Without dilation, convolution is as quick.
    """
    wide_layers: Literal["in blocks", "whole"]
    """ConvUnits' hidden layers at inference: in blocks that stay in the cache, or all frames."""
    strided_spectra: Literal["groups", "convolution"]
    """The discriminators' strided convolutions over bins: with the bins of a stride as channels.

    The derivative of a strided convolution is one of an input spread out with zeros, which XLA
    computes slowly on a CPU: forward and backward take a quarter of the time.
    """
    judged_pairs: Literal["apart", "one batch"]
    """The discriminators' step: generated and real clips one after the other, or all at once.

    At once there are half as many convolutions to compile and to time (383 instead of 760, 96
    instead of 126 s of processor time for an H200). On a CPU steps take 1.07 times as long, and
    1.4 times the memory.
    """
    attention_heads: Literal["one by one", "together"]
    """Whisper's attention of 1500 frames: a head, and 500 queries of it, at a time stay in a cache.
    """
    rows: Literal["one by one", "together"]
    """Clips of a folder: on a CPU one keeps the cores busy, and more do not fit the cache."""
    long_clips: Literal["in blocks", "one pass"]
    """Encoding of clips of some seconds: a block that stays in the cache after the other, or all.
    """
    depthwise: Literal["multiply-adds", "convolution"] = "multiply-adds"
    """Convolutions of each channel by itself.

    A grouped convolution is several times slower in XLA on a CPU. In a graph of ONNX each
    multiplication and each addition is a pass of its own.
    """
    sine: Literal["polynomial", "library"] = "polynomial"
    """Snake's sine: by one range reduction and a polynomial, or as the library has it.

    The former is 3 to 5 times as quick as XLA's on a CPU, and fifteen nodes of ONNX instead of one.
    """


CPU = Lowerings(
    channel_sums="product",
    tap_sums="one pass",
    dilated_kernel_gradient="convolution",
    wide_layers="in blocks",
    strided_spectra="groups",
    judged_pairs="apart",
    attention_heads="one by one",
    rows="one by one",
    long_clips="in blocks",
)
ACCELERATOR = Lowerings(
    channel_sums="reduction",
    tap_sums="apart",
    dilated_kernel_gradient="columns",
    wide_layers="whole",
    strided_spectra="convolution",
    judged_pairs="one batch",
    attention_heads="together",
    rows="together",
    long_clips="one pass",
)

# Of an interpreter: as few operations as there can be.
ONNX = ACCELERATOR._replace(depthwise="convolution", sine="library")

_chosen: ContextVar[Lowerings | None] = ContextVar("lowerings", default=None)


def lowerings() -> Lowerings:
    """Those of `use_lowerings`, or else of JAX's default backend. To be asked while tracing."""
    chosen = _chosen.get()
    if chosen is not None:
        return chosen
    return CPU if jax.default_backend() == "cpu" else ACCELERATOR


@contextlib.contextmanager
def use_lowerings(chosen: Lowerings) -> Iterator[None]:
    """What is traced inside has these lowerings; what is compiled already keeps its own."""
    token = _chosen.set(chosen)
    try:
        yield
    finally:
        _chosen.reset(token)
