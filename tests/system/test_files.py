"""Files and folders that are complete or not there, whatever they are called."""

import os
from pathlib import Path

import pytest

from l3ac_jax.errors import OutputError
from l3ac_jax.system.files import check_output, complete_file
from l3ac_jax.system.folders import complete_folder


@pytest.fixture
def longest(tmp_path) -> str:
    """The longest name that a file may have here."""
    return "n" * os.pathconf(tmp_path, "PC_NAME_MAX")


def test_a_file_may_have_the_longest_name(tmp_path, longest):
    with complete_file(tmp_path / longest, overwrite=False) as part:
        part.write_bytes(b"content")
    assert (tmp_path / longest).read_bytes() == b"content"
    assert [path.name for path in tmp_path.iterdir()] == [longest]


def test_a_folder_may_have_the_longest_name(tmp_path, longest):
    for content in ("old", "new"):
        with complete_folder(tmp_path / longest, overwrite=True, replaceable={"file"}) as folder:
            (folder / "file").write_text(content)
    assert (tmp_path / longest / "file").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == [longest]


def test_longer_names_are_refused_before_the_work(tmp_path, longest):
    for path in (tmp_path / f"{longest}n", tmp_path / f"{longest}n" / "a.wav"):
        with pytest.raises(OutputError, match=r"does not exist|File name too long"):
            check_output(path, overwrite=False)
        with pytest.raises(OutputError), complete_file(path, overwrite=False):
            pytest.fail("the work was done")
    with (
        pytest.raises(OutputError, match="File name too long"),
        complete_folder(tmp_path / f"{longest}n"),
    ):
        pytest.fail("the work was done")


def test_a_path_to_which_no_file_can_be_written_is_refused_before_the_work(tmp_path):
    """Its own length is allowed, but not that of the temporary file beside it."""
    whole = os.pathconf(tmp_path, "PC_PATH_MAX") - 1
    folder, top = tmp_path, os.getcwd()
    try:
        while len(str(folder)) < whole - 260:
            folder /= "d" * 200
        folder /= "e" * (whole - len(str(folder)) - 4)
        os.chdir(tmp_path)
        for name in folder.relative_to(tmp_path).parts:
            Path(name).mkdir()
            os.chdir(name)
    finally:
        os.chdir(top)
    with pytest.raises(OutputError, match="File name too long"):
        check_output(folder / "a", overwrite=False)
