"""A microphone and a loudspeaker that are none: what is played, and what is said of it."""

import sys
import threading
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from l3ac_jax.cli import live as cli_live
from l3ac_jax.cli.duplex import SILENCE_DB, Duplex
from l3ac_jax.cli.main import main
from l3ac_jax.codec.streaming.loopback import Loopback
from tests.quick import speech

RATE = 16000
FINE = SimpleNamespace(input_overflow=False, output_underflow=False)
LATE = SimpleNamespace(input_overflow=True, output_underflow=False)


class Delay:
    """Gives what it got before: 10 samples later."""

    def __init__(self):
        self._kept = np.zeros((1, 0), np.float32)

    def push(self, audio, /):
        both = np.concatenate([self._kept, audio], axis=1)
        ready = max(0, both.shape[1] - 10)
        self._kept = both[:, ready:]
        return both[:, :ready]


def call(duplex: Duplex, heard: np.ndarray, status=FINE) -> np.ndarray:
    played = np.full((len(heard), 1), np.nan, np.float32)
    duplex.callback(heard[:, None], played, len(heard), None, status)
    return played[:, 0]


def test_what_is_played_is_what_was_heard_as_much_later_as_it_says():
    duplex, sound, played = Duplex(Delay(), RATE), speech(320)[0], []
    for at in range(0, 320, 32):
        played.append(call(duplex, sound[at : at + 32]))
        assert duplex.work(0)
    # A block is coded after it was heard, and 10 samples of it come with the next.
    late = round(duplex.latency * RATE)
    assert late == 42
    np.testing.assert_array_equal(np.concatenate(played)[late:], sound[:-late])
    assert duplex.samples == 320


def test_no_sound_yet_is_no_dropout_and_later_silence_is():
    duplex, sound = Duplex(Delay(), RATE), speech(32)[0]
    assert not duplex.work(0)
    call(duplex, sound)
    call(duplex, sound)
    assert duplex.dropouts == 0
    duplex.work(0)
    call(duplex, sound)
    assert duplex.dropouts == 0
    before = duplex.latency
    call(duplex, sound)  # 22 samples are left of 54
    assert duplex.dropouts == 1
    assert duplex.latency == before + 10 / RATE
    call(duplex, sound, LATE)
    assert duplex.dropouts == 3  # the sound card's own, and nothing to be played


def test_a_codec_that_is_too_slow_loses_sound_and_does_not_fall_behind_for_ever():
    duplex, second = Duplex(Delay(), RATE), speech(RATE)[0]
    for _ in range(3):
        call(duplex, second)
    assert duplex.work(0) and duplex.samples == RATE
    assert duplex.dropouts == 2  # the second and the third were left out
    assert duplex.latency == pytest.approx(1.0)


def test_levels_are_peaks_below_full_scale():
    duplex = Duplex(Delay(), RATE)
    assert (duplex.input_db, duplex.output_db) == (SILENCE_DB, SILENCE_DB)
    call(duplex, np.full(32, 0.5, np.float32))
    duplex.work(0)
    call(duplex, np.zeros(8, np.float32))
    assert duplex.input_db == duplex.output_db == pytest.approx(-6.02, abs=0.01)
    assert cli_live._meter(0).count("█") == 20
    assert cli_live._meter(-30).count("█") == 10
    assert cli_live._meter(SILENCE_DB).count("█") == 0


class FakeStream:
    """Plays `speech` to the callback in a thread, a block as soon as the last one is coded."""

    latency = (0.003, 0.004)
    active = True

    def __init__(self, module, **options):
        self._module, self._callback = module, options["callback"]
        self._duplex: Duplex = options["callback"].__self__
        module.options = options

    def __enter__(self):
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._play, daemon=True)
        self._thread.start()

    def _play(self):
        sound, pushed = self._module.sound, 0
        while not self._ended.is_set() and pushed < len(sound):
            if self._duplex.samples < pushed:
                self._ended.wait(0.001)
                continue
            block = sound[pushed : pushed + 48]
            pushed += len(block)
            played = np.empty((len(block), 1), np.float32)
            self._callback(block[:, None], played, len(block), None, FINE)
            self._module.played.append(played[:, 0])

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join()


@pytest.fixture
def sounddevice(monkeypatch):
    """Stands for the package and a sound card."""
    module = ModuleType("sounddevice")
    fake = SimpleNamespace(
        sound=speech(960)[0],
        played=[],
        PortAudioError=type("PortAudioError", (Exception,), {}),
        query_devices=lambda: "0 Fake, ALSA (1 in, 1 out)",
    )
    fake.Stream = lambda **options: FakeStream(fake, **options)
    module.__dict__.update(vars(fake))
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    return fake


@pytest.fixture
def live(model_folder, small_codec, monkeypatch, command_cache):
    from l3ac_jax.codec import pretrained

    monkeypatch.setattr(pretrained, "get_model", lambda *_: small_codec)
    return lambda *words: main(["live", "--model", str(model_folder), *words])


RUNNING = ("--statistics", "running")


def test_the_microphone_is_heard_through_the_codec(live, sounddevice, small_codec, capsys):
    assert live(*RUNNING, "--seconds", "0.06", "--input", "2", "--output", "USB") == 0
    options = sounddevice.options
    assert (options["device"], options["samplerate"]) == ((2, "USB"), 16000)
    played = np.concatenate(sounddevice.played)
    played = played[played != 0]  # random weights make no silence: that is before, or a dropout
    coder = Loopback(small_codec, 1, 4, "running")
    expected = np.clip(coder.push(sounddevice.sound[None])[0], -1, 1)
    assert len(played) > 300
    np.testing.assert_allclose(played, expected[: len(played)], atol=1e-5)
    *_, told, ended = capsys.readouterr().err.splitlines()
    assert told.startswith("l3ac-jax: latency") and told.endswith("Ctrl-C ends")
    assert ended.startswith("l3ac-jax: 0.1 s,") and "dropout" in ended
    assert ended.endswith("(sound card 7)")


def test_a_sound_card_has_its_own_rate(live, sounddevice, capsys):
    sounddevice.sound = speech(9600)[0]
    assert live(*RUNNING, "--seconds", "0.15", "--rate", "48000") == 0
    assert sounddevice.options["samplerate"] == 48000
    assert "ms of resampling" in capsys.readouterr().err


def test_devices_are_listed(live, sounddevice, capsys):
    assert live("--list-devices") == 0
    assert "Fake" in capsys.readouterr().out


def test_mistakes_are_one_line(live, sounddevice, monkeypatch, capsys):
    def refused(**_):
        raise sounddevice.PortAudioError("Invalid sample rate")

    monkeypatch.setattr(sys.modules["sounddevice"], "Stream", refused)
    assert live() == 2
    assert "--statistics running" in capsys.readouterr().err
    assert live(*RUNNING) == 2
    assert "the sound device: Invalid sample rate (--list-devices" in capsys.readouterr().err
    assert live("--seconds", "0") == 2
    assert "--seconds must be more than 0" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    assert live(*RUNNING) == 2
    assert capsys.readouterr().err.endswith("pip install 'l3ac-jax[live]'\n")


def test_ctrl_c_is_how_it_ends(live, sounddevice, monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Duplex, "work", interrupt)
    assert live(*RUNNING) == 0
    assert "0.0 s, 0 dropouts" in capsys.readouterr().err
