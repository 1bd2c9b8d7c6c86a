"""Notes that a transcription model hears, and how far two transcriptions agree.

The model is the one that the package basic-pitch ships (Bittner et al. 2022, arXiv 2203.09893), run
by onnxruntime. Only its file is used, and the package is never imported: it asks for versions of
TensorFlow that know nothing of NumPy 2. It is therefore in no extra, and installed without what it
asks for: pip install --no-deps basic-pitch. Worker processes import this module, so it does without
JAX.
"""

from __future__ import annotations

import importlib
import importlib.util
import types
import warnings
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from l3ac_jax.audio.resampling import resample
from l3ac_jax.errors import MissingPackageError
from l3ac_jax.system.packages import needs_extra

__all__ = ["Note", "note_f_measure", "notes_of", "require", "transcribe_notes"]

Audio = Float[np.ndarray, " time"]
Posteriors = Float[np.ndarray, "frames keys"]

# The model's own: it sees windows of WINDOW samples, and says something of each key for each frame.
RATE = 22050  # Hz
HOP = 256
WINDOW = 2 * RATE - HOP
FRAMES = 172  # of a window
EDGE = 15  # frames at both ends of a window that are those of its neighbours
LOWEST_KEY = 21  # A0 in MIDI's numbers
ONNX = "saved_models/icassp_2022/nmp.onnx"
INPUT, FRAME_OUTPUT, ONSET_OUTPUT = (
    "serving_default_input_2:0",
    "StatefulPartitionedCall:1",
    "StatefulPartitionedCall:2",
)

# The package's defaults.
ONSET, SOUNDING = 0.5, 0.3  # posteriors from which on a note begins, and goes on
SHORTEST = 11  # frames of a note, 0.13 s, and of a pause within it
ONSET_SECONDS = 0.05  # within which an onset is the same, as MIREX has it
CENTS = 50.0


class Note(NamedTuple):
    """One note: seconds, and a key in MIDI's numbers (69 is A4, 440 Hz)."""

    start: float
    end: float
    key: int


def require() -> None:
    """Raise MissingPackageError if something is missing that this module needs."""
    _model_file()
    _package("onnxruntime", "scores")
    _package("mir_eval.transcription", "music")


def transcribe_notes(audio: Audio, sample_rate: int) -> list[Note]:
    """The notes of a recording, by start. Raises MissingPackageError."""
    at_rate = resample(audio[None], sample_rate, RATE)[0]
    step = (FRAMES - 2 * EDGE) * HOP
    count = max(1, -(-len(at_rate) // step))
    padded = np.zeros((count - 1) * step + WINDOW, np.float32)
    kept = at_rate[: len(padded) - EDGE * HOP]
    padded[EDGE * HOP :][: len(kept)] = kept
    frames, onsets = [], []
    for number in range(count):
        window = padded[number * step :][:WINDOW][None, :, None]
        outputs = _session().run([FRAME_OUTPUT, ONSET_OUTPUT], {INPUT: window})
        for rows, output in zip((frames, onsets), outputs, strict=True):
            rows.append(output[0, EDGE : FRAMES - EDGE])
    length = -(-len(at_rate) // HOP)
    return notes_of(np.concatenate(frames)[:length], np.concatenate(onsets)[:length])


def notes_of(sounding: Posteriors, onsets: Posteriors) -> list[Note]:
    """The notes that posteriors of sounding and of beginning keys stand for, by start.

    A note begins where an onset is the likeliest of its neighbours in time, and lasts until its key
    is silent for longer than a short pause, or begins again. Plainer than the package's own way,
    which also finds notes without an onset.
    """
    notes = []
    for key in range(sounding.shape[1]):
        begins = _peaks(onsets[:, key])
        for begin, next_begin in pairwise([*begins, len(sounding)]):
            end = _end(sounding[:, key], begin, next_begin)
            if end - begin >= SHORTEST:
                notes.append(Note(begin * HOP / RATE, end * HOP / RATE, LOWEST_KEY + key))
    return sorted(notes)


def note_f_measure(reference: list[Note], decoded: list[Note]) -> float:
    """F-measure of the notes that begin within 50 ms and within 50 cents, 0 to 1 (mir_eval).

    NaN where neither has any. Raises MissingPackageError.
    """
    if not (reference or decoded):
        return np.nan
    if not (reference and decoded):
        return 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transcription = _package("mir_eval.transcription", "music")
        _, _, f_measure, _ = transcription.precision_recall_f1_overlap(
            *_arrays(reference),
            *_arrays(decoded),
            onset_tolerance=ONSET_SECONDS,
            pitch_tolerance=CENTS,
            offset_ratio=None,
        )
    return float(f_measure)


def _peaks(onset: Float[np.ndarray, " frames"]) -> list[int]:
    """Of a plateau, the first frame."""
    around = np.pad(onset, 1)
    peaks = (onset >= ONSET) & (onset > around[:-2]) & (onset >= around[2:])
    return np.flatnonzero(peaks).tolist()


def _end(sounding: Float[np.ndarray, " frames"], begin: int, limit: int) -> int:
    """The frame after the last one that still belongs to a note."""
    end = begin
    for frame in range(begin, limit):
        if sounding[frame] >= SOUNDING:
            end = frame + 1
        elif frame - end >= SHORTEST:
            break
    return end


def _arrays(notes: list[Note]) -> tuple[Float[np.ndarray, "notes 2"], Float[np.ndarray, " notes"]]:
    """Intervals in seconds, pitches in Hz."""
    table = np.array(notes)
    return table[:, :2], 440.0 * 2 ** ((table[:, 2] - 69) / 12)


def _model_file() -> Path:
    # find_spec imports nothing: not what the package would import.
    spec = importlib.util.find_spec("basic_pitch")
    for folder in (spec and spec.submodule_search_locations) or ():
        if (path := Path(folder, ONNX)).is_file():
            return path
    raise MissingPackageError(
        "transcribing notes needs the model of basic-pitch, which is not installed: "
        "pip install --no-deps basic-pitch"
    )


@lru_cache(1)
def _session() -> Any:
    onnxruntime = _package("onnxruntime", "scores")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # a small model, and its neighbours have the other cores
    return onnxruntime.InferenceSession(
        str(_model_file()), options, providers=["CPUExecutionProvider"]
    )


def _package(name: str, extra: str) -> types.ModuleType:
    with needs_extra(extra, "transcribing notes"):
        return importlib.import_module(name)
