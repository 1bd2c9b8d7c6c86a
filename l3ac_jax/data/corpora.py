"""The corpora in the layouts in which their publishers ship them -> the recordings in them.

Splits are those of the publisher. Nothing is unpacked, and no audio is read here.
"""

from __future__ import annotations

import csv
import hashlib
import os
import re
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from l3ac_jax.audio.endings import AUDIO_ENDINGS
from l3ac_jax.config.data import CorpusName, Split
from l3ac_jax.data.recordings import Recording
from l3ac_jax.errors import LayoutError, TreeError
from l3ac_jax.system.remote import as_local, is_url
from l3ac_jax.system.sources import open_tree
from l3ac_jax.system.trees import walk


def find_recordings(
    corpus: CorpusName, source: str | os.PathLike[str], held_out: float = 0.0
) -> list[Recording]:
    """All recordings of a corpus, in a fixed order, also those whose file turns out to be missing.

    `held_out` is for `folder`: the share of files that becomes the validation split. The source of
    a `folder` may be a URL. Raises LayoutError, SourceError.
    """
    if is_url(source):
        if corpus != "folder":
            raise LayoutError(
                f"{source}: only the corpus folder is read from a URL: copy {corpus} to a folder"
            )
        return list(_remote_folder(str(source), held_out))
    source = as_local(source).absolute()
    if not source.is_dir():
        raise LayoutError(f"{source}: is not a folder")
    if held_out and corpus != "folder":
        raise LayoutError(f"a held-out share is for folders; {corpus} has splits of its own")
    try:
        if corpus == "folder":
            return list(_folder(source, held_out))
        return list(_READERS[corpus](source))
    except OSError as error:
        raise LayoutError(f"{error.filename}: cannot be read: {error.strerror}") from error


def _librispeech(source: Path) -> Iterator[Recording]:
    """LibriSpeech/{train,dev,test}-*/SPEAKER/CHAPTER/*.flac with transcripts in *.trans.txt."""
    root = source / "LibriSpeech" if (source / "LibriSpeech").is_dir() else source
    splits: dict[str, Split] = {"train": "train", "dev": "validation", "test": "test"}
    subsets = [
        folder
        for folder in sorted(root.iterdir())
        if folder.is_dir() and re.fullmatch(r"(train|dev|test)-(clean|other)(-\d+)?", folder.name)
    ]
    if not subsets:
        raise LayoutError(
            f"{source}: has no folder such as train-clean-100 (unpack the .tar.gz files of "
            "LibriSpeech here)"
        )
    for subset in subsets:
        split = splits[subset.name.split("-")[0]]
        for chapter, paths in _folders(subset):
            texts = _transcripts(chapter)
            for path in paths:
                if path.suffix == ".flac":
                    place = path.relative_to(root).as_posix()
                    yield _file(path.stem, split, place, path, texts.get(path.stem))


def _transcripts(chapter: Path) -> dict[str, str]:
    lines = [
        line
        for path in sorted(chapter.glob("*.trans.txt"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    return {name: text for name, _, text in (line.partition(" ") for line in lines) if text}


def _common_voice(source: Path) -> Iterator[Recording]:
    """cv-corpus-N/LANGUAGE/{train,dev,test}.tsv with clips/*.mp3; one language or all of them."""
    languages = (
        [source]
        if (source / "clips").is_dir()
        else sorted(
            {path.parent for pattern in ("*/clips", "*/*/clips") for path in source.glob(pattern)}
        )
    )
    if not languages:
        raise LayoutError(
            f"{source}: has no folder clips beside train.tsv, dev.tsv and test.tsv (give "
            "the folder of a language, cv-corpus-N/en, or the one above)"
        )
    tables: dict[str, Split] = {"train": "train", "dev": "validation", "test": "test"}
    for language in languages:
        for name, split in tables.items():
            # Sentences hold single quotation marks: they are no quoting.
            for row in _table(language / f"{name}.tsv", ("path", "sentence"), "\t", csv.QUOTE_NONE):
                name = row["path"].removesuffix(".mp3")  # the first releases go without
                place = f"clips/{name}.mp3"
                path = language / place
                yield _file(name, split, f"{language.name}/{place}", path, row["sentence"])


def _mtg_jamendo(source: Path) -> Iterator[Recording]:
    """raw_30s_audio-low-NN.tar, anywhere below, with splits/split-0 of the metadata repository."""
    found = [
        folder
        for folder in (source, source / "data", *sorted(source.glob("*/data")))
        if (folder / "splits" / "split-0").is_dir()
    ]
    if not found:
        raise LayoutError(
            f"{source}: has neither splits/split-0 nor data/splits/split-0 (of the repository "
            "MTG/mtg-jamendo-dataset)"
        )
    archives = [
        path
        for _, paths in _folders(source)
        for path in paths
        if re.fullmatch(r"raw_30s_audio-low-\d\d\.tar", path.name)
    ]
    if not archives:
        raise LayoutError(f"{source}: has no archive raw_30s_audio-low-NN.tar, here or below")
    members = {name: place for archive in archives for name, place in _members(archive)}
    for split in ("train", "validation", "test"):
        table = found[0] / "splits" / "split-0" / f"autotagging-{split}.tsv"
        for row in _table(table, ("TRACK_ID", "PATH"), "\t", csv.QUOTE_NONE):
            folder, _, name = row["PATH"].rpartition("/")
            archive = f"raw_30s_audio-low-{folder}.tar"
            member = f"{folder}/{name.removesuffix('.mp3')}.low.mp3"
            place = f"{archive}/{member}"
            if member in members:
                path, offset, size = members[member]
                yield Recording(row["TRACK_ID"], split, place, path, size, offset)
            else:  # a file that does not exist: reported when it would be read
                yield _file(row["TRACK_ID"], split, place, archives[0].parent / place)


def _members(archive: Path) -> Iterator[tuple[str, tuple[Path, int, int]]]:
    try:
        with tarfile.open(archive, "r:") as tar:
            for member in tar:
                if member.isfile():
                    yield member.name.removeprefix("./"), (archive, member.offset_data, member.size)
    except tarfile.TarError as error:
        raise LayoutError(f"{archive}: is not a complete tar archive: {error}") from None


def _fsd50k(source: Path) -> Iterator[Recording]:
    """FSD50K.{dev,eval}_audio/*.wav with FSD50K.ground_truth/{dev,eval}.csv."""
    truth = source / "FSD50K.ground_truth"
    if not truth.is_dir():
        raise LayoutError(
            f"{source}: has no folder FSD50K.ground_truth (it should lie beside FSD50K.dev_audio "
            "and FSD50K.eval_audio)"
        )
    splits: dict[str, Split] = {"train": "train", "val": "validation"}
    for row in _table(truth / "dev.csv", ("fname", "split")):
        if row["split"] not in splits:
            raise LayoutError(f"{truth / 'dev.csv'}: {row['split']!r} is neither train nor val")
        yield _fsd50k_clip(source, "FSD50K.dev_audio", row["fname"], splits[row["split"]])
    for row in _table(truth / "eval.csv", ("fname",)):
        yield _fsd50k_clip(source, "FSD50K.eval_audio", row["fname"], "test")


def _fsd50k_clip(source: Path, folder: str, name: str, split: Split) -> Recording:
    place = f"{folder}/{name}.wav"
    return _file(name, split, place, source / place)


def _folder(source: Path, held_out: float) -> Iterator[Recording]:
    """Any tree of audio files. Whole folders are held out, chosen by the hash of their names."""
    paths = sorted(
        path
        for _, paths in _folders(source)
        for path in paths
        if path.suffix.lower() in AUDIO_ENDINGS
    )
    if not paths:
        raise LayoutError(f"{source}: has no audio files that can be read, here or below")
    places = [path.relative_to(source) for path in paths]
    for path, (split, name) in zip(paths, _placed(places, held_out), strict=True):
        yield _file(name, split, name, path)


def _remote_folder(source: str, held_out: float) -> Iterator[Recording]:
    """As `_folder`, behind a URL."""
    try:
        listing = open_tree(source).find(AUDIO_ENDINGS)
    except TreeError:
        raise LayoutError(f"{source}: has no audio files that can be read, here or below") from None
    places = listing.found.files
    for place, (split, name) in zip(places, _placed(places, held_out), strict=True):
        url = f"{source.rstrip('/')}/{place.as_posix()}"
        yield Recording(name, split, name, url, listing.stamp(place)[0])


def _placed(places: Sequence[Path], held_out: float) -> Iterator[tuple[Split, str]]:
    """Split and name of the file at each place of a folder."""
    validation = _held_out_folders([place.parent for place in places], held_out)
    for place in places:
        split: Split = "validation" if place.parent in validation else "train"
        # Names in other encodings than UTF-8 are spelt out: they go into UTF-8 files.
        yield split, os.fsencode(place.as_posix()).decode("utf-8", "backslashreplace")


def _held_out_folders(folders: list[Path], share: float) -> set[Path]:
    """Folders with up to `share` of the files; where none is that small, the smallest one."""
    if not 0 <= share < 1:
        raise LayoutError(f"the held-out share must be at least 0 and less than 1, got {share}")
    if not share:
        return set()
    files = Counter(folders)
    different = sorted(files, key=lambda f: hashlib.sha256(os.fsencode(f)).digest())
    if len(different) < 2:
        raise LayoutError(
            f"whole folders are held out, and all {len(folders)} files lie in one folder"
        )
    chosen: set[Path] = set()
    count = 0
    for folder in different:
        if count + files[folder] <= share * len(folders):
            chosen.add(folder)
            count += files[folder]
    return chosen or {min(different, key=files.__getitem__)}


def _file(id: str, split: Split, place: str, path: Path, text: str | None = None) -> Recording:
    size = path.stat().st_size if path.is_file() else None
    return Recording(id, split, place, path, size, text=text)


def _folders(source: Path) -> Iterator[tuple[Path, list[Path]]]:
    """Each folder from `source` down with its files, in a fixed order; links are followed once."""
    seen: set[Path] = set()

    def fail(error: OSError) -> None:
        raise error

    for folder, names in walk(source, fail):
        if (real := folder.resolve()) not in seen:
            seen.add(real)
            yield folder, [folder / name for name in names]


def _table(
    path: Path, columns: tuple[str, ...], delimiter: str = ",", quoting: int = csv.QUOTE_MINIMAL
) -> Iterator[Mapping[str, str]]:
    """The rows of a table with a header. Raises LayoutError, naming file and line."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            # MTG-Jamendo's lines end with CR LF, and its tags fill a varying number of columns.
            rows = csv.DictReader(lines, delimiter=delimiter, quoting=quoting)  # pyright: ignore
            missing = [name for name in columns if name not in (rows.fieldnames or ())]
            if missing:
                raise LayoutError(f"{path}: its header has no column {', '.join(missing)}")
            for row in rows:
                if not all(row[name] for name in columns if name != "sentence"):
                    raise LayoutError(f"{path}, line {rows.line_num}: has too few columns")
                yield row
    except OSError as error:
        raise LayoutError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise LayoutError(f"{path}: is not a table in UTF-8: {error}") from None


_READERS: dict[CorpusName, Callable[[Path], Iterator[Recording]]] = {
    "librispeech": _librispeech,
    "common-voice": _common_voice,
    "mtg-jamendo": _mtg_jamendo,
    "fsd50k": _fsd50k,
}
