"""Codecs over clips: coded one after the other, then scored on all cores; resumable.

    OUT/evaluation.json        the Report
    OUT/clips.csv              a row for each codec and clip
    OUT/CODEC/coded.jsonl      first the codec's identity, then a line for each clip that was coded
    OUT/CODEC/scores.jsonl     a line for each clip that was scored
    OUT/audio/CODEC/CLIP.flac  what was decoded, 16 bits: the scores are those of these files

CODEC is a name made fit for folders, CLIP the path below the data's folder. Clips are coded before
any is scored, so that real-time factors are those of a machine that does nothing else. Each codec
codes at its own rate; all are scored at the highest of them, where a codec of a lower rate misses
what lies above its band.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from l3ac_jax.audio.writing import write_audio
from l3ac_jax.errors import ArgumentError, AudioError, OutputError, UserError
from l3ac_jax.evaluation.clips import EvaluationClip, read_mono
from l3ac_jax.evaluation.codecs import CodecUnderTest
from l3ac_jax.evaluation.journal import Journal
from l3ac_jax.evaluation.report import ClipScores, Codec, Report, write_report
from l3ac_jax.evaluation.scoring import SIGNAL_SCORES, Extras, ScoringJob, score_jobs
from l3ac_jax.evaluation.summaries import CodedClip, summarize, write_csv
from l3ac_jax.system.locks import FolderInUseError, exclusive

__all__ = [
    "AUDIO_FOLDER",
    "ReportProgress",
    "Settings",
    "audio_path",
    "check_out",
    "evaluate",
    "scoring_rate",
]

AUDIO_FOLDER = "audio"
LOCK = ".lock"
CODED, SCORES = "coded.jsonl", "scores.jsonl"

ReportProgress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


@dataclass(frozen=True)
class Settings:
    """`workers` processes score; `seed` is that of the confidence intervals."""

    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    extras: Extras = field(default_factory=Extras)
    seed: int = 0


def evaluate(
    codecs: Sequence[CodecUnderTest],
    clips: Sequence[EvaluationClip],
    out: str | os.PathLike[str],
    data: str,
    settings: Settings | None = None,
    progress: ReportProgress = lambda what, done, total: None,
) -> Report:
    """Evaluate codecs on clips; what an earlier, interrupted call left in `out` is used.

    A clip that cannot be read, coded or scored is left out and named in the report's `failures`.
    `data` is what the report calls the clips. Raises OutputError if `out` cannot be used or holds
    the results of other codecs under the same names, MissingPackageError if a package is missing.
    """
    settings = settings or Settings()
    settings.extras.check()
    out = Path(out)
    check_out(out)
    out.mkdir(parents=True, exist_ok=True)
    names = [file_name(codec.info.name) for codec in codecs]
    if len(set(names)) < len(names):
        raise ArgumentError(f"codecs need different names: got {', '.join(names)}")
    try:
        with exclusive(out / LOCK):
            run = _EvaluationRun(out, list(clips), settings, progress)
            coded = {codec.info.name: run.code(codec) for codec in codecs}
            scores = run.score([codec.info for codec in codecs], coded)
            report = _report(run, codecs, coded, scores, data)
            write_csv(out, report)
            write_report(out, report)
            return report
    except FolderInUseError:
        raise OutputError(f"{out}: another evaluation writes there") from None


def check_out(out: str | os.PathLike[str]) -> None:
    """Raise OutputError for a path where `evaluate` cannot keep its results."""
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out}: exists and is not a folder")


def scoring_rate(codecs: Sequence[Codec]) -> int:
    """The sample rate (Hz) at which codecs are compared, the highest of theirs."""
    return max(codec.sample_rate for codec in codecs)


def file_name(name: str) -> str:
    """A name without characters that have a meaning in paths."""
    return re.sub(r"[^\w.-]+", "_", name).strip("._") or "_"


def audio_path(out: str | os.PathLike[str], codec: str, clip: str) -> Path:
    """Where `evaluate` puts a decoded clip."""
    return Path(out, AUDIO_FOLDER, file_name(codec), f"{clip}.flac")


class _EvaluationRun:
    """What the parts of one evaluation share."""

    def __init__(
        self, out: Path, clips: list[EvaluationClip], settings: Settings, progress: ReportProgress
    ):
        self.out = out
        self.clips = clips
        self.settings = settings
        self.progress = progress
        self.failures: dict[str, None] = {}  # in the order of their discovery, each once
        self.checksums: dict[str, str] = {}
        for clip in clips:
            try:
                self.checksums[clip.name] = clip.checksum()
            except OSError as error:
                self.fail(f"{clip.name}: cannot be read: {error.strerror or error}")

    def fail(self, line: str) -> None:
        self.failures[line] = None

    def code(self, codec: CodecUnderTest) -> dict[str, CodedClip]:
        """The clips that could be coded, by name."""
        name = codec.info.name
        path = self.out / file_name(name) / CODED
        done: dict[str, CodedClip] = {}
        with Journal(path, {"codec": codec.identity}) as journal:
            for index, clip in enumerate(self.clips):
                self.progress(f"coding with {name}", index, len(self.clips))
                checksum = self.checksums.get(clip.name)
                if checksum is None:
                    continue
                entry = journal.get(clip.name, checksum)
                if entry is None or not audio_path(self.out, name, clip.name).is_file():
                    entry = self._code_clip(codec, clip)
                    if entry is None:
                        continue
                    journal.add(clip.name, checksum, entry)
                done[clip.name] = CodedClip(**entry)
        self.progress(f"coding with {name}", len(self.clips), len(self.clips))
        return done

    def _code_clip(self, codec: CodecUnderTest, clip: EvaluationClip) -> dict[str, Any] | None:
        rate = codec.info.sample_rate
        try:
            audio = read_mono(clip.path, rate)
            coded = codec.code(audio)
        except AudioError as error:  # which names the file
            self.fail(str(error))
            return None
        except UserError as error:
            self.fail(f"{clip.name}: {error}")
            return None
        target = audio_path(self.out, codec.info.name, clip.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_audio(target, coded.decoded[None], rate, "PCM_16", overwrite=True)
        return {
            "seconds": len(audio) / rate,
            "bits": coded.bits,
            "encode_seconds": coded.encode_seconds,
            "decode_seconds": coded.decode_seconds,
            "tokens": None if coded.tokens is None else coded.tokens.tolist(),
        }

    def score(
        self, codecs: Sequence[Codec], coded: dict[str, dict[str, CodedClip]]
    ) -> dict[tuple[str, str], dict[str, float | None]]:
        """The scores of each codec and clip that could be scored."""
        rate = scoring_rate(codecs)
        wanted = {*SIGNAL_SCORES, *self.settings.extras.names}
        scores: dict[tuple[str, str], dict[str, float | None]] = {}
        journals = {codec.name: self._scores_journal(codec.name) for codec in codecs}
        jobs: list[ScoringJob] = []
        todo: dict[str, list[str]] = {}
        for clip in self.clips:
            for codec in codecs:
                if clip.name not in coded[codec.name]:
                    continue
                entry = journals[codec.name].get(clip.name, self._key(codec, clip, rate))
                if entry is not None and wanted <= entry.keys():
                    scores[codec.name, clip.name] = entry
                else:
                    todo.setdefault(clip.name, []).append(codec.name)
            if clip.name in todo:
                jobs.append(self._job(clip, todo[clip.name], rate))
        infos = {codec.name: codec for codec in codecs}
        by_name = {clip.name: clip for clip in self.clips}
        for done, (job, result) in enumerate(score_jobs(jobs, self.settings.workers)):
            self.progress("scoring", done, len(jobs))
            if isinstance(result, str):
                self.fail(f"{job.clip}: could not be scored: {result}")
                continue
            for name, values in zip(todo[job.clip], result, strict=True):
                finite = {k: float(v) if np.isfinite(v) else None for k, v in values.items()}
                key = self._key(infos[name], by_name[job.clip], rate)
                journals[name].add(job.clip, key, finite)
                scores[name, job.clip] = finite
        self.progress("scoring", len(jobs), len(jobs))
        for journal in journals.values():
            journal.close()
        return scores

    def _scores_journal(self, codec: str) -> Journal:
        words = self.settings.extras.words
        return Journal(self.out / file_name(codec) / SCORES, {"words": words})

    def _key(self, codec: Codec, clip: EvaluationClip, rate: int) -> str:
        """Scores belong to a reference, to what was decoded, and to the rate if it is another's."""
        decoded = EvaluationClip("", "", audio_path(self.out, codec.name, clip.name))
        at = "" if rate == codec.sample_rate else f" {rate} Hz"
        return f"{self.checksums[clip.name]} {decoded.checksum()}{at}"

    def _job(self, clip: EvaluationClip, codecs: Sequence[str], sample_rate: int) -> ScoringJob:
        decoded = tuple(audio_path(self.out, name, clip.name) for name in codecs)
        words = self.settings.extras.words
        transcript = clip.transcript if words is not None else None
        extras = self.settings.extras
        return ScoringJob(clip.name, clip.path, decoded, sample_rate, extras, transcript)


def _report(
    run: _EvaluationRun,
    codecs: Sequence[CodecUnderTest],
    coded: dict[str, dict[str, CodedClip]],
    scores: dict[tuple[str, str], dict[str, float | None]],
    data: str,
) -> Report:
    infos, rows, summaries = [], [], []
    for codec in codecs:
        name = codec.info.name
        of_codec = coded[name]
        mine = [
            ClipScores(
                codec=name,
                clip=clip.name,
                domain=clip.domain,
                seconds=of_codec[clip.name].seconds,
                scores={**scores[name, clip.name], **of_codec[clip.name].real_time_factors},
            )
            for clip in run.clips
            if (name, clip.name) in scores
        ]
        info = codec.info
        if info.kind == "opus" and mine:
            bits = sum(of_codec[row.clip].bits for row in mine)
            info = info.model_copy(update={"bitrate": bits / sum(row.seconds for row in mine)})
        infos.append(info)
        rows += mine
        summaries += summarize(info, mine, of_codec, run.settings.seed)
    return Report(
        data=data,
        seed=run.settings.seed,
        codecs=tuple(infos),
        clips=tuple(rows),
        summaries=tuple(summaries),
        failures=tuple(run.failures),
    )
