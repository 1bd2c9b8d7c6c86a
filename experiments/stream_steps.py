"""The steps of a stream that benchmark_stream.py times, and what one of them is made of."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from measurement import speech

from l3ac_jax.codec.l3ac import L3AC
from l3ac_jax.codec.streaming.packing import pack, packed_step
from l3ac_jax.system.compilation import product_options

SPEECH_SECONDS = 3
REPEATS = 200
# What XLA's listing has beside operations that compute or copy.
_FREE = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast"}
_ENTRY = re.compile(r"^ENTRY .*?\{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_OPERATION = re.compile(r"^\s+(?:ROOT )?%?\S+ = .*?\s([a-z][a-z0-9-]*)\(", re.MULTILINE)


class Loopback:
    """Speech through a streaming encoder, its tokens through a streaming decoder, in blocks."""

    def __init__(self, codec: L3AC, tokens: int):
        self.samples = tokens * codec.hop_length
        self.encoder = codec.streaming_encoder(block=tokens)
        self.decoder = codec.streaming_decoder(block=tokens)
        clip = speech(SPEECH_SECONDS, codec.sample_rate)
        self._audio = np.resize(clip[0], max(clip.size, self.samples))
        self._at = 0

    def warm_up(self) -> None:
        """Compile, and go on until a block that comes in lets one out."""
        while self._step()[2] < self.samples:
            pass
        for _ in range(3):
            self._step()

    def step(self) -> tuple[float, float]:
        """Seconds of encoding and of decoding the next block."""
        return self._step()[:2]

    def _step(self) -> tuple[float, float, int]:
        if self._at + self.samples > len(self._audio):
            self._at = 0
        block = self._audio[None, self._at : self._at + self.samples]
        self._at += self.samples
        start = time.perf_counter()
        tokens = self.encoder.push(block)
        middle = time.perf_counter()
        audio = self.decoder.push(tokens)
        return middle - start, time.perf_counter() - middle, audio.shape[1]


def figures(seconds: Float[np.ndarray, " n"], block: float) -> dict[str, float]:
    """What is told of the times of steps, each for a block of so many seconds."""
    return {
        "median_ms": 1000 * float(np.median(seconds)),
        "p99_ms": 1000 * float(np.percentile(seconds, 99)),
        "largest_ms": 1000 * float(seconds.max()),
        "of_real_time": float(seconds.mean()) / block,
    }


def parts_of_step(codec: L3AC, part: str) -> dict[str, float]:
    """Sizes and times (medians) of a step of one token: `part` is encode or decode."""
    if part == "encode":
        step, state = codec.encoder_step, codec.encoder_state()
        inputs = jnp.asarray(speech(1, codec.sample_rate)[:, : codec.hop_length])
        layers = ("encoder", "encoder_transformer")
    else:
        step, state = codec.decoder_step, codec.decoder_state()
        inputs = jnp.zeros((1, 1), jnp.int32)
        layers = ("decoder", "decoder_transformer")
    folded = codec.folded_params
    params = {name: folded[name] for name in (*layers, "quantizer") if name in folded}
    weights, arrays = _bytes(params), len(jax.tree.leaves(params))
    # By which a step sees that the parameters are folded: the decoder's doesn't use it.
    params.setdefault("encoder", {"output": folded["encoder"]["output"]})
    options: dict[str, Any] = {"donate_argnums": (1,), "compiler_options": product_options()}
    state, program = pack(state), jax.jit(packed_step(step), **options)
    empty = jax.jit(_touched, keep_unused=True, **options)
    compiled = program.lower(params, state, inputs).compile()
    streamed = [jnp.ones(weights // 4, jnp.float32)]
    # In place: new memory would take several times as long, the first time that it is written.
    stream = jax.jit(lambda x: x + 1, donate_argnums=0)

    def stream_once() -> None:
        streamed[0] = stream(streamed[0]).block_until_ready()

    stream_seconds = _median(stream_once)
    step_seconds = _median(_stepping(program, params, state, inputs))
    analysis = compiled.cost_analysis() or {}
    return {
        "weight_mib": weights / 2**20,
        "weight_arrays": arrays,
        "state_mib": _bytes(state) / 2**20,
        "state_arrays": len(jax.tree.leaves(state)),
        "step_ms": 1000 * step_seconds,
        "empty_ms": 1000 * _median(_stepping(empty, params, state, inputs)),
        "stream_ms": 1000 * stream_seconds,
        "stream_gb_per_second": 2 * weights / stream_seconds / 1e9,  # in and out
        "operations": operations(compiled.as_text() or ""),
        "gflop_per_second": analysis.get("flops", 0.0) / step_seconds / 1e9,
    }


def operations(listing: str) -> int:
    """How many operations a compiled program (HLO as text) runs, those inside of others left out.

    At least 1.
    """
    entry = _ENTRY.search(listing)
    kinds = _OPERATION.findall(entry[1]) if entry else []
    return max(1, sum(kind not in _FREE for kind in kinds))


def _touched(params: Any, state: Any, inputs: Any) -> tuple[Any, Any]:
    """A program that does nothing but change one value of each array of the state."""
    value = inputs.ravel()[0]

    def touch(leaf: jax.Array) -> jax.Array:
        leaf = jnp.asarray(leaf)
        return leaf.at[(0,) * leaf.ndim].set(value.astype(leaf.dtype)) if leaf.size else leaf

    return jax.tree.map(touch, state), inputs + 0


def _bytes(tree: Any) -> int:
    return sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(tree))


def _stepping(program: Any, params: Any, state: Any, inputs: Any) -> Callable[[], None]:
    kept = jax.tree.map(jnp.array, state)  # copies, which can be donated

    def step() -> None:
        nonlocal kept
        kept, outputs = program(params, kept, inputs)
        jax.block_until_ready((kept, outputs))

    return step


def _median(run: Callable[[], Any]) -> float:
    seconds = []
    for _ in range(REPEATS + 3):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds[3:]))
