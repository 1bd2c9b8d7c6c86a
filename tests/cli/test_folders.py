"""Commands on folders: the same tree, what is skipped, what fails, and runs that are killed."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from l3ac_jax.audio.reading import read_audio
from l3ac_jax.audio.writing import write_audio
from l3ac_jax.cli.main import main
from l3ac_jax.tokens.bitstream.files import load, save
from tests.conftest import FIXTURES

pytestmark = pytest.mark.usefixtures("command_cache")

# Clips of up to 0.25 s: the programs of one bucket, which other tests compile too.
CLIPS = {
    "a.wav": 3843,
    "a.flac": 1000,
    "speaker 1/сессия/b.wav": 2000,
    "speaker 1/c.ogg": 3000,
    "speaker 2/b.WAV": 1,
}


@pytest.fixture
def folder(tmp_path) -> Path:
    """Short clips in a tree, and files that are no audio."""
    samples = read_audio(FIXTURES / "librivox_sense_0870.wav").samples[:, 16000:]
    for name, length in CLIPS.items():
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_audio(path, samples[:, :length], 16000)
    write_audio(tmp_path / "in" / "stereo.wav", samples[:, :6000].reshape(2, 3000), 24000)
    (tmp_path / "in" / "notes.txt").write_text("not audio")
    return tmp_path / "in"


def contents(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_a_tree_is_encoded_and_decoded_as_each_file_alone(run, folder, tmp_path):
    run("encode", folder, tmp_path / "tokens")
    assert set(contents(tmp_path / "tokens")) == {
        "a.wav.l3ac",
        "a.flac.l3ac",
        "speaker 1/сессия/b.l3ac",
        "speaker 1/c.l3ac",
        "speaker 2/b.l3ac",
        "stereo.l3ac",
    }
    run("decode", tmp_path / "tokens", tmp_path / "audio", "--format", "flac")
    for path in (tmp_path / "tokens").rglob("*.l3ac"):
        name = path.relative_to(tmp_path / "tokens")
        source = folder / name.with_suffix("")
        if not source.exists():
            (source,) = source.parent.glob(f"{source.name}.*")
        run("encode", source, tmp_path / "alone.l3ac", "--overwrite")
        assert (tmp_path / "alone.l3ac").read_bytes() == path.read_bytes()
        run("decode", tmp_path / "alone.l3ac", tmp_path / "alone.flac", "--overwrite")
        decoded = tmp_path / "audio" / name.with_suffix(".flac")
        assert (tmp_path / "alone.flac").read_bytes() == decoded.read_bytes()


def test_a_tree_is_reconstructed_in_the_formats_that_it_has(run, folder, tmp_path):
    run("reconstruct", folder, tmp_path / "out")
    assert set(contents(tmp_path / "out")) == set(contents(folder)) - {"notes.txt"}
    for path in (tmp_path / "out").rglob("*.*"):
        before, after = read_audio(folder / path.relative_to(tmp_path / "out")), read_audio(path)
        assert after.samples.shape == before.samples.shape
        assert (after.sample_rate, after.subtype) == (before.sample_rate, before.subtype)
    run("reconstruct", folder / "stereo.wav", tmp_path / "alone.wav")
    assert (tmp_path / "alone.wav").read_bytes() == (tmp_path / "out/stereo.wav").read_bytes()


def test_what_is_there_is_skipped_unless_it_is_to_be_overwritten(run, folder, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "stereo.l3ac").write_bytes(b"here already")
    run("encode", folder, tmp_path / "out")
    assert "5 files encoded" in (said := capsys.readouterr().err)
    assert "1 were there already (--overwrite replaces them)" in said
    assert "bit/s" in said
    assert (tmp_path / "out" / "stereo.l3ac").read_bytes() == b"here already"
    run("encode", folder, tmp_path / "out")
    assert "0 files encoded" in capsys.readouterr().err
    run("encode", folder, tmp_path / "out", "--overwrite", "--entropy", "adaptive")
    assert "6 files encoded" in capsys.readouterr().err
    assert load(tmp_path / "out" / "stereo.l3ac").tokens.shape == (2, 334)


def test_files_that_fail_are_listed_and_cost_no_other(run, folder, tmp_path, model_folder, capsys):
    (folder / "broken.wav").write_text("text")
    (folder / "empty.flac").touch()
    soundfile.write(folder / "nan.wav", np.array([0, np.nan]), 16000, "FLOAT")
    (tmp_path / "out" / "speaker 2" / "b.l3ac").mkdir(parents=True)
    words = ["encode", folder, tmp_path / "out", "--model", model_folder, "--overwrite"]
    assert main([str(word) for word in words]) == 1
    summary, others, *failures = capsys.readouterr().err.splitlines()
    assert "5 files encoded" in summary and "4 failed or not whole" in summary
    assert others == "left alone: 1 .txt"
    assert len(failures) == 4
    for name in ("in/broken.wav", "in/empty.flac", "in/nan.wav", "out/speaker 2/b.l3ac"):
        assert any(f"failed: {tmp_path / name}: " in line for line in failures)
    run("encode", folder / "a.flac", tmp_path / "alone.l3ac")
    alone = (tmp_path / "alone.l3ac").read_bytes()
    assert (tmp_path / "out" / "a.flac.l3ac").read_bytes() == alone


def test_audio_that_is_not_whole_is_listed_and_done(run, folder, tmp_path, model_folder, capsys):
    run("encode", folder / "a.wav", tmp_path / "whole.l3ac")
    data = (folder / "a.wav").read_bytes()
    (folder / "a.wav").write_bytes(data[: 44 + 2 * 3000])
    soundfile.write(folder / "fast.flac", np.zeros(100), 250_000)
    capsys.readouterr()
    words = ["encode", folder, tmp_path / "out", "--model", model_folder]
    assert main([str(word) for word in words]) == 1
    summary, _, failure = capsys.readouterr().err.splitlines()  # and what was left alone
    assert "7 files encoded" in summary and "1 failed or not whole" in summary
    assert failure.startswith(
        f"l3ac-jax: failed: {folder / 'a.wav'}: is not whole: 0.05 s of 0.24 s"
    )
    encoded, whole = load(tmp_path / "out" / "a.wav.l3ac"), load(tmp_path / "whole.l3ac")
    assert encoded.samples == 3000
    # What the encoder sees ahead of the last tokens is missing.
    np.testing.assert_array_equal(encoded.tokens[:, :400], whole.tokens[:, :400])
    # A rate of which Vorbis' encoder would end the process costs that file alone.
    words = ["reconstruct", folder, tmp_path / "ogg", "--format", "ogg", "--model", model_folder]
    assert main([str(word) for word in words]) == 1
    failures = capsys.readouterr().err.splitlines()[2:]
    assert len(failures) == 2
    assert any("fast.ogg: cannot hold 1 channels at 250000 Hz as VORBIS" in f for f in failures)
    assert (tmp_path / "ogg" / "stereo.ogg").exists()


def test_damaged_and_foreign_tokens_are_listed(run, folder, tmp_path, capsys):
    run("encode", folder, tmp_path / "tokens")
    whole = load(tmp_path / "tokens" / "a.wav.l3ac")
    samples = 1100 * 6  # tokens of two blocks
    tokens = np.resize(whole.tokens, (1, 1100))
    save(
        tmp_path / "tokens" / "cut.l3ac",
        type(whole)(tokens, samples, 16000, whole.model, whole.format),
    )
    cut = (tmp_path / "tokens" / "cut.l3ac").read_bytes()
    (tmp_path / "tokens" / "cut.l3ac").write_bytes(cut[:-9])
    save(
        tmp_path / "tokens" / "foreign.l3ac",
        type(whole)(whole.tokens, whole.samples, 16000, "elsewhere/model", whole.format),
    )
    flipped = bytearray((tmp_path / "tokens" / "a.flac.l3ac").read_bytes())
    flipped[-20] ^= 4
    (tmp_path / "tokens" / "a.flac.l3ac").write_bytes(flipped)
    capsys.readouterr()
    # without --model: each file's own
    assert main(["decode", str(tmp_path / "tokens"), str(tmp_path / "audio")]) == 1
    summary, *failures = capsys.readouterr().err.splitlines()
    assert "6 files decoded" in summary and "3 failed or not whole" in summary
    for name in ("cut", "foreign", "a.flac"):
        assert any(f"failed: {tmp_path / 'tokens' / name}.l3ac: " in line for line in failures)
    assert read_audio(tmp_path / "audio" / "cut.wav").samples.shape == (1, 512 * 6)


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("in/out", "neither inside the other"),
        ("file", "is not a folder"),
        ("no/out", "no does not"),
    ],
)
def test_outputs_that_make_no_sense_are_one_line(folder, tmp_path, capsys, output, reason):
    (tmp_path / "file").touch()
    for command in ("encode", "reconstruct"):
        assert main([command, str(folder), str(tmp_path / output)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("l3ac-jax: error: ") and reason in line


def test_a_folder_without_what_is_to_be_decoded_is_one_line(folder, tmp_path, capsys):
    assert main(["decode", str(folder), str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    held = "4 .wav, 1 .flac, 1 .txt, 1 .ogg"
    assert line == f"l3ac-jax: error: {folder}: holds no files that end with .l3ac, but {held}"
    assert not (tmp_path / "out").exists()


def test_an_interrupt_says_what_is_done_and_the_rest_can_follow(
    run, folder, tmp_path, model_folder, monkeypatch, capsys
):
    from l3ac_jax.codec.many import batches

    encode_files = batches.encode_files

    def interrupted(codec, paths, on_damage):
        for count, item in enumerate(encode_files(codec, paths, on_damage)):
            if count == 3:
                raise KeyboardInterrupt
            yield item

    with monkeypatch.context() as patch:
        patch.setattr(batches, "encode_files", interrupted)
        words = ["encode", folder, tmp_path / "out", "--model", model_folder]
        assert main([str(word) for word in words]) == 130
    line = capsys.readouterr().err.splitlines()[-1]
    done = len(contents(tmp_path / "out"))
    assert 1 <= done <= 3
    assert f"interrupted, {done} of 6 files encoded: the same command goes on" in line
    run("encode", folder, tmp_path / "out")
    run("encode", folder, tmp_path / "at_once")
    assert contents(tmp_path / "out") == contents(tmp_path / "at_once")


def test_a_killed_run_is_completed_by_the_next(run, folder, tmp_path, model_folder, compiled):
    (folder / "speaker 1" / "c.ogg").unlink()  # OGG files have a random serial number
    script = f"""
import os, sys, threading
from l3ac_jax.cli.main import main
replace, lock, calls = os.replace, threading.Lock(), []
def killing(source, target):
    if not str(target).startswith({str(tmp_path / "out")!r}):
        return replace(source, target)
    with lock:
        calls.append(target)
        if len(calls) == 3:
            os.kill(os.getpid(), {int(signal.SIGKILL)})
        replace(source, target)
os.replace = killing
main(sys.argv[1:])
"""
    words = ["reconstruct", folder, tmp_path / "out", "--model", model_folder]
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, words)],
        env={**os.environ, "L3AC_JAX_CACHE": str(compiled)},
        capture_output=True,
    )
    assert done.returncode == -signal.SIGKILL
    left = contents(tmp_path / "out")
    assert sum(name.endswith(".part") for name in left) >= 1
    assert sum(not name.endswith(".part") for name in left) == 2
    run("reconstruct", folder, tmp_path / "out")
    run("reconstruct", folder, tmp_path / "at_once")
    assert contents(tmp_path / "out") == contents(tmp_path / "at_once")


def test_what_is_left_alone_is_told(run, tmp_path, speech, capsys):
    """A folder of which one file is done says so of the others, and what to do about them."""
    source = tmp_path / "in"
    source.mkdir()
    speech.rename(source / "a.wav")
    samples, rate = soundfile.read(source / "a.wav")
    for name, format in (("b.sph", "NIST"), ("c.wave", "WAV"), ("d.mp2.voc", "VOC")):
        soundfile.write(source / name, samples, rate, format=format, subtype="PCM_16")
    for name in ("e.m4a", "f.M4A", "notes.txt"):
        (source / name).write_bytes(b"something")
    run("encode", source, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "a.l3ac", "b.l3ac", "c.l3ac", "d.mp2.l3ac",
    ]  # fmt: skip
    told = capsys.readouterr().err
    assert "left alone: 2 .m4a, 1 .txt\n" in told
    assert "ffmpeg -i NAME.m4a NAME.flac" in told


def test_a_name_that_becomes_too_long_costs_no_other_file(model_folder, run, tmp_path, speech):
    source, limit = tmp_path / "in", os.pathconf(tmp_path, "PC_NAME_MAX")
    source.mkdir()
    for name in ("a.wav", f"{'n' * (limit - 4)}.wav", f"{'m' * (limit - 5)}.wav"):
        shutil.copy(speech, source / name)
    words = ["encode", source, tmp_path / "out", "--model", model_folder]
    assert main(list(map(str, words))) == 1
    done = {path.name for path in (tmp_path / "out").iterdir()}
    assert done == {"a.l3ac", f"{'m' * (limit - 5)}.l3ac"}
