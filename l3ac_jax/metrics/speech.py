"""How close decoded speech is to its reference, and how well a codebook is used.

STOI and PESQ are computed by the field's usual packages, pystoi and pesq. NaN stands for scores
that do not exist, as of silence. Worker processes import this module, so it does without JAX.
"""

from __future__ import annotations

import contextlib
import importlib
import subprocess
import sys
import types
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from typing import Self

import numpy as np
from jaxtyping import Float, Int

from l3ac_jax.audio.resampling import resample
from l3ac_jax.errors import ArgumentError, ScoreError
from l3ac_jax.metrics.signals import check_pair
from l3ac_jax.system.packages import needs_extra
from l3ac_jax.system.processes import make_pool

Audio = Float[np.ndarray, " time"]

PESQ_RATE = 16000
# pesq keeps 50 utterances, each of 0.2 s and as much of a pause, and writes beyond its memory
# when there are more: rhythmic sounds of half a minute end the process.
PESQ_SAFE_SECONDS = 20.0


def stoi(reference: Audio, decoded: Audio, sample_rate: int, extended: bool = False) -> float:
    """Short-time objective intelligibility, about 0 to 1 (Taal et al. 2011), or its extension.

    NaN if the reference is silent or has less than about 0.4 s that is not (30 frames of 25.6 ms,
    half overlapping), or if there are samples that are not finite.
    """
    check_pair(reference, decoded)
    pystoi = _package("pystoi")
    if not reference.any() or not _finite(reference, decoded):
        return np.nan
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Not enough STFT frames", RuntimeWarning)
        try:
            with _same_noise():
                return float(pystoi.stoi(reference, decoded, sample_rate, extended))
        except (RuntimeWarning, np.exceptions.AxisError):  # too few frames, or none at all
            return np.nan


@contextlib.contextmanager
def _same_noise() -> Iterator[None]:
    """The extended STOI adds noise of 1e-16 from NumPy's global generator: here always the same."""
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


def pesq_wb(reference: Audio, decoded: Audio, sample_rate: int) -> float:
    """Wide-band PESQ as a mean opinion score, 1.0 to 4.64 (ITU-T P.862.2).

    It is of what lies below 8 kHz: clips of a higher rate are resampled to 16 kHz.

    NaN if there is less than 0.25 s, no speech in the reference, silence in the decoded audio, or
    samples that are not finite; and for some clips of more than 20 s that have very many pauses.
    Raises ArgumentError for a sample rate below 16 kHz.
    """
    check_pair(reference, decoded)
    if sample_rate < PESQ_RATE:
        raise ArgumentError(f"wide-band PESQ needs {PESQ_RATE} Hz or more, got {sample_rate} Hz")
    pesq = _package("pesq")
    if not (reference.any() and decoded.any() and _finite(reference, decoded)):
        return np.nan
    reference, decoded = (
        resample(x[None], sample_rate, PESQ_RATE)[0] for x in (reference, decoded)
    )
    if len(reference) > PESQ_SAFE_SECONDS * PESQ_RATE:
        return _pesq_of_long_clip(reference, decoded)
    returned = pesq.PesqError.RETURN_VALUES
    score = pesq.pesq(PESQ_RATE, reference, decoded, "wb", on_error=returned)
    return float(score) if score > 0 else np.nan  # errors are negative numbers


_PESQ_ALONE = f"""
import sys, numpy, pesq
clips = numpy.frombuffer(sys.stdin.buffer.read(), sys.argv[1]).reshape(2, -1)
print(pesq.pesq({PESQ_RATE}, *clips, "wb", on_error=pesq.PesqError.RETURN_VALUES))
"""


def _pesq_of_long_clip(reference: Audio, decoded: Audio) -> float:
    """In a process of its own, which may crash."""
    clips = np.stack([reference, decoded])
    # -P: no module that happens to lie in the current folder.
    command = [sys.executable, "-P", "-c", _PESQ_ALONE, clips.dtype.str]
    done = subprocess.run(command, input=clips.tobytes(), capture_output=True)
    if done.returncode > 0:
        raise RuntimeError(f"PESQ failed: {done.stderr.decode(errors='replace').strip()}")
    score = float(done.stdout) if done.returncode == 0 else np.nan
    return score if score > 0 else np.nan


class CodebookUse:
    """How a codebook of `size` entries is used by the tokens that were added.

    N tokens show at most N entries: few clips make a large codebook look badly used.
    """

    def __init__(self, size: int):
        self._counts = np.zeros(size, np.int64)

    def add(self, tokens: Int[np.ndarray, ...]) -> None:
        """Count tokens. Raises ValueError for tokens outside of the codebook."""
        size = len(self._counts)
        if tokens.size and not (tokens.min() >= 0 and tokens.max() < size):
            raise ValueError(
                f"tokens of this codebook are 0 to {size - 1}, got {tokens.min()} to {tokens.max()}"
            )
        self._counts += np.bincount(tokens.ravel(), minlength=size)

    @property
    def usage(self) -> float:
        """The share of the entries that were used at least once, 0 to 1."""
        return np.count_nonzero(self._counts) / len(self._counts)

    @property
    def entropy(self) -> float:
        """Bits a token of the empirical distribution; NaN before there are tokens."""
        return self._nats() / float(np.log(2))

    @property
    def perplexity(self) -> float:
        """exp of the entropy in nats: that many entries, equally used, would have it."""
        return float(np.exp(self._nats()))

    def _nats(self) -> float:
        counts = self._counts[self._counts > 0]
        if not len(counts):
            return np.nan
        p = counts / counts.sum()
        return float(-(p * np.log(p)).sum())


def scores_of(reference: Audio, decoded: Audio, sample_rate: int) -> dict[str, float]:
    """STOI and PESQ of one clip; below 16 kHz, PESQ is NaN."""
    wide_band = sample_rate >= PESQ_RATE
    return {
        "stoi": stoi(reference, decoded, sample_rate),
        "pesq": pesq_wb(reference, decoded, sample_rate) if wide_band else np.nan,
    }


def mean_scores(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Each score's mean over the clips for which it is finite; NaN where there are none."""
    means = {}
    for name in dict.fromkeys(name for clip in scores for name in clip):
        finite = [clip[name] for clip in scores if name in clip and np.isfinite(clip[name])]
        means[name] = float(np.mean(finite)) if finite else np.nan
    return means


class ScorePool:
    """Scores clips in the background, in `workers` processes, or at once when there are none.

    Close it, or use it as a context manager. Raises ScoreError when a worker was ended.
    """

    def __init__(self, workers: int):
        _import_packages()  # here first: what is missing is said at once
        self._pool = make_pool(workers, _import_packages) if workers else None
        self._pending: list[Future[dict[str, float]]] = []

    def submit(self, reference: Audio, decoded: Audio, sample_rate: int) -> None:
        """Begin with a clip. Its arrays must stay as they are until `results`."""
        if self._pool is None:
            done: Future[dict[str, float]] = Future()
            done.set_result(scores_of(reference, decoded, sample_rate))
            self._pending.append(done)
            return
        try:
            self._pending.append(self._pool.submit(scores_of, reference, decoded, sample_rate))
        except BrokenProcessPool as error:
            raise _ended() from error

    def results(self) -> list[dict[str, float]]:
        """What `scores_of` gives for the clips since the last call, in order; waits for them."""
        pending, self._pending = self._pending, []
        try:
            return [clip.result() for clip in pending]
        except BrokenProcessPool as error:
            raise _ended() from error

    def close(self) -> None:
        """End the workers; what they had not begun is dropped."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _ended() -> ScoreError:
    return ScoreError("a worker process that scores clips was ended from outside (out of memory?)")


def _import_packages() -> None:
    for name in ("pystoi", "pesq"):
        _package(name)


def _package(name: str) -> types.ModuleType:
    with needs_extra("train", "scoring speech"):
        return importlib.import_module(name)


def _finite(*clips: Audio) -> bool:
    return all(np.isfinite(clip).all() for clip in clips)
