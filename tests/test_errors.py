"""Every kind of error that is the user's is raised by something that a user can do."""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from l3ac_jax import errors
from l3ac_jax.audio.reading import read_audio
from l3ac_jax.cli.command import recorded_model
from l3ac_jax.codec.checks import checked_audio
from l3ac_jax.codec.long.spool import Spool
from l3ac_jax.config import load_config
from l3ac_jax.data.clip import Record
from l3ac_jax.data.corpora import find_recordings
from l3ac_jax.data.dataset import read_dataset_info
from l3ac_jax.data.prepare import prepare
from l3ac_jax.data.recordings import Cut, Recording, read_pieces
from l3ac_jax.evaluation.comparison import measured_rows
from l3ac_jax.evaluation.listening_page import write_listening_page
from l3ac_jax.evaluation.references import nearest_references
from l3ac_jax.evaluation.report import Report, read_report, write_report
from l3ac_jax.model.enhance import EnhanceBlock
from l3ac_jax.model.streams import Flow
from l3ac_jax.system import forks
from l3ac_jax.system.files import check_output
from l3ac_jax.system.locks import exclusive
from l3ac_jax.system.packages import needs_extra
from l3ac_jax.system.trees import check_trees
from l3ac_jax.tokens.bitstream.files import load
from l3ac_jax.tokens.dataset.index import read_index
from l3ac_jax.tokens.format import EncodedAudio, TokenFormat
from l3ac_jax.training.curves import read_curves
from l3ac_jax.weights.file import load_model_file
from l3ac_jax.weights.hub import download_weights
from l3ac_jax.weights.repositories import check_repository
from l3ac_jax.weights.sources import load_params

CUT = Cut(16000, 0.1, 0.001, None)
EMPTY_REPORT = Report(data="nothing", seed=0, codecs=(), clips=(), summaries=())
ENCODED = EncodedAudio(
    np.zeros((1, 1), np.int32), 1, 16000, "nowhere", TokenFormat("0" * 16, "0" * 16, 16000, 6, (2,))
)


def compare_an_empty_evaluation(folder: Path) -> None:
    write_report(folder, EMPTY_REPORT)
    measured_rows([folder], "speech")


def prepare_into_a_file(folder: Path) -> None:
    (folder / "target").touch()
    source = Path(__file__).parent / "fixtures"
    prepare("folder", source, folder / "target", CUT)


def read_a_file_that_has_vanished(folder: Path) -> None:
    read_pieces(Recording("gone", "train", "gone.wav", folder / "gone.wav", bytes=100), CUT)


def write_a_page_of_nothing(folder: Path) -> None:
    write_listening_page(
        folder / "page.html", EMPTY_REPORT, lambda _: np.zeros(1), lambda *_: np.zeros(1), 16000
    )


def import_what_is_not_there(_: Path) -> None:
    with needs_extra("train", "a figure"):
        import package_that_nobody_has  # type: ignore[import-not-found] # noqa: F401


def spool_without_a_temporary_folder(folder: Path) -> None:
    before, tempfile.tempdir = tempfile.tempdir, str(folder / "nowhere")
    try:
        Spool()
    finally:
        tempfile.tempdir = before


def lock_without_locks(folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "fcntl", None)
        with exclusive(folder / "lock"):
            pass


def compute_in_a_fork(_: Path) -> None:
    forks._forked = True
    try:
        forks.require_no_fork()
    finally:
        forks._forked = False


def start_what_sees_the_whole_clip(_: Path) -> None:
    EnhanceBlock(4).apply({}, Flow(1, 4), method="start")


MISTAKES = {
    errors.ArgumentError: lambda _: checked_audio(np.zeros((1, 9), np.int16)),
    errors.AudioError: lambda folder: read_audio(folder / "nowhere.wav"),
    errors.BitstreamError: lambda folder: load(folder / "nowhere.l3ac"),
    errors.ComparisonError: compare_an_empty_evaluation,
    errors.ConfigError: lambda folder: load_config(folder / "nowhere.toml"),
    errors.CurvesError: read_curves,
    errors.DatasetError: lambda folder: read_dataset_info(folder, "folder"),
    errors.DownloadError: lambda _: download_weights("2kbps"),
    errors.ForkError: compute_in_a_fork,
    errors.LayoutError: lambda folder: find_recordings("folder", folder),
    errors.ListeningPageError: write_a_page_of_nothing,
    errors.MissingPackageError: import_what_is_not_there,
    errors.ModelNotFoundError: lambda folder: load_params(str(folder)),
    errors.OutputError: lambda folder: check_output(folder, overwrite=True),
    errors.PlatformError: lock_without_locks,
    errors.PrepareError: prepare_into_a_file,
    errors.RecordError: lambda _: Record(b"no record"),
    errors.ReferenceCodecError: lambda _: nearest_references(["mp3"], [6000]),
    errors.ReportError: read_report,
    errors.SourceError: read_a_file_that_has_vanished,
    errors.SpoolError: spool_without_a_temporary_folder,
    errors.StreamingError: start_what_sees_the_whole_clip,
    errors.TokenDatasetError: read_index,
    errors.TreeError: lambda folder: check_trees(folder, folder / "inside"),
    errors.UploadError: lambda _: check_repository("a name without an owner"),
    errors.WeightsError: lambda folder: load_model_file(folder / "nowhere.safetensors"),
    errors.WrongModelError: lambda _: recorded_model("in.l3ac", replace(ENCODED, model="gone")),
}


def kinds_of(base: type) -> set[type]:
    return {kind for name in errors.__all__ if issubclass(kind := getattr(errors, name), base)}


def test_every_kind_is_in_the_table():
    assert kinds_of(errors.UserError) - {errors.UserError} == set(MISTAKES)


@pytest.mark.parametrize("kind", MISTAKES, ids=lambda kind: kind.__name__)
def test_the_kind_is_what_the_mistake_raises(kind, tmp_path):
    with pytest.raises(kind) as caught:
        MISTAKES[kind](tmp_path)
    assert type(caught.value) is kind
    assert str(caught.value)


def test_everything_is_a_kind_of_one_of_two_that_are_no_kinds_of_each_other():
    assert kinds_of(errors.UserError) | kinds_of(errors.WorkError) == kinds_of(Exception)
    assert not kinds_of(errors.UserError) & kinds_of(errors.WorkError)
    # as the public interface promises
    assert kinds_of(errors.UserError) == kinds_of(ValueError)
