"""Writing datasets of tokens: always the same bytes, whatever happens on the way."""

import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile

from l3ac_jax.audio.reading import read_audio
from l3ac_jax.audio.resampling import resample
from l3ac_jax.audio.writing import write_audio
from l3ac_jax.cli.main import main
from l3ac_jax.cli.run import Interrupted
from l3ac_jax.cli.tokens import tokens
from l3ac_jax.errors import TokenDatasetError, TreeError
from l3ac_jax.system.locks import exclusive
from l3ac_jax.tokens.dataset import encoding as token_encoding
from l3ac_jax.tokens.dataset.index import INDEX, read_index
from l3ac_jax.tokens.dataset.reader import open_tokens
from l3ac_jax.tokens.dataset.writer import FAILURES_FILE, LOCK
from tests.tokens.dataset import token_folders
from tests.tokens.dataset.token_folders import StandIn, files_of, write, write_sources

REPOSITORY = Path(__file__).parents[3]
RECORDINGS = {
    "a.wav": (1, 60),
    "b/bad.wav": (0, 0),
    "b/good.wav": (2, 45),
    "c.wav": (1, 20),
    "d.wav": (1, 80),
    "e.wav": (0, 0),
}


@pytest.fixture
def source(tmp_path):
    return write_sources(tmp_path / "source", RECORDINGS)


@pytest.fixture
def undisturbed(source, tmp_path):
    write(source, tmp_path / "undisturbed")
    return files_of(tmp_path / "undisturbed")


class PowerCutError(Exception):
    """Ends a run."""


def begin(source, target, stop_after=5):
    """A run that ends after so many files."""
    numbers = iter(range(1000))

    def stopping(paths, on_damage):
        for item in token_folders.encode(paths, on_damage):
            if next(numbers) == stop_after:
                raise PowerCutError
            yield item

    plan = token_encoding.plan_dataset(source, target, {".wav"}, shard_tokens=100)
    with pytest.raises(PowerCutError):
        plan.write("stand-in", token_folders.FORMAT, stopping, lambda done: None)


@pytest.mark.parametrize("group", [1, 2, 100])
@pytest.mark.parametrize("backwards", [False, True])
def test_the_bytes_do_not_depend_on_the_order_of_the_work(
    source, tmp_path, undisturbed, monkeypatch, group, backwards
):
    monkeypatch.setattr(token_encoding, "GROUP_FILES", group)
    write(source, tmp_path / "out", backwards=backwards)
    assert files_of(tmp_path / "out") == undisturbed
    assert sorted(undisturbed) == [INDEX, FAILURES_FILE] + [
        f"tokens-{n:05d}.arrow" for n in (0, 1, 2)
    ]


def test_killed_at_any_moment_it_comes_to_the_same_bytes(source, tmp_path, undisturbed):
    targets = tmp_path / "targets"
    targets.mkdir()
    subprocess.run(
        [sys.executable, "-m", "tests.tokens.dataset.token_folders", source, targets],
        cwd=REPOSITORY,
        check=True,
    )
    # Before and after each file is put in its place: the index first, three shards with the index
    # after each, the failures, the index. The last run was not killed.
    killed = sorted(targets.iterdir())
    assert len(killed) == 2 * (1 + 3 * 2 + 2) + 1
    shards = set()
    for target in killed[:-2]:
        if (target / INDEX).exists():
            shards.add(len(read_index(target).shards))
            with pytest.raises(TokenDatasetError, match="is unfinished, with"):
                open_tokens(target)
        write(source, target)
        assert files_of(target) == undisturbed
    assert shards == {0, 1, 2, 3}
    # Killed after the last file was in its place, there is nothing left to do but for the lock.
    assert files_of(killed[-2]) == undisturbed | {LOCK: b""}
    assert files_of(killed[-1]) == undisturbed


def test_shards_that_are_complete_are_not_encoded_again(source, tmp_path, undisturbed, monkeypatch):
    monkeypatch.setattr(token_encoding, "GROUP_FILES", 3)
    begin(source, tmp_path / "out", stop_after=4)  # in the second group
    assert [shard.frames for shard in read_index(tmp_path / "out").shards] == [60]
    seen = []
    plan = token_encoding.plan_dataset(source, tmp_path / "out", {".wav"}, shard_tokens=100)

    def encode(paths, on_damage):
        seen.append([path.name for path in paths])
        return token_folders.encode(paths, on_damage)

    monkeypatch.setattr(token_encoding, "GROUP_FILES", 2)
    plan.write("stand-in", token_folders.FORMAT, encode, lambda done: None)
    assert seen == [["good.wav", "c.wav"], ["d.wav", "e.wav"]]  # and not a.wav and bad.wav
    assert files_of(tmp_path / "out") == undisturbed


def test_failures_are_listed_and_the_rest_is_written(source, tmp_path, undisturbed):
    assert undisturbed[FAILURES_FILE].decode().splitlines() == [
        "path\treason",
        "b/bad.wav\tis no recording",
        "e.wav\tis no recording",
    ]
    index = read_index(tmp_path / "undisturbed")
    assert (index.recordings, index.rows, index.failures) == (4, 5, 2)


def test_names_that_are_no_text_fail_and_are_listed(source, tmp_path):
    name = os.fsdecode(b"\xff.wav")
    (source / name).write_text("1 5 0")
    assert write(source, tmp_path / "out").failures == 3
    listed = (tmp_path / "out" / FAILURES_FILE).read_text()
    assert "\\xff.wav\tits name is not UTF-8\n" in listed


def test_a_folder_where_everything_fails_is_an_empty_dataset(tmp_path):
    source = write_sources(tmp_path / "source", {"a.wav": (0, 0)})
    assert write(source, tmp_path / "out").failures == 1
    data = open_tokens(tmp_path / "out")
    data.verify()
    assert (len(data), data.frames, list(data), list(data.windows(8).epoch())) == (0, 0, [], [])


def test_a_complete_dataset_is_left_alone_unless_overwrite_is_given(source, tmp_path, undisturbed):
    target = tmp_path / "undisturbed"
    assert write(source, target) == read_index(target)  # the same command: nothing to do
    assert files_of(target) == undisturbed
    for options in ({"form": "levels"}, {"shard_tokens": 1000}):
        with pytest.raises(TokenDatasetError, match=r"is complete already: rows 5, shards 3"):
            write(source, target, **options)
    write(source, target, form="levels", shard_tokens=1000, overwrite=True)
    assert len(open_tokens(target).index.shards) == 1
    write(source, target, overwrite=True)
    assert files_of(target) == undisturbed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"form": "levels"}, "tokens, not levels"),
        ({"shard_tokens": 99}, "--shard-tokens 100"),
        (
            {"codec": StandIn("b", replace(token_folders.FORMAT, weights="other"))},
            r"another model, stand-in \(fingerprints configuration and weights\), not b \(.* other",
        ),
    ],
)
def test_going_on_with_other_options_is_refused(source, tmp_path, options, message):
    begin(source, tmp_path / "out")
    before = files_of(tmp_path / "out")
    with pytest.raises(TokenDatasetError, match=f"out: was begun with {message}.* anew"):
        write(source, tmp_path / "out", **options)
    assert files_of(tmp_path / "out") == before
    write(source, tmp_path / "out", **options, overwrite=True)
    open_tokens(tmp_path / "out").verify()


def test_the_name_of_the_model_may_differ(source, tmp_path, undisturbed):
    begin(source, tmp_path / "out")
    write(source, tmp_path / "out", codec=StandIn("./the/same"))
    assert files_of(tmp_path / "out") == undisturbed


@pytest.mark.parametrize(
    "change",
    [
        lambda source: (source / "new.wav").write_text("1 5 0"),
        lambda source: (source / "a.wav").unlink(),
        lambda source: (source / "a.wav").write_text("1 59 0 "),
        lambda source: os.utime(source / "a.wav", ns=(0, 0)),
        lambda source: (source / "a.wav").rename(source / "f.wav"),
    ],
    ids=["new", "gone", "size", "time", "name"],
)
def test_going_on_with_other_files_is_refused(source, tmp_path, change):
    begin(source, tmp_path / "out")
    change(source)
    with pytest.raises(TokenDatasetError, match=r"out: was begun with other files: .*--overwrite"):
        write(source, tmp_path / "out")


def test_going_on_without_a_complete_shard_is_refused(source, tmp_path, monkeypatch):
    monkeypatch.setattr(token_encoding, "GROUP_FILES", 3)
    begin(source, tmp_path / "out", stop_after=4)
    (tmp_path / "out" / "tokens-00000.arrow").unlink()
    with pytest.raises(TokenDatasetError, match=r"tokens-00000.arrow is missing"):
        write(source, tmp_path / "out")


def test_other_files_are_never_touched(source, tmp_path):
    target = tmp_path / "out"
    target.mkdir()
    (target / "thesis.tex").write_text("...")
    for overwrite in (False, True):
        with pytest.raises(TokenDatasetError, match=r"out: is not written to, .* thesis\.tex"):
            write(source, target, overwrite=overwrite)
    assert list(files_of(target)) == ["thesis.tex"]


def test_shards_without_an_index_need_overwrite(source, tmp_path, undisturbed):
    target = tmp_path / "undisturbed"
    (target / INDEX).unlink()
    with pytest.raises(TokenDatasetError, match=r"it has no dataset\.json \(--overwrite"):
        write(source, target)
    write(source, target, overwrite=True)
    assert files_of(target) == undisturbed


def test_two_processes_do_not_write_to_one_folder(source, tmp_path):
    target = tmp_path / "out"
    target.mkdir()
    with exclusive(target / LOCK), pytest.raises(TokenDatasetError, match="another process"):
        write(source, target)


def test_what_makes_no_sense_is_refused_before_the_work(source, tmp_path):
    with pytest.raises(TokenDatasetError, match="nothing: does not exist"):
        write(tmp_path / "nothing", tmp_path / "out")
    with pytest.raises(TokenDatasetError, match=r"a\.wav: is not a folder"):
        write(source / "a.wav", tmp_path / "out")
    with pytest.raises(TokenDatasetError, match="at least 1 token, not 0"):
        write(source, tmp_path / "out", shard_tokens=0)
    with pytest.raises(TreeError, match="neither inside the other"):
        write(source, source / "out")
    with pytest.raises(TokenDatasetError, match="has 256 levels in a dimension"):
        write(
            source,
            tmp_path / "out",
            "levels",
            codec=StandIn(token_format=replace(token_folders.FORMAT, levels=(256,))),
        )
    assert not (tmp_path / "out").exists()


@pytest.fixture
def command(command_cache, small_codec, monkeypatch):
    """The command with a small codec."""
    from l3ac_jax.codec import pretrained

    monkeypatch.setattr(pretrained, "get_model", lambda name, *_: {"small": small_codec}[name])
    return partial(tokens, model="small")


@pytest.fixture
def audio_folder(tmp_path, speech, stereo):
    folder = tmp_path / "audio"
    (folder / "sub").mkdir(parents=True)
    samples = read_audio(speech).samples
    for number, length in enumerate((3843, 100, 2000, 1)):
        write_audio(folder / f"{number}.wav", samples[:, :length], 16000)
    stereo.rename(folder / "sub" / "stereo.wav")
    soundfile.write(folder / "empty.wav", np.zeros(0), 16000)
    return folder


def test_the_command_writes_what_the_codec_says_of_each_channel_alone(
    command, audio_folder, small_codec, tmp_path, capsys
):
    assert command(audio_folder, tmp_path / "out") == 1  # one of the files is empty
    said = capsys.readouterr().err
    assert "6 rows in 1 shard" in said and "1 file failed or not whole: see" in said
    data = open_tokens(tmp_path / "out")
    assert [(row.path, row.channel, row.channels) for row in data] == [
        *((f"{number}.wav", 0, 1) for number in range(4)),
        *(("sub/stereo.wav", channel, 2) for channel in range(2)),
    ]
    for row in data:
        audio = read_audio(audio_folder / row.path)
        assert (row.samples, row.sample_rate) == (audio.samples.shape[1], audio.sample_rate)
        channel = resample(audio.samples[row.channel][None], audio.sample_rate, 16000)
        np.testing.assert_array_equal(row.values, np.asarray(small_codec.encode(channel))[0])
    assert len(np.unique(data[0].values)) > 10  # not all the same, which would prove nothing
    failures = (tmp_path / "out" / FAILURES_FILE).read_text().splitlines()
    assert failures[1].startswith("empty.wav\t") and len(failures) == 2
    (audio_folder / "empty.wav").unlink()
    assert command(audio_folder, tmp_path / "levels", levels=True) == 0
    for row, levels in zip(data, open_tokens(tmp_path / "levels"), strict=True):
        np.testing.assert_array_equal(small_codec.levels(row.values), levels.values)


@pytest.mark.usefixtures("command_cache")
def test_the_command_line_says_what_is_wrong_in_one_line(run, audio_folder, tmp_path, capsys):
    (audio_folder / "empty.wav").unlink()
    run("tokens", audio_folder, tmp_path / "out", "--levels", "--shard-tokens", 500)
    capsys.readouterr()
    assert main(["tokens", str(audio_folder), str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == (
        f"l3ac-jax: error: {tmp_path / 'out'}: is complete already: rows 6, shards 3, of another "
        "input or with other options (--overwrite writes it anew)\n"
    )


def test_the_same_command_after_its_end_is_no_mistake(command, audio_folder, tmp_path, capsys):
    """Whoever starts it again after a kill cannot know that all was there."""
    out = tmp_path / "out"
    assert command(audio_folder, out) == 1  # empty.wav
    whole = files_of(out)
    capsys.readouterr()
    assert command(audio_folder, out) == 1
    assert f"{out}: was complete already: " in capsys.readouterr().err
    assert files_of(out) == whole
    shard = next(path for path in out.iterdir() if path.suffix == ".arrow")
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(TokenDatasetError, match=r"tokens-0000\d\.arrow"):
        command(audio_folder, out)


def test_what_is_not_whole_is_written_and_listed(command, audio_folder, tmp_path, capsys):
    data = (audio_folder / "0.wav").read_bytes()
    (audio_folder / "0.wav").write_bytes(data[: 44 + 2000])
    (audio_folder / "empty.wav").unlink()
    assert command(audio_folder, tmp_path / "out") == 1
    assert "1 file failed or not whole: see" in capsys.readouterr().err
    assert open_tokens(tmp_path / "out")[0].samples == 1000
    (_, line) = (tmp_path / "out" / FAILURES_FILE).read_text().splitlines()
    assert line.startswith("0.wav\tused in part: is not whole: 0.18 s of 0.24 s are missing")


def test_ctrl_c_says_how_to_go_on(command, audio_folder, tmp_path, monkeypatch):
    from l3ac_jax.codec.many import batches

    encode_files = batches.encode_files
    calls = []

    def interrupted(codec, paths, on_damage):
        calls.append(paths)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return encode_files(codec, paths, on_damage)

    monkeypatch.setattr(batches, "encode_files", interrupted)
    monkeypatch.setattr(token_encoding, "GROUP_FILES", 2)
    message = "3 recordings in 3 complete shards: the same command without --overwrite goes on"
    with pytest.raises(Interrupted, match=message):
        command(audio_folder, tmp_path / "out", shard_tokens=1, overwrite=True)
    monkeypatch.setattr(batches, "encode_files", encode_files)
    assert command(audio_folder, tmp_path / "out", shard_tokens=1) == 1
    assert command(audio_folder, tmp_path / "anew", shard_tokens=1) == 1
    assert files_of(tmp_path / "out") == files_of(tmp_path / "anew")
