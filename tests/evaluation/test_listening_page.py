"""The listening page: what is in the file, and what it does in a browser."""

import base64
import io
import re
import shutil

import numpy as np
import pytest
import soundfile
from PIL import Image
from playwright.sync_api import sync_playwright

from l3ac_jax.audio.reading import read_audio
from l3ac_jax.errors import ListeningPageError, OutputError
from l3ac_jax.evaluation.data_uris import COLORS, spectrogram_peak, spectrogram_uri
from l3ac_jax.evaluation.listening_page import write_listening_page
from l3ac_jax.evaluation.report import ClipScores, Codec, Interval, Report, Summary
from tests.conftest import FIXTURES

RATE = 16000
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
HOSTILE = "speech/<img src=x onerror=alert(1)>&\"'.wav"

speech = read_audio(FIXTURES / "librivox_sense_0870.wav").samples[0]
ORIGINALS = {
    HOSTILE: speech[16000:48000],
    "music/crow.flac": read_audio(FIXTURES / "misc_crow.flac").samples[0, : RATE // 2],
    "speech/second.wav": speech[48000:64000],
    "speech/third.wav": speech[64000:72000],
}
# The first clip louder than full scale: embedded audio is clipped.
GAINS = {"fine": 0.5, "coarse": 0.25}
# PESQ by codec and clip, in the order of the clips; music has none.
PESQ = {"fine": (2.5, None, 10.25, 3.0), "coarse": (1.5, None, 2.0, -0.5)}


def decoded(codec, clip):
    return GAINS[codec] * ORIGINALS[clip]


def scores(codec):
    return [
        ClipScores(
            codec=codec,
            clip=clip,
            domain=clip.partition("/")[0],
            seconds=len(ORIGINALS[clip]) / RATE,
            scores={"pesq": pesq, "lsd": 5.0 - GAINS[codec], "encode_rtf": 0.1},
        )
        for clip, pesq in zip(ORIGINALS, PESQ[codec], strict=True)
    ]


def summary(codec, domain, mean):
    interval = Interval(mean=mean, low=mean - 1.5, high=mean + 0.25, clips=3)
    return Summary(codec=codec, domain=domain, clips=3, seconds=4.5, scores={"pesq": interval})


REPORT = Report(
    data="recordings",
    seed=7,
    codecs=(
        Codec(name="fine", kind="l3ac", bitrate=2988.6, sample_rate=RATE),
        Codec(name="coarse", kind="l3ac", bitrate=748.6, sample_rate=RATE),
    ),
    clips=(*scores("fine"), *scores("coarse")),
    summaries=(
        summary("fine", "all", 5.25),
        summary("coarse", "all", 1.0),
        summary("fine", "speech", 4.5),
    ),
    failures=("speech/damaged.wav: is <not> audio",),
)


def write(path, report=REPORT, original=ORIGINALS.__getitem__, decoded=decoded, overwrite=False):
    return write_listening_page(path, report, original, decoded, RATE, overwrite)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "page.html"
    write(path)
    return path


@pytest.fixture(scope="module")
def chromium():
    if CHROMIUM is None:
        pytest.skip("no Chromium here (Debian's package chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--mute-audio"]
        )
        yield browser
        browser.close()


@pytest.fixture
def page(chromium, file):
    """The page from a file:// address, offline; the test fails on any message or request."""
    yield from opened(chromium, file, 1280, 800)


@pytest.fixture
def phone(chromium, file):
    yield from opened(chromium, file, 390, 700)


def opened(chromium, file, width, height):
    context = chromium.new_context(
        viewport={"width": width, "height": height}, offline=True, reduced_motion="reduce"
    )
    page = context.new_page()
    page.set_default_timeout(5000)
    noticed: list[str] = []
    page.on("console", lambda message: noticed.append(message.text))
    page.on("pageerror", lambda error: noticed.append(str(error)))
    page.on("dialog", lambda dialog: noticed.append(dialog.message))
    page.on("request", lambda request: noticed.append(request.url))
    page.goto(file.as_uri())
    yield page
    context.close()
    assert noticed == [file.as_uri()]


def player(page, clip, version):
    return page.locator("article").nth(clip).locator("audio").nth(version)


def when_loaded(audio):
    audio.scroll_into_view_if_needed()
    return audio.evaluate(
        """async (audio) => {
             while (audio.readyState < 2) await new Promise((done) => setTimeout(done, 10));
             return audio.duration;
           }"""
    )


def start(page, audio):
    when_loaded(audio)
    audio.focus()
    page.keyboard.press("Space")


def when_past(audio, seconds):
    audio.evaluate(
        """async (audio, seconds) => {
             while (audio.paused || audio.currentTime < seconds)
               await new Promise((done) => setTimeout(done, 5));
           }""",
        seconds,
    )


def state(audio):
    return audio.evaluate("(audio) => [audio.paused, audio.currentTime]")


def column(page, number):
    rows = page.locator("#clips tbody tr:visible")
    return [row.locator("th, td").nth(number).inner_text() for row in rows.all()]


def sort_button(page, title):
    return page.locator("#clips thead button").filter(has_text=title)


def test_every_player_loads_offline(page):
    for clip, samples in enumerate(ORIGINALS.values()):
        for version in range(3):
            # FLAC says how many samples it holds; the browser counts microseconds.
            expected = pytest.approx(len(samples) / RATE, abs=1e-5)
            assert when_loaded(player(page, clip, version)) == expected


def test_the_original_comes_first_then_each_codec_with_its_rate_and_scores(page):
    card = page.locator("article").first
    headings = [text.split() for text in card.locator("h4").all_inner_texts()]
    assert headings == [
        ["1", "original"],
        ["2", "fine", "2,989", "bit/s"],
        ["3", "coarse", "749", "bit/s"],
    ]
    assert card.locator("dl").all_inner_texts()[0].split("\n") == [
        "PESQ-WB", "2.50 MOS", "log-spectral distance", "4.50 dB"
    ]  # fmt: skip
    assert card.locator("dl").count() == 2


def test_only_players_near_the_visible_clips_are_loaded(phone):
    first, last = player(phone, 0, 0), player(phone, 3, 2)
    when_loaded(first)
    assert last.evaluate("(audio) => audio.readyState") == 0
    when_loaded(last)
    phone.wait_for_function("document.querySelector('audio').readyState === 0")
    when_loaded(first)


def test_a_version_goes_on_where_the_other_one_was(page):
    original, fine, other_clip = (player(page, *place) for place in ((0, 0), (0, 1), (2, 0)))
    start(page, original)
    when_past(original, 0.4)
    start(page, fine)
    when_past(fine, 0.4)
    assert state(original)[0]
    page.keyboard.press("3")
    coarse = player(page, 0, 2)
    when_past(coarse, 0.4)
    assert state(fine)[0] and state(fine)[1] >= 0.4
    assert page.locator(".now:visible").count() == 3
    start(page, other_clip)
    when_past(other_clip, 0.01)
    assert state(coarse)[0] and state(other_clip)[1] < 0.4


def test_a_click_into_a_spectrogram_goes_to_that_moment(page):
    audio = player(page, 0, 1)
    when_loaded(audio)
    plot = page.locator("article").first.locator(".plot").nth(1)
    width = plot.bounding_box()["width"]
    plot.click(position={"x": width * 0.75, "y": 20})
    assert state(audio) == [True, pytest.approx(1.5, abs=0.02)]  # 2 s over some 700 pixels
    line = plot.locator(".now")
    line.wait_for()
    middle = line.bounding_box()["x"] + 1 - plot.bounding_box()["x"]
    assert middle / width == pytest.approx(0.75, abs=0.01)


def test_the_table_sorts_by_number_best_first_and_missing_scores_last(page):
    pesq = page.locator("#clips thead th").nth(4)
    sort_button(page, "PESQ").click()
    assert pesq.get_attribute("aria-sort") == "descending"
    best_first = [
        "10.25",
        "3.00",
        "2.50",
        "2.00",
        "1.50",
        "\N{MINUS SIGN}0.50",
        "\N{EN DASH}",
        "\N{EN DASH}",
    ]
    assert column(page, 4) == best_first
    sort_button(page, "PESQ").click()
    assert pesq.get_attribute("aria-sort") == "ascending"
    assert column(page, 4) == [*reversed(best_first[:6]), "\N{EN DASH}", "\N{EN DASH}"]
    assert page.locator("[aria-sort]").count() == 1


def test_the_table_sorts_by_keyboard(page):
    distance = sort_button(page, "log-spectral")
    distance.focus()
    page.keyboard.press("Enter")
    assert column(page, 5) == ["4.50"] * 4 + ["4.75"] * 4  # lower is better
    sort_button(page, "clip").focus()
    page.keyboard.press("Enter")
    assert column(page, 0) == [clip for clip in ORIGINALS for _ in range(2)]


def test_filters_apply_to_tables_and_clips(page):
    def means():
        return [row.split() for row in page.locator("#summary tbody tr:visible").all_inner_texts()]

    assert means() == [
        ["fine", "2,989", "3", "5.25", "3.75", "to", "5.50"],
        ["coarse", "749", "3", "1.00", "\N{MINUS SIGN}0.50", "to", "1.25"],
    ]
    page.get_by_label("Domain", exact=True).select_option("speech")
    assert means() == [["fine", "2,989", "3", "4.50", "3.00", "to", "4.75"]]
    assert set(column(page, 1)) == {"speech"} and len(column(page, 1)) == 6
    assert page.locator("article:visible").count() == 3
    page.get_by_label("Codec", exact=True).select_option("coarse")
    assert column(page, 2) == ["coarse"] * 3
    page.get_by_label("Domain", exact=True).select_option("all")
    assert column(page, 2) == ["coarse"] * 4
    assert page.locator("article:visible").count() == 4


def test_a_clip_that_is_filtered_away_stops(page):
    audio = player(page, 0, 0)
    start(page, audio)
    when_past(audio, 0.01)
    page.get_by_label("Domain", exact=True).select_option("music")
    assert state(audio)[0]


def test_names_are_shown_as_they_are(page):
    assert column(page, 0)[0] == HOSTILE
    assert page.locator("article h3").first.inner_text().startswith(HOSTILE)
    assert page.locator("audio").first.get_attribute("aria-label") == f"{HOSTILE}, original"
    assert page.locator("li").all_inner_texts() == ["speech/damaged.wav: is <not> audio"]


def test_nothing_hangs_over_the_edge_of_a_phone(phone):
    assert phone.evaluate("document.documentElement.scrollWidth") == 390
    edges = phone.locator("article *:visible").evaluate_all(
        "(all) => Math.max(...all.map((one) => one.getBoundingClientRect().right))"
    )
    assert edges <= 390


@pytest.mark.parametrize("name", ["page", "phone"])
def test_the_frequency_axis_is_as_high_as_the_picture(name, request):
    for plot in request.getfixturevalue(name).locator(".spectrogram").all():
        axis = plot.locator(".frequency").bounding_box()
        picture = plot.locator("img").bounding_box()
        assert (axis["y"], axis["height"]) == (picture["y"], picture["height"])


def embedded(file, kind):
    found = re.findall(rf'src="data:{kind};base64,([^"]+)"', file.read_text(encoding="utf-8"))
    return [io.BytesIO(base64.b64decode(data)) for data in found]


def test_embedded_audio_is_exact_to_16_bits(file):
    expected = [
        version
        for clip, original in ORIGINALS.items()
        for version in (original, decoded("fine", clip), decoded("coarse", clip))
    ]
    files = embedded(file, "audio/flac")
    for found, samples in zip(files, expected, strict=True):
        audio, rate = soundfile.read(found, dtype="float32")
        assert rate == RATE
        np.testing.assert_allclose(audio, samples, atol=1 / 32768, rtol=0)


def test_audio_beyond_full_scale_is_clipped(tmp_path):
    write(tmp_path / "page.html", decoded=lambda codec, clip: 100 * ORIGINALS[clip])
    audio, _ = soundfile.read(embedded(tmp_path / "page.html", "audio/flac")[1])
    np.testing.assert_allclose(
        audio, np.clip(100 * ORIGINALS[HOSTILE], -1, 1), atol=1 / 32767, rtol=0
    )


def levels(audio, peak):
    uri = spectrogram_uri(audio, RATE, peak)
    picture = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
    return np.asarray(picture).astype(int)


def test_a_tone_is_where_and_as_loud_as_it_should_be():
    time = np.arange(RATE) / RATE
    tone = (0.5 * np.sin(2 * np.pi * 2000 * time)).astype(np.float32)
    peak = spectrogram_peak(tone, RATE)
    middle = levels(tone, peak)[:, 60]
    # A row is the mean of two bins: the tone's own, and one 6 dB below by the window's shape.
    assert middle.max() == COLORS * (80 - 3) // 80
    # 2 of 8 kHz from the bottom.
    assert (len(middle) - 1 - middle.argmax()) / len(middle) == pytest.approx(0.25, abs=0.01)
    # 20 of 80 dB fainter, and one step for the rounding of 1.25 dB.
    quieter = levels(0.1 * tone, peak)[:, 60]
    assert middle.max() - quieter.max() == pytest.approx(COLORS / 4, abs=1)
    assert levels(10 * tone, peak).max() == COLORS - 1


def test_silence_is_dark():
    silence = np.zeros(RATE, np.float32)
    assert not levels(silence, spectrogram_peak(silence, RATE)).any()


def test_the_same_evaluation_gives_the_same_bytes_whatever_time_it_took(file, tmp_path):
    slower = [
        clip.model_copy(update={"scores": {**clip.scores, "encode_rtf": 0.7}})
        for clip in REPORT.clips
    ]
    size = write(tmp_path / "page.html", REPORT.model_copy(update={"clips": tuple(slower)}))
    assert (tmp_path / "page.html").read_bytes() == file.read_bytes()
    assert size == file.stat().st_size
    assert f"{size / 1e6:.1f} MB with all audio" in file.read_text(encoding="utf-8")


def test_a_page_is_not_overwritten_unasked(tmp_path):
    target = tmp_path / "page.html"
    target.write_text("mine")
    with pytest.raises(OutputError, match=r"already exists \(--overwrite"):
        write(target)
    assert target.read_text() == "mine"
    write(target, overwrite=True)
    assert target.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_the_name_of_a_page_says_that_it_is_one(tmp_path):
    with pytest.raises(OutputError, match=r"page.txt: the name of a page ends with .html"):
        write(tmp_path / "page.txt")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clips": ()}, "there is no clip to listen to"),
        ({"codecs": REPORT.codecs[:1]}, "coarse is no codec of the report"),
    ],
)
def test_a_report_without_clips_or_codecs_is_refused(tmp_path, changes, message):
    with pytest.raises(ListeningPageError, match=message):
        write(tmp_path / "page.html", REPORT.model_copy(update=changes))


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (np.zeros(31999, np.float32), "fine: has 31999 samples, its original 32000"),
        (np.zeros((1, 32000), np.float32), r"fine: audio must be \(time,\), got shape \(1, 32000"),
        (np.full(32000, np.nan, np.float32), "fine: has samples that are NaN"),
    ],
)
def test_audio_that_does_not_fit_leaves_no_page(tmp_path, audio, message):
    with pytest.raises(ListeningPageError, match=message):
        write(tmp_path / "page.html", decoded=lambda codec, clip: audio)
    assert not list(tmp_path.iterdir())
