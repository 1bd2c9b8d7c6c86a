r"""Music to evaluate codecs on, in full band: cut from Debian packages, nothing of it is here.

    python experiments/music_evaluation.py recordings/music24
    python experiments/evaluate.py base recordings/music24 --out runs/music24 --music

OUT/music/CLIP.flac: 53 clips, 7 minutes, of six packages that no model here was trained on, at
24 kHz and mono unless told; music_evaluation.csv beside this script says which recordings and from
where on. About 400 MB are downloaded, with apt-get, and kept in OUT/packages; `--packages` names a
folder that has them. The recordings have free licences of their own: usr/share/doc/*/copyright in
each package.
"""

from __future__ import annotations

import csv
import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

import tyro
from debian_packages import unpack
from rich.console import Console

from l3ac_jax.cli.run import run_command
from l3ac_jax.errors import ArgumentError, OutputError, SourceError

PROGRAM = "music_evaluation.py"
MANIFEST = Path(__file__).with_suffix(".csv")


class Cut(NamedTuple):
    """A part of a recording in a package."""

    clip: str
    package: str
    path: str
    start: int
    seconds: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Options:
    """Where the clips go, and what they are like."""

    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    """A new folder, or one to go on with."""
    rate: int = 24000
    """Samples a second."""
    stereo: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Keep the two channels; otherwise the clips are their mean."""
    packages: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Unpacked packages, DIR/PACKAGE/usr/...; nothing is downloaded."""


def make(options: Options) -> int:
    """Cut all clips that are not there."""
    if not 8000 <= options.rate <= 48000:
        raise ArgumentError(f"--rate: 8000 to 48000 Hz, got {options.rate}")
    if options.out.exists() and not options.out.is_dir():
        raise OutputError(f"{options.out}: exists and is not a folder")
    from l3ac_jax.audio.reading import read_audio
    from l3ac_jax.audio.resampling import resample
    from l3ac_jax.audio.writing import write_audio

    cuts = read_manifest(MANIFEST)
    packages = options.packages or options.out / "packages"
    folder = options.out / "music"
    folder.mkdir(parents=True, exist_ok=True)
    made = 0
    for cut in cuts:
        target = folder / f"{cut.clip}.flac"
        if target.exists():
            continue
        if options.packages is None:
            unpack(cut.package, packages)
        audio = read_audio(checked(packages / cut.package / cut.path, cut))
        first = cut.start * audio.sample_rate
        samples = audio.samples[:, first : first + cut.seconds * audio.sample_rate]
        if not options.stereo:
            samples = samples.mean(axis=0, keepdims=True)
        samples = resample(samples, audio.sample_rate, options.rate)
        write_audio(target, samples, options.rate, "PCM_16")
        made += 1
    kept = f", {len(cuts) - made} were there" if made < len(cuts) else ""
    Console(soft_wrap=True).print(f"{folder}: {made} clips made{kept}", highlight=False)
    return 0


def read_manifest(path: Path) -> list[Cut]:
    """What is cut from where."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        return [
            Cut(row["clip"], row["package"], row["path"], int(row["start_seconds"]),
                int(row["seconds"]), row["sha256"])
            for row in rows
        ]  # fmt: skip


def checked(path: Path, cut: Cut) -> Path:
    """The same path. Raises SourceError if it is not the recording that the manifest means."""
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror or error}") from error
    if found != cut.sha256:
        raise SourceError(f"{path}: is another recording than in the manifest (sha256 {found})")
    return path


def main(argv: list[str] | None = None) -> int:
    """Returns 0, 2 for mistakes, 130 when interrupted."""
    return run_command(
        PROGRAM,
        lambda: make(tyro.cli(Options, prog=PROGRAM, description=__doc__, args=argv)),
        interrupted="the same command goes on",
    )


if __name__ == "__main__":
    sys.exit(main())
