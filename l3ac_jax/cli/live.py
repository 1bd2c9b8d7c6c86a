"""The command `l3ac-jax live`: a microphone through the codec to a loudspeaker."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import tyro
from rich.console import Console
from rich.live import Live
from rich.text import Text

from l3ac_jax.audio.resampling import Resampler, resampling_seconds
from l3ac_jax.cli.command import DEFAULT_DEVICE, Device, Model, loaded, note
from l3ac_jax.cli.duplex import SILENCE_DB, Duplex
from l3ac_jax.cli.standard_input import QUALITY
from l3ac_jax.cli.stream import (
    Block,
    Rate,
    Statistics,
    check_block,
    checked_statistics,
    latency_line,
)
from l3ac_jax.config import DEFAULT_STREAMING_MODEL
from l3ac_jax.errors import ArgumentError, AudioError, PlatformError
from l3ac_jax.system.packages import needs_extra

if TYPE_CHECKING:
    from l3ac_jax.codec.streaming.loopback import Loopback

__all__ = ["live"]

SoundDevice = Annotated[str | None, tyro.conf.arg(metavar="NAME_OR_NUMBER")]
Seconds = Annotated[float | None, tyro.conf.arg(metavar="S")]
SHOWN_SECONDS = 0.1
METER_WIDTH, METER_DB = 20, 60


def live(
    model: Model = DEFAULT_STREAMING_MODEL,
    block: Block = 4,
    statistics: Statistics = None,
    input: SoundDevice = None,
    output: SoundDevice = None,
    rate: Rate = None,
    seconds: Seconds = None,
    list_devices: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    device: Device = DEFAULT_DEVICE,
) -> int:
    """Play what the microphone hears, through the codec, until Ctrl-C. Use headphones.

    Levels, dropouts and the latency are shown meanwhile. A dropout is played as silence, and what
    follows is later by as much. Needs `pip install 'l3ac-jax[live]'`.

    Args:
        model: Name (see `l3ac-jax models`), hf://OWNER/NAME, or model folder or file.
        block: Tokens to compute at a time: more are less work and come later.
        statistics: running, for models that norm over the whole clip: take instead what came so
            far, which is an approximation. Other models need nothing.
        input: Microphone: a number or a part of a name of --list-devices; unless given, the
            system's.
        output: Loudspeaker, likewise.
        rate: Of the sound card, in Hz; unless given, the model's.
        seconds: End after so much sound.
        list_devices: List the sound devices, and do nothing else.
        device: How a GPU is used.
    """
    check_block(block)
    for option, value in (("--rate", rate), ("--seconds", seconds)):
        if value is not None and not value > 0:
            raise ArgumentError(f"{option} must be more than 0, got {value}")
    sounddevice = _sounddevice()
    if list_devices:
        print(sounddevice.query_devices())
        return 0
    from l3ac_jax.codec.streaming.loopback import Loopback

    with loaded(model, device) as codec:
        running = checked_statistics(codec, statistics)
        card_rate = rate or codec.sample_rate
        rates = card_rate, codec.sample_rate
        _compile(Loopback(codec, 1, block, running), 2 * codec.hop_length * block)
        coder = Loopback(codec, 1, block, running)
        resampling = resampling_seconds(card_rate, codec.sample_rate, QUALITY)
        resampling += resampling_seconds(codec.sample_rate, card_rate, QUALITY)
        duplex = Duplex(_AtRate(coder, *rates), card_rate)
        stream = _opened(
            sounddevice,
            samplerate=card_rate,
            blocksize=0,  # as the sound card likes it
            device=(_device(input), _device(output)),
            channels=1,
            dtype="float32",
            latency="low",
            callback=duplex.callback,
        )
        note(f"l3ac-jax: {latency_line(codec, coder.latency, resampling)}; Ctrl-C ends")
        try:
            with stream, _display(duplex, sum(stream.latency)) as show:
                while seconds is None or duplex.samples < seconds * card_rate:
                    duplex.work(SHOWN_SECONDS)
                    if not stream.active:
                        raise AudioError("the sound device has stopped: was it unplugged?")
                    show()
        except KeyboardInterrupt:
            pass  # which is how it ends
        except sounddevice.PortAudioError as error:
            raise AudioError(f"the sound device: {error}") from None
        note(f"l3ac-jax: {duplex.samples / card_rate:.1f} s, {_state(duplex, sum(stream.latency))}")
    return 0


class _AtRate:
    """A Loopback at the rate of the sound card."""

    def __init__(self, coder: Loopback, card_rate: int, codec_rate: int):
        self._coder = coder
        self._there = Resampler(1, card_rate, codec_rate, quality=QUALITY)
        self._back = Resampler(1, codec_rate, card_rate, quality=QUALITY)

    def push(self, audio: np.ndarray, /) -> np.ndarray:
        return self._back.push(self._coder.push(self._there.push(audio)))


def _compile(coder: Loopback, samples: int) -> None:
    """So that the first sound need not wait for it."""
    coder.push(np.zeros((1, samples), np.float32))
    coder.finish()


def _sounddevice() -> ModuleType:
    with needs_extra("live", "l3ac-jax live"):
        try:
            import sounddevice  # type: ignore[import-not-found]
        except OSError as error:  # without PortAudio
            raise PlatformError(
                f"{error}: on Debian and Ubuntu, apt install libportaudio2"
            ) from None
    return sounddevice


def _device(name: str | None) -> str | int | None:
    return int(name) if name is not None and name.isdecimal() else name


def _opened(sounddevice: ModuleType, **options: Any) -> Any:
    try:
        return sounddevice.Stream(**options)
    except (sounddevice.PortAudioError, ValueError) as error:  # the latter for names
        raise AudioError(
            f"the sound device: {error} (--list-devices, --input, --output and --rate choose "
            "another, or another rate)"
        ) from None


@contextmanager
def _display(duplex: Duplex, card: float) -> Iterator[Any]:
    """Something to call again and again; shows nothing where standard error is no terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda: None
        return
    shown = 0.0
    with Live(console=console, auto_refresh=False, transient=True) as line:

        def show() -> None:
            nonlocal shown
            if time.monotonic() - shown < SHOWN_SECONDS:
                return
            shown = time.monotonic()
            meters = (
                f"{name} {_meter(level)} {level:4.0f} dB"
                for name, level in (("in", duplex.input_db), ("out", duplex.output_db))
            )
            line.update(Text("  ".join([*meters, _state(duplex, card)])), refresh=True)

        yield show


def _state(duplex: Duplex, card: float) -> str:
    """Dropouts, and the latency with that which the sound card says of itself."""
    plural = "" if duplex.dropouts == 1 else "s"
    return (
        f"{duplex.dropouts} dropout{plural}, latency {1000 * (duplex.latency + card):.0f} ms "
        f"(sound card {1000 * card:.0f})"
    )


def _meter(level: float) -> str:
    """A bar for a level of -60 to 0 dB."""
    share = min(1.0, 1 + max(level, SILENCE_DB) / METER_DB)
    full = round(METER_WIDTH * max(0.0, share))
    return "█" * full + "·" * (METER_WIDTH - full)
