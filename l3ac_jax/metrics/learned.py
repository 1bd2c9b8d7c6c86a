"""Scores by published models: voices of speakers, DNSMOS, words that a recognizer hears.

Their packages are optional (the extra `scores`) and are imported when they are used. Worker
processes import this module, so it does without JAX.
"""

from __future__ import annotations

import importlib
import re
import types
import warnings
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from l3ac_jax.audio.resampling import resample
from l3ac_jax.system.packages import needs_extra

__all__ = [
    "WordErrors",
    "dnsmos",
    "require",
    "speaker_similarity",
    "transcribe",
    "transcribe_english",
    "use_one_thread",
    "voice",
    "voice_windows",
    "word_error_rate",
    "word_errors",
]

Audio = Float[np.ndarray, " time"]

MODEL_RATE = 16000  # of all of them, in Hz
VOICE_FEATURES = 256
PACKAGES = {
    "speaker": ("resemblyzer",),
    "dnsmos": ("speechmos",),
    "wer": ("faster_whisper", "jiwer"),
    "english": ("pocketsphinx", "jiwer"),
    "voices": ("resemblyzer",),
}


def require(score: str) -> None:
    """Raise MissingPackageError if a package that this score needs is missing."""
    for name in PACKAGES[score]:
        _package(name, score)


def speaker_similarity(reference: Audio, decoded: Audio, sample_rate: int) -> float:
    """Cosine of the two voices' embeddings by Resemblyzer (GE2E), -1 to 1.

    NaN where it finds no speech.
    """
    first, second = (voice(audio, sample_rate) for audio in (reference, decoded))
    return np.nan if first is None or second is None else float(first @ second)


def voice(audio: Audio, sample_rate: int) -> Float[np.ndarray, " features"] | None:
    """The embedding of a voice by Resemblyzer, of length 1; None where it finds no speech."""
    speech = _speech(audio, sample_rate)
    return _voice_encoder().embed_utterance(speech) if len(speech) else None


def voice_windows(audio: Audio, sample_rate: int) -> Float[np.ndarray, "windows 256"]:
    """Resemblyzer's embeddings of windows of 1.6 s, about 0.8 s apart, where it finds speech."""
    speech = _speech(audio, sample_rate)
    if not len(speech):
        return np.zeros((0, VOICE_FEATURES), np.float32)
    return _voice_encoder().embed_utterance(speech, return_partials=True)[1]


def dnsmos(audio: Audio, sample_rate: int) -> float:
    """Overall quality by DNSMOS P.835, a mean opinion score of 1 to 5, without a reference."""
    package = _package("speechmos", "dnsmos")
    model = importlib.import_module(f"{package.__name__}.dnsmos")
    scores: Any = model.run(np.clip(_at_model_rate(audio, sample_rate), -1, 1), MODEL_RATE)
    return float(scores["ovrl_mos"])


def transcribe(audio: Audio, sample_rate: int, model: str) -> str:
    """The words that a model of faster-whisper, by name or folder, hears."""
    segments, _ = _recognizer(model).transcribe(_at_model_rate(audio, sample_rate), beam_size=1)
    return " ".join(segment.text.strip() for segment in segments)


def transcribe_english(audio: Audio, sample_rate: int) -> str:
    """The words that PocketSphinx hears, with the English model that its package ships.

    Hidden Markov models and trigrams: it hears much less than Whisper, and needs no download.
    """
    if not audio.any():  # in which it would hear something
        return ""
    samples = np.round(np.clip(_at_model_rate(audio, sample_rate), -1, 1) * 32767)
    recognizer = _english_recognizer()
    recognizer.reinit_feat()  # which forgets the clips before this one
    recognizer.start_utt()
    recognizer.process_raw(samples.astype("<i2").tobytes(), full_utt=True)
    recognizer.end_utt()
    heard = recognizer.hyp()
    return "" if heard is None else heard.hypstr


class WordErrors(NamedTuple):
    """Substitutions, deletions and insertions together, and how many words there should be."""

    errors: int
    words: int


def word_errors(truth: str, heard: str) -> WordErrors:
    """The fewest changes from one to the other. Case and punctuation do not count."""
    truth, heard = (_plain_words(text) for text in (truth, heard))
    if not truth:
        return WordErrors(len(heard.split()), 0)
    found = _package("jiwer", "wer").process_words(truth, heard)
    return WordErrors(found.substitutions + found.deletions + found.insertions, len(truth.split()))


def word_error_rate(truth: str, heard: str) -> float:
    """Word errors in % of the words of `truth`, which may exceed 100. NaN if it has none."""
    found = word_errors(truth, heard)
    return 100 * found.errors / found.words if found.words else np.nan


def use_one_thread() -> None:
    """Let the models of this process compute on one core, as their neighbours have the others."""
    global _THREADS
    _THREADS = 1


_THREADS = 0  # as many as the libraries like


def _plain_words(text: str) -> str:
    return " ".join(re.sub(r"[^\w\s']", " ", text.lower()).split())


def _at_model_rate(audio: Audio, sample_rate: int) -> Audio:
    return resample(audio[None], sample_rate, MODEL_RATE)[0]


def _speech(audio: Audio, sample_rate: int) -> Audio:
    """What Resemblyzer hears of it, at one loudness and without pauses; may be empty."""
    package = _package("resemblyzer", "speaker")
    if not audio.any():
        return audio[:0]
    return package.preprocess_wav(_at_model_rate(audio, sample_rate))


@lru_cache(1)
def _voice_encoder() -> Any:
    import torch

    if _THREADS:
        torch.set_num_threads(_THREADS)
    return _package("resemblyzer", "speaker").VoiceEncoder("cpu", verbose=False)


@lru_cache(1)
def _recognizer(model: str) -> Any:
    package = _package("faster_whisper", "wer")
    return package.WhisperModel(model, device="cpu", compute_type="int8", cpu_threads=_THREADS)


@lru_cache(1)
def _english_recognizer() -> Any:
    return _package("pocketsphinx", "english").Decoder(samprate=MODEL_RATE, loglevel="FATAL")


def _package(name: str, score: str) -> types.ModuleType:
    with needs_extra("scores", f"the score {score!r}"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of their own imports, which nobody here can mend
        return importlib.import_module(name)
