"""A page to listen to codecs: players, spectrograms and scores in one HTML file.

The file needs nothing beside it and no network: audio and pictures are data: URIs, and the page's
content security policy forbids everything else.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float

from l3ac_jax.errors import ListeningPageError, OutputError
from l3ac_jax.evaluation.data_uris import audio_uri, color_scale, spectrogram_peak, spectrogram_uri
from l3ac_jax.evaluation.listening_rows import (
    ListeningRow,
    ShownScore,
    clip_rows,
    metrics_of,
    summary_rows,
)
from l3ac_jax.evaluation.report import ALL, Codec, Report
from l3ac_jax.plots.figures import RANGE_DB
from l3ac_jax.system.files import check_output, complete_file
from l3ac_jax.system.packages import needs_extra

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["check_listening_page", "write_listening_page"]

Audio = Float[np.ndarray, " time"]

# A name's ending is all that a browser goes by at a file:// address.
ENDINGS = (".html", ".htm")
TICKS = 6


class PlayedRecording(NamedTuple):
    """One player; `audio` and `picture` are data: URIs, `codec` is None for the original."""

    codec: Codec | None
    audio: str
    picture: str
    scores: list[ShownScore]


class Card(NamedTuple):
    """A clip: its original, then what each codec made of it. Numbers are from 1."""

    number: int
    clip: str
    domain: str
    seconds: float
    time_ticks: list[tuple[str, float]]
    recordings: list[PlayedRecording]


def check_listening_page(path: str | os.PathLike[str], overwrite: bool) -> None:
    """Find out before the work whether a page may be written there. Raises OutputError."""
    if Path(path).suffix.lower() not in ENDINGS:
        raise OutputError(f"{path}: the name of a page ends with {' or '.join(ENDINGS)}")
    check_output(path, overwrite)


def write_listening_page(
    path: str | os.PathLike[str],
    report: Report,
    original: Callable[[str], Audio],
    decoded: Callable[[str, str], Audio],
    sample_rate: int,
    overwrite: bool = False,
) -> int:
    """Write the page of an evaluation, complete or not at all; returns its size in bytes.

    `original(clip)` and `decoded(codec, clip)` give the audio at `sample_rate` (Hz), of one length
    for a clip; each is called once for what the report has scores of, when that is written. 0 dB of
    a clip's spectrograms is the peak of the original. The same report and audio give the same
    bytes: real-time factors, which differ from run to run, are left out.

    Raises ListeningPageError, OutputError, or MissingPackageError without jinja2 or matplotlib.
    """
    check_listening_page(path, overwrite)
    _check(report)
    template = _template()
    rows = clip_rows(report)
    with complete_file(path, overwrite) as part:
        progress = PageProgress()
        pieces = template.generate(
            report=report,
            all_domains=ALL,
            metrics=metrics_of(report.clips),
            summary_metrics=metrics_of(report.summaries),
            summaries=summary_rows(report),
            domains=list(dict.fromkeys(row.domain for row in rows)),
            rows=rows,
            cards=_cards(rows, original, decoded, sample_rate),
            colors=color_scale(16),
            range_db=round(RANGE_DB),
            frequency_ticks=[(f"{i * sample_rate / 4000:g}", 50 * i) for i in range(3)],
            progress=progress,
        )
        with part.open("w", encoding="utf-8") as file:
            for piece in pieces:
                progress.characters += file.write(piece)
        return part.stat().st_size


class PageProgress:
    """How much of the page is written, for its last line to say."""

    characters = 0

    @property
    def megabytes(self) -> str:
        return f"{self.characters / 1e6:.1f} MB"


def _check(report: Report) -> None:
    if not report.clips:
        raise ListeningPageError("there is no clip to listen to: the report has no scores")
    known = {codec.name for codec in report.codecs}
    for scores in report.clips:
        if scores.codec not in known:
            raise ListeningPageError(f"{scores.clip}: {scores.codec} is no codec of the report")


def _template() -> Template:
    with needs_extra("train", "a page"):
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("listening.html")


def _cards(
    rows: list[ListeningRow],
    original: Callable[[str], Audio],
    decoded: Callable[[str, str], Audio],
    sample_rate: int,
) -> Iterator[Card]:
    for number, group in itertools.groupby(rows, key=lambda row: row.card):
        versions = list(group)
        clip, domain = versions[0].clip, versions[0].domain
        reference = _checked(original(clip), f"{clip}, original")
        peak = spectrogram_peak(reference, sample_rate)
        recordings = [_recording(None, reference, sample_rate, peak, [])]
        for row in versions:
            audio = _checked(decoded(row.codec.name, clip), f"{clip}, {row.codec.name}")
            if len(audio) != len(reference):
                raise ListeningPageError(
                    f"{clip}, {row.codec.name}: has {len(audio)} samples, its original "
                    f"{len(reference)}"
                )
            recordings.append(_recording(row.codec, audio, sample_rate, peak, row.scores))
        seconds = len(reference) / sample_rate
        yield Card(number, clip, domain, seconds, _time_ticks(seconds), recordings)


def _checked(audio: Audio, what: str) -> Audio:
    if audio.ndim != 1 or not len(audio):
        raise ListeningPageError(f"{what}: audio must be (time,), got shape {audio.shape}")
    if not np.isfinite(audio).all():
        raise ListeningPageError(f"{what}: has samples that are NaN or infinite")
    return audio


def _recording(
    codec: Codec | None, audio: Audio, sample_rate: int, peak: float, scores: list[ShownScore]
) -> PlayedRecording:
    picture = spectrogram_uri(audio, sample_rate, peak)
    return PlayedRecording(codec, audio_uri(audio, sample_rate), picture, scores)


def _time_ticks(seconds: float) -> list[tuple[str, float]]:
    """Round numbers of seconds, three to six of them, and where they are in % of the width."""
    power = 10 ** math.floor(math.log10(seconds))
    step = next(m * power for m in (0.2, 0.5, 1, 2, 5) if seconds / (m * power) <= TICKS)
    # A label at the very end would hang over it.
    return [
        (f"{i * step:g}", 100 * i * step / seconds)
        for i in range(TICKS)
        if i * step < 0.97 * seconds
    ]
