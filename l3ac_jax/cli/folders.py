"""The commands of `l3ac-jax` on folders: the same tree comes out."""

from __future__ import annotations

import contextlib
import math
import traceback
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from l3ac_jax.audio.endings import AUDIO_ENDINGS, left_alone
from l3ac_jax.audio.formats import FORMATS, choose_subtype
from l3ac_jax.audio.reading import AudioReader, open_reader
from l3ac_jax.audio.writing import check_audio_format
from l3ac_jax.cli.command import DeviceOptions, loaded, note, recorded_model
from l3ac_jax.cli.run import FAILED, Interrupted
from l3ac_jax.errors import UserError
from l3ac_jax.system.background import ahead
from l3ac_jax.system.plans import Plan, plan_jobs
from l3ac_jax.system.trees import (
    Found,
    Job,
    check_trees,
    find_files,
    make_folder,
    remove_leftovers,
)
from l3ac_jax.tokens.bitstream.files import SUFFIX, Entropy, save
from l3ac_jax.tokens.bitstream.files import load as load_encoded
from l3ac_jax.tokens.format import EncodedAudio

if TYPE_CHECKING:
    from l3ac_jax.codec.l3ac import L3AC
    from l3ac_jax.codec.many.batches import DecodedRecording

Results = Callable[[list[Path]], Iterator[tuple[Path, Any]]]


@dataclass(frozen=True)
class Written:
    """What was made of a file."""

    seconds: float
    file_bytes: int = 0


def encode_folder(
    input: Path, output: Path, model: str, entropy: Entropy, overwrite: bool, device: DeviceOptions
) -> int:
    """Audio files to `.l3ac` files. Returns 1 when some failed or were not whole."""
    work = _plan(input, output, AUDIO_ENDINGS, lambda _: SUFFIX, overwrite)

    def results(sources: list[Path]) -> Iterator[tuple[Path, EncodedAudio | Exception]]:
        from l3ac_jax.codec.many.batches import encode_files

        with loaded(model, device) as codec:
            yield from encode_files(codec, sources, work.note_damage)

    def write(job: Job, encoded: EncodedAudio) -> Written:
        size = save(job.target, encoded, entropy, overwrite)
        return Written(encoded.seconds, size.file_bytes)

    return work.run("encoded", results, write)


def decode_folder(
    input: Path,
    output: Path,
    model: str | None,
    format: str | None,
    overwrite: bool,
    device: DeviceOptions,
) -> int:
    """`.l3ac` files to audio files. Returns 1 when some failed or were not whole."""
    ending = f".{format or 'wav'}"
    work = _plan(input, output, {SUFFIX}, lambda _: ending, overwrite)

    def load(path: Path) -> EncodedAudio:
        return load_encoded(path, work.failures.append)

    def results(sources: list[Path]) -> Iterator[tuple[Path, DecodedRecording | Exception]]:
        from l3ac_jax.codec.many.batches import DEPTH, decode_all

        with contextlib.ExitStack() as stack:
            codecs: dict[str, L3AC] = {}

            def codec_of(path: Path, encoded: EncodedAudio) -> L3AC:
                name = model or recorded_model(str(path), encoded)
                if name not in codecs:
                    codecs[name] = stack.enter_context(loaded(name, device))
                return codecs[name]

            yield from decode_all(codec_of, ahead(load, sources, DEPTH))

    return work.run("decoded", results, lambda job, decoded: _write(job, decoded, None, overwrite))


def reconstruct_folder(
    input: Path,
    output: Path,
    model: str,
    format: str | None,
    overwrite: bool,
    device: DeviceOptions,
) -> int:
    """Audio files through the codec. Returns 1 when some failed or were not whole."""

    def ending(file: Path) -> str:
        if format is not None:
            return f".{format}"
        return file.suffix if file.suffix.lower() in FORMATS else ".wav"

    work = _plan(input, output, AUDIO_ENDINGS, ending, overwrite)

    def results(sources: list[Path]) -> Iterator[tuple[Path, DecodedRecording | Exception]]:
        from l3ac_jax.codec.many.batches import decode_all, encode_files

        with loaded(model, device) as codec:
            yield from decode_all(lambda *_: codec, encode_files(codec, sources, work.note_damage))

    def write(job: Job, decoded: DecodedRecording) -> Written:
        with open_reader(job.source) as like:
            pass
        return _write(job, decoded, like, overwrite)

    return work.run("reconstructed", results, write)


def _write(
    job: Job, decoded: DecodedRecording, like: AudioReader | None, overwrite: bool
) -> Written:
    from l3ac_jax.codec.files import write_decoded

    encoded, subtype = decoded.encoded, choose_subtype(job.target, like)
    check_audio_format(job.target, encoded.tokens.shape[0], encoded.sample_rate, subtype)
    write_decoded(job.target, encoded, decoded.blocks, subtype, overwrite)
    return Written(encoded.seconds)


def _plan(
    input: Path,
    output: Path,
    endings: Collection[str],
    ending: Callable[[Path], str],
    overwrite: bool,
) -> _Work:
    """What there is to do. Raises TreeError for folders on which nothing can be done."""
    check_trees(input, output)
    found = find_files(input, endings)
    plan = plan_jobs(input, output, found.files, ending)
    removed = remove_leftovers(plan.jobs)
    if removed:
        note(f"{output}: removed {_count(removed, 'unfinished file')} of an earlier run")
    return _Work(output, found, plan, overwrite)


@dataclass
class _Work:
    """The files of a folder, and what has become of them."""

    output: Path
    found: Found
    plan: Plan
    overwrite: bool
    written: list[Written] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def note_damage(self, _: Path, message: str) -> None:
        """Of a file that is not whole: what can be decoded of it is done, and it is listed."""
        self.failures.append(message)

    def run(self, done: str, results: Results, write: Callable[[Job, Any], Written]) -> int:
        """Make the files that are not there yet, say what was `done`, and return the exit code."""
        todo = [job for job in self.plan.jobs if self.overwrite or not job.target.exists()]
        skipped = len(self.plan.jobs) - len(todo)
        self.failures += map(str, [*self.found.unreadable, *self.plan.refused])
        for loop in self.found.loops:
            note(f"{loop}: left out: it is a link to a folder that it is in")
        try:
            if todo:
                self._run({job.source: job for job in todo}, results, write)
        except KeyboardInterrupt:
            self._list_failures()
            raise Interrupted(
                f"{len(self.written)} of {_count(len(todo), 'file')} {done}: the same command "
                f"{'begins anew' if self.overwrite else 'goes on with the rest'}"
            ) from None
        note(self._summary(done, skipped))
        for line in left_alone(self.found.others):
            note(line)
        self._list_failures()
        return FAILED if self.failures else 0

    def _run(
        self, todo: dict[Path, Job], results: Results, write: Callable[[Job, Any], Written]
    ) -> None:
        from l3ac_jax.codec.many.batches import DEPTH

        def finish(item: tuple[Path, Any]) -> None:
            path, result = item
            if isinstance(result, Exception):
                raise result
            make_folder(todo[path].target.parent)
            self.written.append(write(todo[path], result))

        outcomes = ahead(finish, results(list(todo)), DEPTH, _is_long)
        with _progress() as progress, contextlib.closing(outcomes):
            task = progress.add_task("files", total=len(todo))
            for (path, _), error in outcomes:
                if error is not None:
                    self.failures.append(_reason(path, error))
                progress.advance(task)

    def _summary(self, done: str, skipped: int) -> str:
        seconds = math.fsum(written.seconds for written in self.written)
        parts = [f"{_count(len(self.written), 'file')} {done}, {_duration(seconds)} of audio"]
        size = sum(written.file_bytes for written in self.written)
        if size:
            parts.append(f"{size} bytes, {8 * size / seconds:.1f} bit/s")
        if skipped:
            parts.append(f"{skipped} were there already (--overwrite replaces them)")
        if self.failures:
            parts.append(f"{len(self.failures)} failed or not whole")
        return f"{self.output}: {', '.join(parts)}"

    def _list_failures(self) -> None:
        for line in self.failures:
            note(f"l3ac-jax: failed: {line}")


def _is_long(item: tuple[Path, Any]) -> bool:
    return getattr(item[1], "is_long", False)


def _reason(path: Path, error: Exception) -> str:
    """What went wrong with a file. A bug is shown as one, and does not keep the others waiting."""
    if isinstance(error, UserError):
        return str(error) if ": " in str(error) else f"{path}: {error}"
    if isinstance(error, OSError):
        return f"{path}: {error.strerror or error}"
    return f"{path}: {''.join(traceback.format_exception(error)).rstrip()}"


def _progress() -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.2f} h"
