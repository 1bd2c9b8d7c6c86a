"""All scores of decoded clips, in worker processes: whoever crashes costs one clip.

Worker processes import this module, so it does without JAX.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from jaxtyping import Float

from l3ac_jax.evaluation.clips import read_mono
from l3ac_jax.metrics import learned, music, notes, signals
from l3ac_jax.metrics.music import MUSIC_SCORES
from l3ac_jax.metrics.speech import scores_of, stoi
from l3ac_jax.system.processes import make_pool

__all__ = ["Extras", "ScoringJob", "score_jobs", "signal_scores"]

Audio = Float[np.ndarray, " time"]


@dataclass(frozen=True)
class Extras:
    """Scores by packages of their own (the extras `scores` and `music`).

    `words` is a model of faster-whisper, by name or folder, for the word error rate; `music` asks
    for MUSIC_SCORES, `notes` for the F-measure of what a model transcribes.
    """

    speaker: bool = False
    dnsmos: bool = False
    words: str | None = None
    music: bool = False
    notes: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The scores that are asked for."""
        of_music = (MUSIC_SCORES if self.music else (), ("note_f",) if self.notes else ())
        return (*self._by_models, *chain.from_iterable(of_music))

    @property
    def _by_models(self) -> list[str]:
        wanted = {"speaker": self.speaker, "dnsmos": self.dnsmos, "wer": self.words is not None}
        return [name for name, is_wanted in wanted.items() if is_wanted]

    def check(self) -> None:
        """Raise MissingPackageError for packages that are not installed."""
        for name in self._by_models:
            learned.require(name)
        if self.music:
            music.require()
        if self.notes:
            notes.require()


SIGNAL_SCORES = (
    "pesq",
    "stoi",
    "estoi",
    "si_sdr",
    "lsd",
    "mel",
    "f0_correlation",
    "voicing_error",
)


@dataclass(frozen=True)
class ScoringJob:
    """A clip and what codecs made of it: one job, as its reference is analysed once."""

    clip: str
    reference: Path
    decoded: tuple[Path, ...]
    sample_rate: int
    extras: Extras = Extras()
    transcript: str | None = None


def signal_scores(
    reference: Audio, decoded: Audio, sample_rate: int, pitch: signals.Pitch | None = None
) -> dict[str, float]:
    """The scores that need no model, by name; `pitch` is the reference's, if it is known."""
    pitch = pitch or signals.pitch_of(reference, sample_rate)
    of_speech = scores_of(reference, decoded, sample_rate)
    return {
        "pesq": of_speech["pesq"],
        "stoi": of_speech["stoi"],
        "estoi": stoi(reference, decoded, sample_rate, extended=True),
        "si_sdr": signals.si_sdr(reference, decoded),
        "lsd": signals.log_spectral_distance(reference, decoded, sample_rate),
        "mel": signals.mel_distance(reference, decoded, sample_rate),
        **signals.pitch_scores(pitch, signals.pitch_of(decoded, sample_rate)),
    }


def score_job(job: ScoringJob) -> list[dict[str, float]]:
    """The scores of each decoded file. Raises AudioError."""
    rate = job.sample_rate
    reference = read_mono(job.reference, rate)
    pitch = signals.pitch_of(reference, rate)
    results = []
    for path in job.decoded:
        decoded = read_mono(path, rate, len(reference))
        scores = signal_scores(reference, decoded, rate, pitch)
        if job.extras.speaker:
            scores["speaker"] = learned.speaker_similarity(reference, decoded, rate)
        if job.extras.dnsmos:
            scores["dnsmos"] = learned.dnsmos(decoded, rate)
        if job.extras.words is not None:
            truth = job.transcript or learned.transcribe(reference, rate, job.extras.words)
            spoken = learned.transcribe(decoded, rate, job.extras.words)
            scores["wer"] = learned.word_error_rate(truth, spoken)
        if job.extras.music:
            scores |= music.music_scores(reference, decoded, rate)
        if job.extras.notes:
            heard = [notes.transcribe_notes(audio, rate) for audio in (reference, decoded)]
            scores["note_f"] = notes.note_f_measure(*heard)
        results.append(scores)
    return results


def score_jobs(
    jobs: Sequence[ScoringJob], workers: int
) -> Iterator[tuple[ScoringJob, list[dict[str, float]] | str]]:
    """The scores of each job's files, or what was wrong, as they come.

    A job whose process ends (libraries in C crash on some clips) is tried again alone.
    """
    if not jobs:
        return
    interrupted: list[ScoringJob] = []
    for job, result in _run(jobs, min(workers, len(jobs))):
        if result is None:
            interrupted.append(job)
        else:
            yield job, result
    for job in interrupted:
        for _, result in _run([job], 1):
            yield job, result or "the process that computed its scores crashed"


def _run(
    jobs: Sequence[ScoringJob], workers: int
) -> Iterator[tuple[ScoringJob, list[dict[str, float]] | str | None]]:
    pool: ProcessPoolExecutor = make_pool(workers, _start)
    try:
        pending = {_submit(pool, job): job for job in jobs}
        for future in as_completed(pending):
            yield pending[future], _result(future)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _submit(pool: ProcessPoolExecutor, job: ScoringJob) -> Future[list[dict[str, float]]]:
    try:
        return pool.submit(score_job, job)
    except BrokenProcessPool as error:
        failed: Future[list[dict[str, float]]] = Future()
        failed.set_exception(error)
        return failed


def _result(future: Future[list[dict[str, float]]]) -> list[dict[str, float]] | str | None:
    """None if the process ended."""
    try:
        return future.result()
    except BrokenProcessPool:
        return None
    except Exception as error:  # of any library, about this clip
        return str(error) or type(error).__name__


def _start() -> None:
    """Each worker process is one of all cores: libraries with threads of their own get one."""
    learned.use_one_thread()
