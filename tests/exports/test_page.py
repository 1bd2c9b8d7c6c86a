"""The page that codes audio: what is in its folder, and what it does in Chromium.

It runs with the package onnxruntime-web of L3AC_JAX_ONNXRUNTIME_WEB, or else with what npm fetches.
"""

import functools
import http.server
import os
import re
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import sync_playwright

from l3ac_jax.audio.reading import read_audio
from l3ac_jax.audio.writing import write_audio
from l3ac_jax.config import CodecConfig
from l3ac_jax.errors import DownloadError
from l3ac_jax.exports import browser_page
from l3ac_jax.exports.browser_page import runtime_folder, write_page
from tests.conftest import FIXTURES
from tests.onnxruntime_web import PLACE

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
ROOT = Path(__file__).parents[2]
RATE = 16000
BLOCK = 64  # of 12 samples: 48 ms, as eight tokens of `stream` are
SAMPLES = 8003  # no whole number of tokens, nor of blocks

speech = read_audio(FIXTURES / "librivox_sense_0870.wav").samples[:, 16000 : 16000 + 2 * RATE]


@pytest.fixture(scope="module")
def runtime(tmp_path_factory):
    if os.environ.get(PLACE):
        yield Path(os.environ[PLACE])
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("npm_config_fetch_retries", "0")
        try:
            with runtime_folder() as folder:
                yield folder
        except DownloadError as error:
            pytest.skip(str(error))


# As little as there can be of what is late in both steps: what a browser loads in seconds.
CONFIG = CodecConfig.model_validate(
    {
        "causal": True,
        "look_ahead_ms": 0.5,
        "feature_dim": 8,
        "encoder": {"rates": (12,), "dims": (8, 8), "depths": (1, 1)},
        "decoder": {"rates": (12,), "dims": (8, 8), "depths": (1, 1), "norm_statistics": "none"},
        "transformer": {
            "encoder_depth": 1,
            "decoder_depth": 1,
            "window_size": 8,
            "compress_rate": 1,
        },
        "quantizer": {"levels": (5, 4, 3)},
    }
)


@pytest.fixture(scope="module")
def codec():
    """With random weights; both its steps are late."""
    from l3ac_jax.codec.l3ac import L3AC
    from l3ac_jax.evaluation.random_params import random_params

    codec = L3AC(CONFIG, random_params(CONFIG, 0), "mine")
    assert codec.encoder_lag > 0 and codec.decoder_lag > 0
    return codec


@pytest.fixture(scope="module")
def folder(codec, runtime, tmp_path_factory):
    pytest.importorskip("onnx", reason="the extra export is not installed")
    path = tmp_path_factory.mktemp("page")
    list(write_page(codec, path, BLOCK, runtime))
    return path


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address(folder):
    handler = functools.partial(Handler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        yield f"http://localhost:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    """With a microphone that hears speech, which no one is asked to allow."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here (Debian's package chromium)")
    said = tmp_path_factory.mktemp("microphone") / "said.wav"
    write_audio(said, speech, RATE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                "--no-sandbox",
                "--mute-audio",
                "--use-fake-device-for-media-stream",
                "--use-fake-ui-for-media-stream",
                f"--use-file-for-fake-audio-capture={said}",
            ],
        )
        yield browser
        browser.close()


# What a test may set: how slow steps are, that live use has no codec, what is wrong with the
# microphone.
SIMULATED = """
const post = Worker.prototype.postMessage;
Worker.prototype.postMessage = function (data, ...more) {
  const answer = (values) => this.onmessage({ data: { id: data.id, answer: values } });
  const { request, samples } = data;
  if (request === "trial" && window.factor) return answer({ factor: window.factor });
  if (request === "block" && window.echo) {
    return answer({ tokens: new Int32Array(64), audio: samples.slice(), seconds: 0.012 });
  }
  return post.call(this, data, ...more);
};
const create = AudioContext.prototype.createMediaStreamSource;
AudioContext.prototype.createMediaStreamSource = function (stream) {
  if (window.ownRateAlone && this.sampleRate === 16000) {
    throw new DOMException("", "NotSupportedError");
  }
  return create.call(this, stream);
};
const open = navigator.mediaDevices.getUserMedia;
navigator.mediaDevices.getUserMedia = function (wanted) {
  if (window.refused) throw new DOMException("", "NotAllowedError");
  return open.call(this, wanted);
};
"""


@pytest.fixture(scope="module")
def loaded(chromium, address):
    """The page, opened once, and what is noticed of it; a phone's."""
    context = chromium.new_context(viewport={"width": 390, "height": 800})
    page = context.new_page()
    page.set_default_timeout(300_000)
    noticed: list[str] = []
    page.on("console", lambda message: noticed.append(message.text))
    page.on("pageerror", lambda error: noticed.append(str(error)))
    page.on("dialog", lambda dialog: noticed.append(dialog.message))
    page.on("request", lambda request: noticed.append(request.url))
    page.add_init_script(SIMULATED)
    page.goto(address)
    page.wait_for_selector("#file:enabled")
    yield page, noticed
    context.close()


@pytest.fixture
def page(loaded, address):
    """The page; the test fails on messages, and on requests to others."""
    page, noticed = loaded
    page.evaluate("factor = 0, echo = refused = ownRateAlone = false")
    page.evaluate("document.querySelector('#result').hidden = true")
    page.evaluate("document.querySelector('#live-figures').replaceChildren()")
    yield page
    ours = (address, f"blob:{address}", "data:")
    assert [words for words in noticed if not words.startswith(ours)] == []


def choose(page, file):
    page.set_input_files("#file", file)
    page.wait_for_selector("#result:visible, #error:visible")


def terms(page, where):
    """What a list of terms says, by term."""
    words = page.locator(f"{where} dt, {where} dd").all_inner_texts()
    return dict(zip(words[::2], words[1::2], strict=True))


def coded(page, folder):
    """The tokens and the audio that the page gives to be kept."""
    files = []
    for link in ("#tokens", "#wav"):
        with page.expect_download() as download:
            page.click(link)
        files.append(folder / download.value.suggested_filename)
        download.value.save_as(files[-1])
    return np.loadtxt(files[0], np.int32, ndmin=1), read_audio(files[1])


def recording(folder, samples, rate=RATE, name="said.wav"):
    write_audio(folder / name, samples, rate, "FLOAT", overwrite=True)
    return folder / name


def rms(values):
    return float(np.sqrt(np.mean(np.square(np.asarray(values, np.float64)))))


def test_the_folder_is_complete_and_says_whose_it_is(folder, codec):
    assert {path.name for path in folder.iterdir()} == browser_page.NAMES
    assert {path.name for path in (folder / "codec").iterdir()} == {
        "codec.json", "states.safetensors", "encoder_step.onnx", "decoder_step.onnx"
    }  # fmt: skip
    assert (folder / "LICENSE.l3ac-jax.txt").read_text() == (ROOT / "LICENSE").read_text()
    assert "Copyright (c) Microsoft" in (folder / "LICENSE.onnxruntime.txt").read_text()
    referred = re.findall(r'(?:src|href|from)[= ]"([^"]+)"', (folder / "index.html").read_text())
    for script in folder.glob("*.js"):
        referred += re.findall(r'(?:from |URL\()"([^"]+)"', script.read_text())
    assert {"page.js", "./codec.js", "./worklets.js", "./onnxruntime/ort-wasm.wasm"} < {*referred}
    assert all((folder / name).is_file() for name in referred if name != "data:,")


@pytest.mark.parametrize("samples", [SAMPLES, 5])
def test_a_file_has_the_tokens_and_the_audio_of_the_streaming_codec(page, codec, tmp_path, samples):
    audio = speech[:, :samples]
    encoder = codec.streaming_encoder(1, BLOCK)
    tokens = np.concatenate([encoder.push(audio), encoder.finish()], axis=1)
    expected = np.asarray(codec.decode(tokens))[:, :samples]
    choose(page, recording(tmp_path, audio))
    found, decoded = coded(page, tmp_path)
    np.testing.assert_array_equal(found, tokens[0])
    assert decoded.sample_rate == RATE and decoded.samples.shape == expected.shape
    assert rms(decoded.samples - expected) < 1e-4
    assert rms(expected) > 0.01


def test_what_is_said_of_a_file(page, codec, tmp_path):
    choose(page, recording(tmp_path, speech[:, :SAMPLES]))
    said = terms(page, "#figures")
    assert said["length"] == "0.50 s" and said["tokens"] == "667"
    assert float(said["tokens/s"].replace(",", "")) == pytest.approx(codec.frame_rate, abs=0.05)
    rate = float(said["nominal bit rate"].removesuffix(" bit/s").replace(",", ""))
    assert rate == pytest.approx(codec.bitrate, abs=0.5)
    assert float(said["real-time factor"].replace(",", "")) > 0
    # Two blocks, for a token that is late is the next block's, and what the decoder looks ahead.
    late = 2 * BLOCK * codec.hop_length - 1 + codec.decoder_lag
    assert terms(page, "#codec")["latency"] == f"{late / 16:.0f} ms"
    for player in page.locator("audio").all():
        player.evaluate("(audio) => audio.duration || audio.play()")
        seconds = player.evaluate("(audio) => audio.duration")
        assert seconds == pytest.approx(SAMPLES / RATE, abs=1e-4)
    assert page.locator(".time span").all_inner_texts()[-1] == "0.5 s"
    assert page.locator(".frequency span").all_inner_texts()[-1] == "8 kHz"
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_a_tone_is_where_it_should_be_in_the_spectrogram(page, tmp_path):
    tone = 0.5 * np.sin(2 * np.pi * 2000 * np.arange(RATE) / RATE, dtype=np.float32)
    choose(page, recording(tmp_path, tone[None]))
    row, height = page.locator("canvas").first.evaluate(
        """(canvas) => {
             const { data } = canvas.getContext("2d").getImageData(60, 0, 1, canvas.height);
             const light = Array.from({ length: canvas.height }, (_, y) => data[4 * y + 1]);
             return [light.indexOf(Math.max(...light)), canvas.height];
           }"""
    )
    assert (height - 1 - row) / height == pytest.approx(2000 / 8000, abs=0.01)


def test_other_rates_and_channels_become_the_codecs(page, tmp_path):
    time = np.arange(4411) / 44100
    both = np.stack([np.sin(2 * np.pi * 300 * time), np.zeros(4411)]).astype(np.float32)
    choose(page, recording(tmp_path, both, 44100))
    assert terms(page, "#figures")["channels"] == "mean of 2"
    _, decoded = coded(page, tmp_path)
    assert abs(decoded.samples.shape[1] - 4411 * RATE / 44100) <= 1


def test_what_is_no_audio_is_one_sentence_and_the_next_file_is_coded(page, tmp_path):
    (tmp_path / "notes.txt").write_text("no audio")
    choose(page, tmp_path / "notes.txt")
    assert page.inner_text("#error") == "notes.txt: this browser cannot read it as audio."
    assert page.locator("#result").is_hidden()
    page.set_input_files("#file", recording(tmp_path, speech[:, :100]))
    page.wait_for_selector("#result:visible")
    assert page.locator("#error").is_hidden()


def test_a_program_that_is_not_there(chromium, address):
    context = chromium.new_context()
    page = context.new_page()
    page.route("**/decoder_step.onnx", lambda route: route.fulfill(status=404))
    page.goto(address)
    page.wait_for_selector("#error:visible")
    error = "The codec failed: codec/decoder_step.onnx could not be loaded (HTTP 404)"
    assert page.inner_text("#error") == error
    assert page.locator("#file").is_disabled()
    context.close()


def test_a_long_file_can_be_stopped(page, tmp_path):
    page.set_input_files("#file", recording(tmp_path, np.tile(speech, 30)))
    page.click("#stop")
    page.wait_for_selector("#file:enabled")
    assert page.locator("#result").is_hidden() and page.locator("#error").is_hidden()


def end(page):
    """Stop listening, unless the ten seconds of a recording are over, and wait for the result."""
    page.evaluate(
        """() => {
             const button = document.querySelector("#microphone");
             if (button.textContent === "Stop") button.click();
           }"""
    )
    page.wait_for_selector("#result:visible")


def test_the_microphone_live(page, tmp_path):
    page.evaluate("factor = 0.1")
    page.click("#microphone")
    page.wait_for_selector("#live-figures dd", state="attached")
    # All at one moment: a machine that has no time for it now goes on to a recording, and ends it.
    state, figures, level = page.evaluate(
        """() => {
             const ids = ["live-state", "live-figures", "said-level"];
             return ids.map((id) => document.getElementById(id).textContent);
           }"""
    )
    if state.startswith("Live"):
        assert "real-time factor" in figures and "dropouts" in figures
    else:
        assert "too long for live use. Recording up to 10 s instead" in state
    assert re.fullmatch(r"-?\d+ dB", level)
    end(page)
    tokens, decoded = coded(page, tmp_path)
    assert abs(decoded.samples.shape[1] - 12 * len(tokens)) <= 12 * BLOCK
    assert rms(decoded.samples) > 0.01


def test_what_is_heard_live_is_what_was_said(page, tmp_path):
    page.evaluate("factor = 0.1, echo = true")
    page.click("#microphone")
    page.wait_for_selector("#live-figures div:has-text('real-time factor') >> text='0.25'")
    assert page.inner_text("#live-state").startswith("Live")
    assert set(terms(page, "#live-figures")) == {
        "real-time factor", "dropouts", "left out", "latency of the codec", "waiting to be played"
    }  # fmt: skip
    page.wait_for_timeout(1000)
    end(page)
    heard = coded(page, tmp_path)[1].samples[0]
    assert len(heard) > RATE / 2
    heard = heard[-RATE // 4 :]  # a quarter of a second, somewhere in what is said again and again
    said = np.concatenate([speech[0], speech[0]])
    products = np.correlate(said, heard, "valid")
    powers = np.convolve(said**2, np.ones(len(heard)), "valid")
    assert np.max(products / np.sqrt(powers * np.sum(heard**2) + 1e-9)) > 0.9


RING = """(steps) => {
  const found = {};
  const reports = [];
  globalThis.AudioWorkletProcessor = class {
    port = { postMessage: (report) => reports.push(report) };
  };
  globalThis.registerProcessor = (name, processor) => { found[name] = processor; };
  globalThis.sampleRate = 10; // a report each sample
  SOURCE
  const ring = new found.playback({ processorOptions: { size: 8, ahead: 4 } });
  const heard = steps.map((step) => {
    if (Array.isArray(step)) return ring.port.onmessage({ data: Float32Array.from(step) });
    const output = new Float32Array(step);
    ring.process([], [[output]]);
    return Array.from(output);
  });
  return [heard.filter((part) => part), reports.at(-1)];
}"""


def test_the_ring_waits_plays_drops_out_and_leaves_out_what_is_oldest(page, folder):
    program = RING.replace("SOURCE", (folder / "worklets.js").read_text())
    steps = [[1, 2, 3], 2, [4, 5], 2, 4, 2, [6, 7, 8], 1, [9] * 8, 3, [10, 11, 12], 8]
    heard, report = page.evaluate(program, steps)
    assert heard == [
        [0, 0],  # four are to wait first
        [1, 2],
        [3, 4, 5, 0],  # a dropout, after which it waits again
        [0, 0],
        [0],
        [9, 9, 9],  # eight have room: what came before is left out
        [9, 9, 9, 9, 9, 10, 11, 12],
    ]
    assert (report["dropouts"], report["skipped"], report["waiting"]) == (1, 3, 0)


def test_a_machine_that_is_too_slow_records_and_codes_afterwards(page, tmp_path):
    page.evaluate("factor = 3.44")
    page.click("#microphone")
    page.wait_for_selector("#live-figures dd")
    assert page.inner_text("#live-state") == (
        "Coding takes 3.4 times as long as the sound lasts here, too long for live use. "
        "Recording up to 10 s instead, to be coded afterwards."
    )
    end(page)
    tokens, decoded = coded(page, tmp_path)
    assert len(tokens) == -(-decoded.samples.shape[1] // 12)
    assert rms(decoded.samples) > 0.01


def test_a_browser_that_captures_at_another_rate_records(page, tmp_path):
    page.evaluate("factor = 0.1, ownRateAlone = true")
    page.click("#microphone")
    page.wait_for_selector("#live-figures dd")
    assert re.match(r"This browser captures at [\d,]+ Hz alone\.", page.inner_text("#live-state"))
    end(page)
    assert rms(coded(page, tmp_path)[1].samples) > 0.01


def test_a_microphone_that_is_not_allowed(page):
    page.evaluate("factor = 0.1, refused = true")
    page.click("#microphone")
    page.wait_for_selector("#error:visible")
    assert page.inner_text("#error").startswith("The microphone was not allowed")
    assert page.locator("#microphone").is_enabled()
    assert page.inner_text("#microphone") == "Start"
