"""Audio between a sound card, which calls when it likes, and a codec, which takes its time."""

from __future__ import annotations

import queue
import threading
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float

__all__ = ["Coder", "Duplex"]

# Of sound that waits for the codec. A machine that falls behind more leaves some out.
BACKLOG_SECONDS = 1.0
SILENCE_DB = -90.0


class Coder(Protocol):
    """What gives audio for audio, later: (1, samples)."""

    def push(self, audio: Float[np.ndarray, "1 T"], /) -> Float[np.ndarray, "1 T2"]:
        """What became known with these samples."""
        ...


class Duplex:
    """What a sound card's callback takes and gives, and what is done with it in between.

    `callback` is called by the sound card's thread and never waits; `work` by one that computes.
    Whenever nothing is there to be played, silence is, and all that follows is later by as much.
    """

    def __init__(self, coder: Coder, rate: int):
        self._coder, self._rate = coder, rate
        self._heard: queue.SimpleQueue[np.ndarray] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._ready = np.zeros(0, np.float32)
        self._waiting = self._silent = self._omitted = 0
        self._plays = False
        self.samples = 0
        """that the codec has taken"""
        self.dropouts = 0
        """gaps in what is played or heard, after the first sound"""
        self.input_db = self.output_db = SILENCE_DB
        """peaks of the last blocks, in dB below full scale"""

    @property
    def latency(self) -> float:
        """Seconds from a sample that the sound card gave to when it takes it, as of now.

        Counted, not estimated: so much silence was played, and so much that was heard left out.
        """
        with self._lock:
            return (self._silent - self._omitted) / self._rate

    def callback(
        self, heard: np.ndarray, played: np.ndarray, frames: int, time: Any, status: Any
    ) -> None:
        """Take `heard` and fill `played`, each of shape (frames, 1)."""
        with self._lock:
            if status.input_overflow or status.output_underflow:
                self.dropouts += 1
            if self._waiting < BACKLOG_SECONDS * self._rate:
                self._waiting += frames
                self._heard.put(heard[:, 0].copy())
            else:
                self._omitted += frames
                self.dropouts += 1
            sound = self._ready[:frames]
            self._ready = self._ready[frames:]
            missing = frames - len(sound)
            self._silent += missing
            self.dropouts += bool(missing and self._plays)
            # The first sound ends with its block, so that there is no gap before the second.
            start = 0 if self._plays else missing
            self._plays = self._plays or len(sound) > 0
        played[:, 0] = 0
        played[start : start + len(sound), 0] = sound
        self.output_db = _peak_db(sound)

    def work(self, timeout: float) -> bool:
        """Code what has been heard; whether there was anything before the `timeout` (seconds)."""
        try:
            parts = [self._heard.get(timeout=timeout)]
        except queue.Empty:
            return False
        while not self._heard.empty():
            parts.append(self._heard.get())
        heard = np.concatenate(parts)
        self.input_db = _peak_db(heard)
        sound = self._coder.push(heard[None])[0]
        with self._lock:
            self._waiting -= len(heard)
            self._ready = np.concatenate([self._ready, np.clip(sound, -1, 1)])
            self.samples += len(heard)
        return True


def _peak_db(sound: np.ndarray) -> float:
    peak = float(np.abs(sound).max(initial=0.0))
    return max(SILENCE_DB, 20 * float(np.log10(peak))) if peak else SILENCE_DB
