"""An application over clips: the originals first, then what each codec makes of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from l3ac_jax.audio.resampling import resample
from l3ac_jax.errors import ArgumentError, AudioError, ScoreError
from l3ac_jax.evaluation.applications.application import Application, Compared, by_label, label_of
from l3ac_jax.evaluation.applications.report import (
    ORIGINAL,
    ApplicationReport,
    ClipValues,
    Figure,
    Row,
)
from l3ac_jax.evaluation.clips import EvaluationClip, read_mono
from l3ac_jax.evaluation.codecs import CodecUnderTest
from l3ac_jax.evaluation.evaluate import ReportProgress, scoring_rate
from l3ac_jax.metrics import learned
from l3ac_jax.metrics.bootstrap import drawn_weights, percentile_interval
from l3ac_jax.system.processes import make_pool

__all__ = ["Settings", "limit_each", "measure"]

Audio = Float[np.ndarray, " time"]


@dataclass(frozen=True)
class Settings:
    """`workers` processes listen; of each clip, they and the codecs have the first `seconds`.

    `seed` is that of the intervals. Raises ArgumentError.
    """

    workers: int = 1
    seconds: float | None = None
    seed: int = 0

    def __post_init__(self):
        if self.seconds is not None and not self.seconds > 0:
            raise ArgumentError(f"more than 0 seconds of a clip are needed: got {self.seconds:g}")


def limit_each(
    clips: Sequence[EvaluationClip], count: int | None, seed: int
) -> list[EvaluationClip]:
    """At most `count` of the clips of each folder, drawn at random; all of them for None.

    Raises ArgumentError.
    """
    if count is None:
        return list(clips)
    if count < 1:
        raise ArgumentError(f"at least 1 clip of each folder is needed: got {count}")
    random = np.random.default_rng(seed)
    kept = [
        group[index]
        for group in by_label(clips).values()
        for index in random.permutation(len(group))[:count]
    ]
    return sorted(kept, key=lambda clip: clip.name)


def measure(
    application: Application,
    codecs: Sequence[CodecUnderTest],
    clips: Sequence[EvaluationClip],
    data: str,
    settings: Settings | None = None,
    progress: ReportProgress = lambda what, done, total: None,
) -> ApplicationReport:
    """What an application hears in the originals and in what each codec makes of them.

    Files that cannot be read are left out and named in the report's `failures`. Raises
    ArgumentError for clips that the application cannot use, MissingPackageError,
    ReferenceCodecError, and ScoreError if a worker process ends.
    """
    settings = settings or Settings()
    application.check()
    rate = scoring_rate([codec.info for codec in codecs])
    failures: list[str] = []
    audios: dict[str, Audio] = {}
    for clip in clips:
        try:
            audios[clip.name] = _read(clip, rate, settings.seconds)
        except AudioError as error:  # which names the file
            failures.append(str(error))
    chosen = application.choose([clip for clip in clips if clip.name in audios])
    kept = chosen.clips
    originals = [audios[clip.name] for clip in kept]
    seconds = [len(audio) / rate for audio in originals]

    pool = make_pool(max(1, min(settings.workers, len(kept))), learned.use_one_thread)
    try:
        listen = _listener(pool, application, rate, progress)
        truth = listen(ORIGINAL, originals)
        compared = {ORIGINAL: application.compare(kept, truth, truth)}
        bitrates: dict[str, float | None] = {ORIGINAL: None}
        for codec in codecs:
            name = codec.info.name
            decoded, bits = [], []
            for index, clip in enumerate(kept):
                progress(f"coding with {name}", index, len(kept))
                length = len(originals[index])
                coded = codec.code(_read(clip, codec.info.sample_rate, settings.seconds))
                decoded.append(
                    resample(coded.decoded[None], codec.info.sample_rate, rate, length)[0]
                )
                bits.append(coded.bits)
            progress(f"coding with {name}", len(kept), len(kept))
            measured = codec.info.kind == "opus"
            bitrates[name] = math.fsum(bits) / sum(seconds) if measured else codec.info.bitrate
            compared[name] = application.compare(kept, truth, listen(name, decoded))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    rows = [
        Row(
            codec=name,
            bitrate=bitrates[name],
            figures=_figures(application, name, compared, settings.seed),
            clips=tuple(
                ClipValues(
                    clip=clip.name, label=label_of(clip), seconds=length, values=_finite(values)
                )
                for clip, length, values in zip(kept, seconds, found.values, strict=True)
            ),
        )
        for name, found in compared.items()
    ]
    return ApplicationReport(
        application=application.name,
        model=application.model,
        data=data,
        seed=settings.seed,
        units=compared[ORIGINAL].units,
        seconds=math.fsum(seconds),
        rows=tuple(rows),
        remarks=tuple(chosen.remarks),
        failures=tuple(failures),
    )


def _read(clip: EvaluationClip, sample_rate: int, seconds: float | None) -> Audio:
    audio = read_mono(clip.path, sample_rate)
    return audio if seconds is None else audio[: round(seconds * sample_rate)]


def _listener(
    pool: ProcessPoolExecutor, application: Application, rate: int, progress: ReportProgress
) -> Callable[[str, Sequence[Audio]], list[Any]]:
    def listen(name: str, audios: Sequence[Audio]) -> list[Any]:
        what = f"listening to {name}"
        results = []
        try:
            heard: Iterator[Any] = pool.map(application.analyse, audios, [rate] * len(audios))
            for done, result in enumerate(heard, 1):
                results.append(result)
                progress(what, done, len(audios))
        except BrokenProcessPool:
            raise ScoreError(f"{what}: the process that did it ended") from None
        return results

    return listen


def _figures(
    application: Application, name: str, compared: dict[str, Compared], seed: int
) -> dict[str, Figure]:
    """What has a value; one draw of all units is the value itself."""
    found, original = compared[name], compared[ORIGINAL]
    weights = np.concatenate([np.ones((1, found.units)), drawn_weights(found.units, seed)])
    figures = {}
    for metric, statistic in found.statistics.items():
        with_original = metric in application.of_originals
        if name == ORIGINAL and not with_original:
            continue
        values = statistic(weights)
        interval = percentile_interval(values[1:])
        if not math.isfinite(values[0]) or interval is None:
            continue
        change: dict[str, float] = {}
        if name != ORIGINAL and with_original:
            differences = values - original.statistics[metric](weights)
            between = percentile_interval(differences[1:])
            if between is not None and math.isfinite(differences[0]):
                change = {
                    "change": float(differences[0]),
                    "change_low": between[0],
                    "change_high": between[1],
                }
        figures[metric] = Figure(
            value=float(values[0]), low=interval[0], high=interval[1], **change
        )
    return figures


def _finite(values: dict[str, float]) -> dict[str, float | None]:
    return {name: float(v) if math.isfinite(v) else None for name, v in values.items()}
