"""From the parts of a file to samples, with what is missing between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO, cast

import numpy as np
import soundfile
from jaxtyping import Float

from l3ac_jax.audio.channels import wav_order
from l3ac_jax.audio.containers.finding import lay_out, lay_out_headless
from l3ac_jax.audio.containers.layout import Part, Resume
from l3ac_jax.audio.containers.pieces import PiecedFile
from l3ac_jax.audio.containers.promises import promised_samples
from l3ac_jax.audio.damage import CUT_OFF, Damage
from l3ac_jax.errors import AudioError

__all__ = ["BLOCK", "Decoder"]

BLOCK = 65536  # samples a channel: at 44.1 kHz 1.5 s
BLOCK_VALUES = 2**20  # of all channels
HEAD_BYTES = 1024
NO_LENGTH = 2**62  # what libsndfile gives for a length that it does not know is above
TOLERANCE = 0.002  # seconds: what the ends of parts may be wrong by without anything missing
UNDECODED = "what follows cannot be decoded"
BEYOND = "samples that its header promises"


class _SoundFile(soundfile.SoundFile):
    """A file that is read from its start to its end.

    soundfile would go back to where it believes to be after each read, and not read beyond the
    length that libsndfile tells at first, which is an estimate for some formats.
    """

    def __init__(self, file: PiecedFile):
        self.pieced = file
        super().__init__(cast(BinaryIO, file))

    def seekable(self) -> bool:
        """Not for reading."""
        return False

    def decode(self, buffer: np.ndarray) -> tuple[int, bool]:
        """Fill the buffer; how many rows were decoded, and whether it failed behind them."""
        before = self._place()
        try:
            decoded, failed = len(self.read(len(buffer), out=buffer)), False
        except soundfile.LibsndfileError:
            decoded, failed = min(max(0, self._place() - before), len(buffer)), True
        if self.pieced.error is not None:
            raise self.pieced.error
        return decoded, failed

    def _place(self) -> int:
        try:
            return self.tell()
        except soundfile.LibsndfileError:  # of a format without seeking
            return 0


class Decoder:
    """An opened recording: decodes all that can be decoded, and keeps what is `missing`.

    `format` and `subtype` are soundfile's names. `seconds` are what can be expected of its headers.
    """

    def __init__(self, source: BinaryIO):
        self._source = source
        self._layout = lay_out(source)
        self._first = self._open_first()
        self.format: str = self._first.format
        self.subtype: str = self._first.subtype
        self.sample_rate: int = self._first.samplerate
        self.channels: int = self._first.channels
        self._order = wav_order(source, self.format, self.subtype, self.channels)
        self._seconds = self._layout.seconds
        if self._layout.seconds is None:
            self._seconds = self._promised_seconds()
        self.damage: list[Damage] = []
        self.samples = 0  # decoded so far

    @property
    def expected_samples(self) -> int:
        """Samples a channel as the file's headers have them."""
        if self._seconds is not None:
            return round(self._seconds * self.sample_rate)
        return self._first.frames

    @property
    def missing_seconds(self) -> float | None:
        """Of what its headers promise; None where they do not promise more than was decoded."""
        if self._seconds is None:
            return None
        missing = self._seconds - self.samples / self.sample_rate
        return missing if missing > TOLERANCE else None

    def close(self) -> None:
        """Give back what libsndfile holds."""
        self._first.close()

    def blocks(self) -> Iterator[Float[np.ndarray, "T C"]]:
        """All that can be decoded, float32, in WAV's order of channels."""
        self.samples, self.damage = 0, list(self._layout.damage)
        reached = 0.0
        for index, part in enumerate(self._layout.parts):
            before, place = self.samples, len(self.damage)
            yield from self._decode_part(part, self._first if index == 0 else None)
            decoded = (self.samples - before) / self.sample_rate
            if part.first:
                reached = 0.0
            if part.end is not None:
                missing = part.end - reached - decoded
                if not (part.first and part.follows) and missing > TOLERANCE:
                    damage = Damage(before / self.sample_rate, missing, part.cause)
                    self.damage.insert(place, damage)
                reached = part.end
            if part.cut_off:
                self.damage.append(Damage(self.samples / self.sample_rate, None, CUT_OFF))
        self._account_for(self.missing_seconds)

    def _account_for(self, missing: float | None) -> None:
        """See that what is missing in all has a place."""
        known = sum(damage.missing or 0 for damage in self.damage)
        if missing is None or missing - known <= TOLERANCE:
            return
        if not self.damage:
            self.damage.append(Damage(self.samples / self.sample_rate, 0.0, BEYOND))
        last = self.damage[-1]
        if len(self.damage) == 1 or last.cause == CUT_OFF:
            self.damage[-1] = replace(last, missing=(last.missing or 0) + missing - known)

    def _decode_part(self, part: Part, file: _SoundFile | None) -> Iterator[np.ndarray]:
        file = file or self._open(part)
        if file is None or not self._is_alike(file):
            cause = "a part that cannot be decoded, or of another sample rate or number of channels"
            self.damage.append(Damage(self.samples / self.sample_rate, None, cause))
            return
        before = self.samples
        failed = yield from self._decode(file)
        promised = file.frames if not part.estimated and part.claimed is None else NO_LENGTH
        if failed and self._layout.resume is not None:
            yield from self._resume(self._layout.resume)
        elif promised < NO_LENGTH and self.samples - before < promised:
            lost = (promised - (self.samples - before)) / self.sample_rate
            self.damage.append(Damage(self.samples / self.sample_rate, lost, BEYOND))
        elif failed:
            self.damage.append(Damage(self.samples / self.sample_rate, None, UNDECODED))

    def _is_alike(self, file: _SoundFile) -> bool:
        return (file.samplerate, file.channels) == (self.sample_rate, self.channels)

    def _resume(self, resume: Resume) -> Iterator[np.ndarray]:
        """Behind a failure of the decoder, until there are no more."""
        reached = self.samples
        while (found := resume(reached - 1)) is not None:
            start, part = found
            file = self._open(part)
            if file is None or not self._is_alike(file):
                continue
            before = self.samples
            yield from self._decode(file)
            if self.samples > before:
                self._note_gap(before, start - reached)
                reached = start + self.samples - before
        missing = self.missing_seconds
        known = sum(damage.missing or 0 for damage in self.damage)
        if missing is None or missing - known > TOLERANCE or not self.damage:
            lost = None if missing is None else max(0.0, missing - known)
            cause = UNDECODED if missing is None and self._seconds else CUT_OFF
            self.damage.append(Damage(self.samples / self.sample_rate, lost, cause))

    def _note_gap(self, before: int, lost: int) -> None:
        self.damage.append(
            Damage(before / self.sample_rate, max(0, lost) / self.sample_rate, "damaged frames")
        )

    def _decode(self, file: _SoundFile) -> Iterator[np.ndarray]:
        """All of a file; whether it ended with an error."""
        rows = max(1, min(BLOCK, BLOCK_VALUES // self.channels))
        while True:
            buffer = np.empty((rows, self.channels), np.float32)
            decoded, failed = file.decode(buffer)
            if decoded:
                self.samples += decoded
                yield buffer[:decoded] if self._order is None else buffer[:decoded, self._order]
            if failed or not decoded:
                if file is not self._first:
                    file.close()
                return failed

    def _open_first(self) -> _SoundFile:
        try:
            return _SoundFile(self._pieced(self._layout.parts[0]))
        except soundfile.LibsndfileError as error:
            layout = lay_out_headless(self._source)
            file = None
            if layout is not None:
                self._layout = layout
                file = self._open(layout.parts[0])
            if file is None:
                reason = error.error_string.strip().removeprefix("Error : ").rstrip(".")
                raise AudioError(f"is not an audio file that can be read: {reason}") from error
            return file

    def _promised_seconds(self) -> float | None:
        self._source.seek(0)
        head = self._source.read(HEAD_BYTES)
        file = self._first
        promised = promised_samples(file.format, file.extra_info, head, file.frames)
        return None if promised is None else promised / file.samplerate

    def _open(self, part: Part) -> _SoundFile | None:
        try:
            return _SoundFile(self._pieced(part))
        except soundfile.LibsndfileError:
            return None

    def _pieced(self, part: Part) -> PiecedFile:
        return PiecedFile(self._layout.source or self._source, part.pieces, part.claimed)
