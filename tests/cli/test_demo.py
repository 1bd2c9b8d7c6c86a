"""The demo, with a small model: what it writes, what it says, and what it leaves alone."""

import sys
from importlib.resources import files

import numpy as np
import pytest
import soundfile
from PIL import Image

from l3ac_jax.audio.reading import read_audio
from l3ac_jax.cli import demo
from l3ac_jax.cli.main import main
from l3ac_jax.tokens.bitstream.files import load

# Every command here works with the tests' own cache.
pytestmark = pytest.mark.usefixtures("command_cache")

TITLES = ["English", "Russian", "Guitar", "Piano"]


@pytest.fixture(autouse=True)
def short_clips(monkeypatch):
    """A second of each clip: enough for STOI, and quick."""

    def read_second(path):
        audio = read_audio(path)
        return type(audio)(
            audio.samples[:, 8000:24000], audio.sample_rate, audio.format, audio.subtype
        )

    monkeypatch.setattr(demo, "read_audio", read_second)


@pytest.fixture
def table_of(run, tmp_path, capsys):
    """Run the demo into a folder there, and give what it prints and its table's cells by clip."""

    def table_of(name="demo"):
        run("demo", "--out", tmp_path / name)
        printed = capsys.readouterr().out
        rows = [line.split() for line in printed.splitlines()]
        return printed, {row[0]: row[1:] for row in rows if row and row[0] in TITLES}

    return table_of


def test_the_clips_are_speech_in_two_languages_and_music():
    assert [clip.title for clip in demo.CLIPS] == TITLES
    for clip in demo.CLIPS:
        info = soundfile.info(str(files("l3ac_jax") / "assets" / clip.asset))
        assert (info.samplerate, info.channels) == (16000, 1)
        assert 2.6 < info.duration <= 4.0  # one length to compile, that of 4 s


@pytest.mark.quick
def test_all_files_are_there_and_are_what_the_table_says(table_of, tmp_path, small_codec):
    printed, table = table_of()
    folder = tmp_path / "demo"
    assert {path.name for path in folder.iterdir()} == demo.FILES
    assert list(table) == TITLES
    for clip in demo.CLIPS:
        original, decoded = (read_audio(folder / name) for name in (clip.original, clip.decoded))
        assert original.samples.shape == decoded.samples.shape == (1, 16000)
        encoded = load(folder / clip.tokens)
        reconstructed = np.asarray(small_codec.reconstruct(original.samples))
        # 16 bits
        np.testing.assert_allclose(decoded.samples, reconstructed, atol=1 / 32768)
        seconds, tokens, bits, rate, nominal, stoi, encode, decode = table[clip.title]
        assert (seconds, int(tokens)) == ("1.00", encoded.tokens.size)
        header_bits = int(printed.partition("header of a .l3ac file takes ")[2].split()[0])
        assert int(bits) + header_bits == 8 * (folder / clip.tokens).stat().st_size
        assert float(rate) == int(bits)
        # the last token is not full
        assert float(nominal) == pytest.approx(small_codec.bitrate, rel=1e-3)
        assert (stoi == "-") == (clip.domain == "music")
        assert float(encode) > 0 and float(decode) > 0
    for name in (demo.FIGURE, demo.PAGE):
        assert str(folder / name) in printed
    with Image.open(folder / demo.FIGURE) as picture:
        assert picture.size == (1200, 560)
    page = (folder / demo.PAGE).read_text(encoding="utf-8")
    assert page.count("<audio ") == 8
    assert "pip install" not in printed


def test_a_second_run_replaces_what_the_first_one_made(table_of, tmp_path):
    table_of()
    page, tokens = tmp_path / "demo" / demo.PAGE, tmp_path / "demo" / demo.CLIPS[0].tokens
    page.write_text("old")
    before = tokens.read_bytes()
    table_of()
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert tokens.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if "demo" in path.name] == ["demo"]


def refused(capsys, *words):
    assert main(["demo", *map(str, words)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("l3ac-jax: error: ") and printed.err.count("\n") == 1
    return printed.err


def test_a_folder_with_other_files_is_left_as_it_is(tmp_path, capsys, model_folder):
    (tmp_path / "mine").mkdir()
    for name in ("notes.txt", demo.PAGE):
        (tmp_path / "mine" / name).write_text("precious")
    said = refused(capsys, "--out", tmp_path / "mine", "--model", model_folder)
    assert "mine: is not overwritten, since it also holds notes.txt" in said
    assert (tmp_path / "mine" / demo.PAGE).read_text() == "precious"


def test_a_file_is_no_place_for_it(capsys, speech, model_folder):
    words = "--model", model_folder
    assert "speech.wav: exists and is not a folder" in refused(capsys, "--out", speech, *words)
    assert "demo: cannot be written" in refused(capsys, "--out", speech / "demo", *words)


def test_a_model_that_is_not_there_is_named_and_nothing_written(tmp_path, capsys):
    said = refused(capsys, "--out", tmp_path / "demo", "--model", tmp_path / "nothing")
    assert "nothing: is neither" in said
    assert not (tmp_path / "demo").exists()


def test_without_the_extra_packages_it_still_reconstructs(table_of, tmp_path, monkeypatch):
    for package in ("pystoi", "matplotlib", "jinja2", "pesq", "PIL"):
        monkeypatch.setitem(sys.modules, package, None)
    printed, table = table_of()
    folder = tmp_path / "demo"
    assert {path.name for path in folder.iterdir()} == demo.FILES - {demo.FIGURE, demo.PAGE}
    assert [row[5] for row in table.values()] == ["-"] * 4
    last = printed.splitlines()[-1]
    assert last == "pip install 'l3ac-jax[train]' adds STOI, spectrograms.png, listening.html"


def test_what_one_package_is_missing_for_is_left_out_alone(table_of, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    printed, table = table_of()
    assert (tmp_path / "demo" / demo.FIGURE).is_file()
    assert float(table["English"][5]) <= 1
    assert printed.endswith("adds listening.html\n")
