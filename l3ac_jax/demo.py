"""The demo: one recording through the official code and through this one, with the same weights.

The weights are random (seeded, every parameter off its initial value), so that nothing needs to be
downloaded: what is shown is how closely the two agree, not how good the codec sounds.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from l3ac_jax.audio import read_audio
from l3ac_jax.checkpoint import save_model
from l3ac_jax.compilation import CompilationNotice
from l3ac_jax.config import published_config
from l3ac_jax.official import OfficialCodec, import_official, seeded_codec
from l3ac_jax.pretrained import L3AC, get_model
from l3ac_jax.torch_weights import from_torch

MODEL = "3kbps"
CLIP = "cmu_arctic_a0007.wav"

# Far above what float32 rounding makes of it, far below what any mistake does.
LARGEST_SHARE_OF_OTHER_TOKENS = 0.01
LARGEST_RELATIVE_ERROR = 1e-3


def run_demo() -> int:
    """Print the comparison. Returns 0 if the two agree, 1 if not, 2 without the official code."""
    try:
        import_official()
    except ImportError as error:
        print(f"l3ac-jax: error: {error}", file=sys.stderr)
        return 2
    console = Console()
    audio = _clip()
    with tempfile.TemporaryDirectory() as scratch:
        console.print(f"1. the official {MODEL} network with seeded weights, as five .pt files")
        official = seeded_codec(published_config(MODEL).model)
        official.save_checkpoint(Path(scratch) / "official")
        console.print("2. converted to a model folder, and loaded")
        codec = _converted(Path(scratch))
    seconds = audio.shape[1] / codec.sample_rate
    console.print(f"3. {seconds:.2f} s of speech ({CLIP}) through both")
    with closing(CompilationNotice(lambda line: console.print(f"   {line} (once)"))) as notice:
        codec.on_compile = notice
        return _compare(console, audio, official, codec)


def _clip() -> np.ndarray:
    with as_file(files("l3ac_jax") / "assets" / CLIP) as path:
        return read_audio(path).samples


def _converted(scratch: Path) -> L3AC:
    experiment = published_config(MODEL)
    params = from_torch(scratch / "official", experiment.model)
    save_model(scratch / "model", experiment, params)
    return get_model(scratch / "model")


def _compare(console: Console, audio: np.ndarray, official: OfficialCodec, codec: L3AC) -> int:
    (_, official_tokens), official_encoding = _timed(lambda: official.encode(audio))
    tokens, encoding = _timed(lambda: np.asarray(codec.encode(audio)))
    # From the same tokens: one that lies on a rounding boundary would change the audio around it.
    official_audio, official_decoding = _timed(lambda: official.decode_tokens(official_tokens))
    decoded, decoding = _timed(lambda: np.asarray(codec.decode(official_tokens)))

    same = int(np.sum(tokens == official_tokens))
    signal, error = _rms(official_audio), _rms(decoded - official_audio)
    table = Table("", "official", "l3ac-jax")
    table.add_row("tokens that agree", "", f"{same} of {tokens.size}")
    table.add_row("audio from the same tokens, rms", f"{signal:.4f}", f"{_rms(decoded):.4f}")
    table.add_row("difference of the two, rms", "", f"{error:.1e}")
    table.add_row("encode", f"{official_encoding:.3f} s", f"{encoding:.3f} s")
    table.add_row("decode", f"{official_decoding:.3f} s", f"{decoding:.3f} s")
    console.print(table)

    agree = (
        same >= (1 - LARGEST_SHARE_OF_OTHER_TOKENS) * tokens.size
        and error <= LARGEST_RELATIVE_ERROR * signal
    )
    console.print("They agree." if agree else "They do NOT agree.")
    return 0 if agree else 1


def _timed(function: Callable[[], Any]) -> tuple[Any, float]:
    """The result of a call and its seconds, after a first call that compiles or warms up."""
    function()
    start = time.perf_counter()
    result = function()
    return result, time.perf_counter() - start


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))
