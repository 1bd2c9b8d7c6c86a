"""What is evaluated: codecs of this package, Opus and Codec 2 by their programs, and noise."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import jax
import numpy as np
import soundfile
from jaxtyping import Float, Int

from l3ac_jax.audio.resampling import resample
from l3ac_jax.audio.writing import write_audio
from l3ac_jax.codec.l3ac import L3AC
from l3ac_jax.errors import ReferenceCodecError
from l3ac_jax.evaluation.ogg import payload_bytes
from l3ac_jax.evaluation.report import Codec

__all__ = [
    "CODEC2_MODES",
    "OPUS_HIGHEST",
    "OPUS_LOWEST",
    "Codec2",
    "CodecUnderTest",
    "Coded",
    "NeuralCodec",
    "Noise",
    "Opus",
    "codec2_bitrate",
]

Audio = Float[np.ndarray, " time"]


@dataclass(frozen=True)
class Coded:
    """A clip after coding; `tokens` only where there are any, `bits` what they, or packets, take.

    Seconds are of computing; None where a program's start would be counted.
    """

    decoded: Audio
    bits: float
    tokens: Int[np.ndarray, " n"] | None = None
    encode_seconds: float | None = None
    decode_seconds: float | None = None


class CodecUnderTest(Protocol):
    """`identity` changes when anything does that results depend on."""

    info: Codec
    identity: str

    def code(self, audio: Audio) -> Coded:
        """Encode and decode audio at `info.sample_rate`; the result is as long."""
        ...


class NeuralCodec:
    """A codec of this package under a name."""

    def __init__(self, name: str, codec: L3AC):
        parameters = sum(leaf.size for leaf in jax.tree.leaves(codec.params))
        self.codec = codec
        self.info = Codec(
            name=name,
            kind="l3ac",
            bitrate=codec.bitrate,
            sample_rate=codec.sample_rate,
            frame_rate=codec.frame_rate,
            token_rate=codec.frame_rate,
            codebook_size=codec.codebook_size,
            parameters=parameters,
            levels=codec.config.quantizer.levels,
        )
        self.identity = codec.token_format.config + codec.token_format.weights

    def code(self, audio: Audio) -> Coded:
        """Batch 1. Where a length has to be compiled, a first call does that untimed."""
        batch = audio[None]
        if not self.codec.is_compiled(len(audio)):
            np.asarray(self.codec.decode(self.codec.encode(batch)))
        start = time.perf_counter()
        tokens = np.asarray(self.codec.encode(batch))
        middle = time.perf_counter()
        decoded = np.asarray(self.codec.decode(tokens))
        end = time.perf_counter()
        return Coded(
            decoded[0, : len(audio)],
            tokens.size * float(np.log2(self.codec.codebook_size)),
            tokens[0],
            middle - start,
            end - middle,
        )


# Bits of a frame, and its samples at 8 kHz. Files hold whole bytes for each frame, which counts
# nothing on a radio: rates are of the bits.
CODEC2_MODES = {
    "3200": (64, 160),
    "2400": (48, 160),
    "1600": (64, 320),
    "1400": (56, 320),
    "1300": (52, 320),
    "1200": (48, 320),
    "700C": (28, 320),
    "450": (18, 320),
}
CODEC2_RATE = 8000
# By how much its output lags behind (samples at 8 kHz): the shift with the best STOI on eight
# speakers, 0.80 instead of 0.62 without for 3200. The modes below 1 kbit/s have another coder.
CODEC2_DELAY = dict.fromkeys(CODEC2_MODES, 160) | {"700C": 240, "450": 240}


class Codec2:
    """Codec 2 at one of its modes, by `c2enc` and `c2dec`; 8 kHz, resampled to and from 16 kHz."""

    def __init__(self, mode: str):
        if mode not in CODEC2_MODES:
            raise ReferenceCodecError(
                f"codec2:{mode}: the modes of Codec 2 are {', '.join(CODEC2_MODES)}"
            )
        self._mode = mode
        self._programs = _programs("codec2", "c2enc", "c2dec")
        self.info = Codec(
            name=f"Codec 2 {mode}", kind="codec2", bitrate=codec2_bitrate(mode), sample_rate=16000
        )
        self.identity = f"codec2 {mode} delay {CODEC2_DELAY[mode]}"

    def code(self, audio: Audio) -> Coded:
        """Raises ReferenceCodecError if a program fails."""
        bits, samples = CODEC2_MODES[self._mode]
        delay = CODEC2_DELAY[self._mode]
        narrow = resample(audio[None], self.info.sample_rate, CODEC2_RATE)[0]
        frames = -(-(len(narrow) + delay) // samples)
        padded = np.pad(narrow, (0, frames * samples - len(narrow)))
        encode, decode = self._programs
        with tempfile.TemporaryDirectory() as folder:
            raw, coded, result = (Path(folder, name) for name in ("in.raw", "c2.bin", "out.raw"))
            np.round(np.clip(padded, -1, 1) * 32767).astype("<i2").tofile(raw)
            _run([encode, self._mode, str(raw), str(coded)])
            _run([decode, self._mode, str(coded), str(result)])
            decoded = np.fromfile(result, "<i2").astype(np.float32) / 32768
        aligned = decoded[delay : delay + len(narrow)]
        wide = resample(aligned[None], CODEC2_RATE, self.info.sample_rate, len(audio))
        return Coded(np.clip(wide[0], -1, 1), frames * bits)


OPUS_LOWEST, OPUS_HIGHEST = 6000, 256000
OPUS_RATES = (8000, 12000, 16000, 24000, 48000)


class Opus:
    """Opus by `opusenc` and `opusdec`, at a target rate in bit/s; variable rate, as by default.

    It hears and gives audio at `sample_rate`, or the next higher one of OPUS_RATES.
    """

    def __init__(self, bitrate: int, sample_rate: int = 16000):
        if not OPUS_LOWEST <= bitrate <= OPUS_HIGHEST:
            raise ReferenceCodecError(
                f"opus:{bitrate}: opusenc takes {OPUS_LOWEST} to {OPUS_HIGHEST} bit/s"
            )
        self._programs = _programs("opus-tools", "opusenc", "opusdec")
        self._kilobits = f"{bitrate / 1000:g}"
        rate = next((rate for rate in OPUS_RATES if rate >= sample_rate), OPUS_RATES[-1])
        self.info = Codec(
            name=f"Opus {self._kilobits}k", kind="opus", bitrate=bitrate, sample_rate=rate
        )
        self.identity = f"opus {bitrate}" + ("" if rate == 16000 else f" at {rate} Hz")

    def code(self, audio: Audio) -> Coded:
        """`bits` are those of the packets, without the container. Raises ReferenceCodecError."""
        encode, decode = self._programs
        with tempfile.TemporaryDirectory() as folder:
            wav, coded, result = (Path(folder, name) for name in ("in.wav", "c.opus", "out.wav"))
            write_audio(wav, audio[None], self.info.sample_rate, "PCM_16")
            _run([encode, "--quiet", "--bitrate", self._kilobits, str(wav), str(coded)])
            rate = str(self.info.sample_rate)
            _run([decode, "--quiet", "--rate", rate, "--force-wav", str(coded), str(result)])
            decoded = soundfile.read(result, dtype="float32")[0]
            bits = 8 * payload_bytes(coded.read_bytes())
        rest = max(0, len(audio) - len(decoded))
        return Coded(np.pad(decoded, (0, rest))[: len(audio)], bits)


class Noise:
    """No codec: white noise, so many dB below the clip.

    How far a score moves for it says what its differences are worth.
    """

    def __init__(self, decibels: float, sample_rate: int = 16000):
        self._level = 10 ** (-decibels / 20)
        self.info = Codec(
            name=f"Noise at {0 - decibels:g} dB",
            kind="noise",
            bitrate=16 * sample_rate,
            sample_rate=sample_rate,
        )
        self.identity = f"noise {decibels:g} {sample_rate}"

    def code(self, audio: Audio) -> Coded:
        """The same noise at each call. `bits` are those of 16-bit PCM."""
        noise = np.random.default_rng(0).standard_normal(len(audio), np.float32)
        level = np.sqrt(np.mean(np.square(audio), dtype=np.float64)) * self._level
        return Coded(audio + np.float32(level) * noise, 16 * len(audio))


def codec2_bitrate(mode: str) -> float:
    """bit/s of one of CODEC2_MODES."""
    bits, samples = CODEC2_MODES[mode]
    return bits * CODEC2_RATE / samples


def _programs(package: str, *names: str) -> list[str]:
    found = [shutil.which(name) for name in names]
    if missing := [name for name, path in zip(names, found, strict=True) if path is None]:
        raise ReferenceCodecError(
            f"{' and '.join(missing)}: not installed (Debian's package {package})"
        )
    return [path for path in found if path is not None]


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise ReferenceCodecError(f"{Path(command[0]).name} failed ({done.returncode}): {reason}")
